"""Import deepchecks without warnings, and without what its dependencies load in vain."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# jsonschema, which nbformat loads for deepchecks, builds a grammar of IRIs with this package where it is installed.
# That takes 0.9 of 3.6 seconds of CPU; without the package jsonschema only leaves that one format unchecked.
UNUSED = "rfc3987_syntax"


@contextmanager
def quick_import() -> Iterator[None]:
    """Hide warnings and the unused package while the block imports deepchecks."""
    is_hidden = UNUSED not in sys.modules
    if is_hidden:
        sys.modules[UNUSED] = None  # type: ignore[assignment]  # an import of it raises ImportError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if is_hidden:
            del sys.modules[UNUSED]  # a user's own check may import it

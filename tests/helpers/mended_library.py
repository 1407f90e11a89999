"""The library without the faults that dcmon's own statistics do not repeat; docs/decisions.md names each of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from dcmon.checks.library.quick_import import quick_import
from tests.helpers.deepchecks_library import World

# The errors by which formulas of drift fail if one side has no value left: in Cramer's V, twice, and in KS and EMD.
EMPTY_SIDE = (
    "`observed` has size 0",
    "expected frequencies has a zero element",
    "Data must not be empty",
    "zero-size array",
    "index -1 is out of bounds for axis 0 with size 0",
)


@contextmanager
def mended_library(differences: set[str]) -> Iterator[None]:
    """Mend the library in the block; `differences` collects what made a difference.

    Only processes that run such a test load the library, which takes 3 seconds of CPU.
    """
    with quick_import():
        from deepchecks.core.errors import NotEnoughSamplesError
        from deepchecks.tabular.metric_utils.scorers import DeepcheckScorer
        from deepchecks.utils.abstracts import feature_drift, label_drift, prediction_drift
        from deepchecks.utils.distribution import preprocessing
        from deepchecks.utils.distribution.drift import calc_drift_and_plot

    def drift(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("min_samples") == 0:
            kwargs["min_samples"] = 1
        try:
            return calc_drift_and_plot(*args, **kwargs)
        except (IndexError, ValueError) as error:
            if not any(words in str(error) for words in EMPTY_SIDE):
                raise
            differences.add("a side without a value is too few values")
            if kwargs.get("raise_min_samples_error"):
                raise NotEnoughSamplesError(str(error)) from error
            return "not_enough_samples", None, None

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(preprocessing, "set", _SortedSet, raising=False)
        # The library tries each scorer on one row of each class first, on which a scorer of its own may fail.
        patched.setattr(DeepcheckScorer, "validate_fitting", lambda *_: None)
        patched.setattr(preprocessing, "sorted", _sorted_with_null, raising=False)
        for module in (feature_drift, label_drift, prediction_drift):
            patched.setattr(module, "calc_drift_and_plot", drift)
        yield


def _sorted_with_null(counts: Any, *, key: Any) -> Any:
    """Sort (name, count) as the library does; null, which can't be compared with a name, comes first."""
    return sorted(counts, key=lambda item: (key(item)[0], item[0] is not None, str(item[0])))


class _SortedSet(set[Any]):
    """A set whose union is listed in order, null first: the library adds up in the order of such a set."""

    def __or__(self, other: Any) -> Any:
        return self.union(other)

    def union(self, *others: Any) -> Any:
        return sorted(set(self).union(*others), key=lambda name: (name is not None, str(name)))


def with_boolean_texts(world: World) -> World:
    """Return the world with "True" and "False" in place of booleans, which the library takes for a mask of rows."""
    booleans = [name for name, kind in world.columns.items() if kind == "boolean"]
    texts: dict[str, Callable[[pd.DataFrame], Any]] = {
        name: lambda rows, name=name: rows[name].map(str, na_action="ignore") for name in booleans
    }
    columns = {name: "categorical" if name in booleans else kind for name, kind in world.columns.items()}
    current, reference = (frame.assign(**texts) for frame in (world.current, world.reference))
    return replace(world, columns=columns, current=current, reference=reference)

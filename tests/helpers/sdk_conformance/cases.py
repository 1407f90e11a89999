"""The register of cases, one for each public method of the SDK, and what they compare with."""

import io
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

CASES: dict[str, Callable[[Any], None]] = {}


def case(*methods: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register a function as the case of methods of the SDK, as "Class.method"."""

    def register(function: Callable[[Any], None]) -> Callable[[Any], None]:
        for method in methods:
            assert method not in CASES, method
            CASES[method] = function
        return function

    return register


def plain(value: Any) -> Any:
    """Return a value as JSON has it: NaN is None, numpy's numbers are numbers, tuples are lists."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def same(got: Any, wanted: Any, what: str = "") -> None:
    """Raise AssertionError if two values differ."""
    assert plain(got) == plain(wanted), f"{what}: got {got!r}, wanted {wanted!r}"


@contextmanager
def raising(kind: type[Exception], *texts: str) -> Iterator[None]:
    """Require an exception whose message has each of the texts."""
    try:
        yield
    except kind as error:
        message = str(error)
    else:
        raise AssertionError(f"nothing was raised; wanted {kind.__name__} {texts}")
    missing = [text for text in texts if text not in message]
    assert not missing, f"{missing} not in {message}"


def printed(function: Callable[[], Any]) -> tuple[Any, str]:
    """Return what a function returns, and what it prints."""
    output = io.StringIO()
    with redirect_stdout(output):
        result = function()
    return result, output.getvalue()


def warned(function: Callable[[], Any]) -> tuple[Any, str]:
    """Return what a function returns, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function()
    return result, "\n".join(str(warning.message) for warning in caught)

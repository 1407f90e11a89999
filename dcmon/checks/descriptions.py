"""Describe how the columns behind a check's largest entries differ from those compared with, in their own units."""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from dcmon.checks.check_run import Reduced
from dcmon.statistics.columns import Rows
from dcmon.statistics.description import describe_change

MAX_DESCRIBED = 5  # entries whose change a result describes


def with_changes(reduced: Reduced, describe: Callable[[Collection[str]], dict[str, dict[str, Any]]]) -> Reduced:
    """Add descriptions of the largest entries that are not 0. `describe`: returns them by name."""
    known = {name: number for name, number in reduced.entries.items() if number}
    largest = sorted(known, key=lambda name: (-known[name], name))[:MAX_DESCRIBED]
    return replace(reduced, changes=describe(largest)) if largest else reduced


def with_feature_changes(reduced: Reduced, current: Rows, compared: Rows) -> Reduced:
    """Add how the features with the largest entries differ from the compared rows."""
    return with_changes(
        reduced,
        lambda names: {
            name: describe_change(compared.features[name], current.features[name], compared.n, current.n)
            for name in names
        },
    )

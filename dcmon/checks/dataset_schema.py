"""The columns that a check reads, and the value that it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dcmon.states import ResultState

MAX_FEATURES = 30


@dataclass(frozen=True)
class DatasetSchema:
    """The columns of a model version.

    `task_type`: a TaskType. `features`: column types by name (numeric, integer, bigint, categorical, boolean, text,
    array_float, array_float_2d, datetime). `classes`: sorted names. `balance_classes`: True if drift checks give all
    classes the same weight.
    """

    task_type: str
    features: Mapping[str, str]
    classes: Sequence[str] | None = None
    feature_importance: Mapping[str, float] | None = None
    balance_classes: bool = False


@dataclass(frozen=True)
class CheckValue:
    """The value of a check on one window.

    `metrics`: its numbers by name. `entries`: what drives them, a number for each feature, class or new label, the
    largest first. `reason`: one line that says why the check has no value, or what was left out of the value.
    """

    state: ResultState
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    entries: dict[str, float] = field(default_factory=dict)


def storable(value: CheckValue) -> CheckValue:
    """Return the value with texts that PostgreSQL can store.

    Otherwise a text from a user's check could prevent that the results of all monitors of the window are stored.
    """
    return CheckValue(
        value.state,
        {_storable_text(name): number for name, number in value.metrics.items()},
        None if value.reason is None else _storable_text(value.reason),
        {_storable_text(name): number for name, number in value.entries.items()},
    )


def _storable_text(text: str) -> str:
    """Replace NUL characters and single surrogates."""
    return text.encode(errors="replace").decode().replace("\0", "?")


def chosen_features(schema: DatasetSchema, check_conf: Mapping[str, Any] | None = None) -> list[str]:
    """Return the features that a check reads.

    These are the features that `check_conf` lists; if it lists none, the 30 most important features of the version, or
    the first 30 by name if their importance is not known.
    """
    listed = (check_conf or {}).get("feature")
    if listed:
        return list(dict.fromkeys(listed))
    importance = schema.feature_importance or {}
    return sorted(schema.features, key=lambda name: (-importance.get(name, 0.0), name))[:MAX_FEATURES]

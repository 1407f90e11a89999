"""The columns that a check reads, and the value that it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dcmon.states import ResultState


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
    `changes`: how the first entries that are features differ from the compared rows, in their own units
    (dcmon.statistics.description).
    `intervals`: by name of a metric or entry the limits of its confidence interval of 95 %, [low, high], where there is
    a closed form. `noise`: by name the drift that 95 of 100 windows without drift do not exceed.
    """

    state: ResultState
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    entries: dict[str, float] = field(default_factory=dict)
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    intervals: dict[str, list[float]] = field(default_factory=dict)
    noise: dict[str, float] = field(default_factory=dict)


def storable(value: CheckValue) -> CheckValue:
    """Return the value with texts that PostgreSQL can store.

    Otherwise a text from a user's check could prevent that the results of all monitors of the window are stored.
    """
    return CheckValue(
        value.state,
        {_storable_text(name): number for name, number in value.metrics.items()},
        None if value.reason is None else _storable_text(value.reason),
        {_storable_text(name): number for name, number in value.entries.items()},
        value.changes,
        {_storable_text(name): limits for name, limits in value.intervals.items()},
        {_storable_text(name): number for name, number in value.noise.items()},
    )


def _storable_text(text: str) -> str:
    """Replace NUL characters and single surrogates."""
    return text.encode(errors="replace").decode().replace("\0", "?")


def chosen_features(schema: DatasetSchema, check_conf: Mapping[str, Any] | None = None) -> list[str]:
    """Return the features that a check reads, the most important first, then by name.

    These are the features that `check_conf` lists; if it lists none, all features of the version, or as many as its
    "max features" says.
    """
    conf = check_conf or {}
    if listed := conf.get("feature"):
        return list(dict.fromkeys(listed))
    importance = schema.feature_importance or {}
    ordered = sorted(schema.features, key=lambda name: (-importance.get(name, 0.0), name))
    return ordered[: max_features(conf)]


def max_features(check_conf: Mapping[str, Any]) -> int | None:
    """Return how many features a monitor reads at most; None: all."""
    chosen = check_conf.get("max features")
    return int(chosen[0] if isinstance(chosen, list | tuple) else chosen) if chosen else None

"""The columns that a check reads, and the value that a check returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dcmon.states import ResultState

MAX_FEATURES = 30


@dataclass(frozen=True)
class DatasetSchema:
    """The columns of a model version.

    `task_type` is "regression", "binary" or "multiclass"; `features` maps names to column types (numeric, integer,
    bigint, categorical, boolean, text, array_float, array_float_2d, datetime); `classes` are sorted strings;
    `balance_classes` asks drift checks to weigh every class alike.
    """

    task_type: str
    features: Mapping[str, str]
    classes: Sequence[str] | None = None
    feature_importance: Mapping[str, float] | None = None
    balance_classes: bool = False


@dataclass(frozen=True)
class CheckValue:
    """What a check says of one window.

    `metrics` are its numbers by name; `entries` what drives them (a number per feature, class or new
    label, largest first); `reason`
    is one line: why there is no value, or what was left out of it.
    """

    state: ResultState
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    entries: dict[str, float] = field(default_factory=dict)


def storable(value: CheckValue) -> CheckValue:
    """The value in words that PostgreSQL takes: what a stranger's check says must not cost the others of its window."""
    return CheckValue(
        value.state,
        {_text(name): number for name, number in value.metrics.items()},
        None if value.reason is None else _text(value.reason),
        {_text(name): number for name, number in value.entries.items()},
    )


def _text(said: str) -> str:
    """Without NUL and halves of surrogate pairs."""
    return said.encode(errors="replace").decode().replace("\0", "?")


def chosen_features(schema: DatasetSchema, check_conf: Mapping[str, Any] | None = None) -> list[str]:
    """The features a check reads: those that `check_conf` lists, else the 30 most important, else the first 30."""
    listed = (check_conf or {}).get("feature")
    if listed:
        return list(dict.fromkeys(listed))
    importance = schema.feature_importance or {}
    return sorted(schema.features, key=lambda name: (-importance.get(name, 0.0), name))[:MAX_FEATURES]

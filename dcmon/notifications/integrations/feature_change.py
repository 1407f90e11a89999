"""How a feature or a score changed, as text in its own units: "mean 65 → 88, nulls 0 % → 51 %"."""

from collections.abc import Mapping
from typing import Any

MIN_NULL_CHANGE = 0.005  # of the share of nulls: smaller changes are not shown
MIN_DEVIATION_CHANGE = 0.1  # of the standard deviation, as a share of the one before


def feature_change(change: Mapping[str, Any]) -> str:
    """Return a description of dcmon.statistics.description as text; empty if nothing is worth a word.

    The score of a model is in the description as {"score": [before, now]}.
    """
    parts = [_score(change), _mean(change), _deviation(change), *_categories(change), _nulls(change)]
    return ", ".join(part for part in parts if part)


def _score(change: Mapping[str, Any]) -> str:
    before, now = change.get("score") or (None, None)
    return f"score {_number(before)} → {_number(now)}" if before is not None else ""


def _mean(change: Mapping[str, Any]) -> str:
    before, now = change.get("mean") or (None, None)
    return f"mean {_number(before)} → {_number(now)}" if before is not None or now is not None else ""


def _deviation(change: Mapping[str, Any]) -> str:
    before, now = change.get("deviation") or (None, None)
    if before is None or now is None or abs(now - before) <= MIN_DEVIATION_CHANGE * before:
        return ""
    return f"standard deviation {_number(before)} → {_number(now)}"


def _categories(change: Mapping[str, Any]) -> list[str]:
    shares = [
        f"{name} {_percent(before)} → {_percent(now)}" for name, (before, now) in change.get("shares", {}).items()
    ]
    came, went = change.get("came", 0), change.get("went", 0)
    return [
        *shares,
        f"{came} new {'category' if came == 1 else 'categories'}" if came else "",
        f"{went} {'category' if went == 1 else 'categories'} gone" if went else "",
    ]


def _nulls(change: Mapping[str, Any]) -> str:
    before, now = change.get("nulls", (0.0, 0.0))
    return f"nulls {_percent(before)} → {_percent(now)}" if abs(now - before) >= MIN_NULL_CHANGE else ""


def _number(number: float | None) -> str:
    return "none" if number is None else f"{number:.4g}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"

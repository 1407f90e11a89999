"""Explain an alert by the entries that changed most.

The worst window of the alert is compared with the ok window before the alert.
"""

from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon.alerting.state_machine import ViolationSpan
from dcmon.alerting.state_machine import WindowResult as WindowResult
from dcmon.db.tables.org import Check, Monitor, Result, Version
from dcmon.states import ResultState

MAX_ENTRIES = 5
FEATURE_DRIFT = ("FeatureDrift", "TrainTestFeatureDrift")


def drifting_features(session: Session, version_id: int, start: datetime, end: datetime) -> dict[str, float]:
    """Return the drift of each feature in the shortest window that covers [start, end).

    Weighted with the feature's importance where that is known. Read from results of Feature Drift monitors; empty
    when the window has none.
    """
    covering = (
        select(Result.entries, Version.feature_importance)
        .join(Monitor, Monitor.id == Result.monitor_id)
        .join(Check, Check.id == Monitor.check_id)
        .join(Version, Version.id == Result.version_id)
        .where(
            Result.version_id == version_id,
            Result.window_start <= start,
            Result.window_end >= end,
            Result.state == ResultState.OK,
            Check.class_name.in_(FEATURE_DRIFT),
        )
        .order_by(Result.window_end - Result.window_start, Result.revision.desc())
    )
    row = session.execute(covering.limit(1)).one_or_none()
    if row is None:
        return {}
    importance = row.feature_importance or dict.fromkeys(row.entries, 1.0)
    weighted = {name: drift * importance.get(name, 0.0) for name, drift in row.entries.items()}
    return {name: drift for name, drift in weighted.items() if drift > 0}


class Explanation(NamedTuple):
    """The largest entries of a span's worst window, and the alert's details."""

    drivers: dict[str, float]
    details: dict[str, Any]


def explain(session: Session, version_id: int, span: ViolationSpan) -> Explanation:
    """Compare a span's worst window with the ok window before the span."""
    after = _entries(session, version_id, span.worst)
    before = {} if span.ok_window_before is None else _entries(session, version_id, span.ok_window_before)
    drivers = dict(sorted(after.items(), key=lambda item: -item[1])[:MAX_ENTRIES])
    finding = span.finding
    details = {
        "moved": _with_descriptions(largest_changes(before, after), span.worst),
        "worst_window_start": span.worst.window_start.isoformat(),
        "worst_n": span.worst.n,
        "before_window_end": None if span.ok_window_before is None else span.ok_window_before.window_end.isoformat(),
        "before_value": _before_value(span),
        "compared_with": None if finding is None else finding.compared_with,
        "measured": finding.measured if finding is not None and isfinite(finding.measured) else None,
        "reason": getattr(span.worst, "reason", None),
    }
    return Explanation(drivers, details)


def _before_value(span: ViolationSpan) -> float | None:
    """Return the value of the span's metric in the ok window before it."""
    if span.ok_window_before is None:
        return None
    return span.value_in(span.ok_window_before)


def largest_changes(before: Mapping[str, float], after: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the entries with the largest changes.

    An entry that is not in `before` counts as changed from 0.
    """
    names = sorted(after, key=lambda name: -abs(after[name] - before.get(name, 0.0)))
    return [{"name": name, "before": before.get(name), "after": after[name]} for name in names[:MAX_ENTRIES]]


def _with_descriptions(largest: list[dict[str, Any]], window: WindowResult) -> list[dict[str, Any]]:
    """Add to the entries that are features how they differ from the compared rows, in their own units."""
    changes = (getattr(window, "how", None) or {}).get("changes", {})
    return [{**entry, "change": changes[entry["name"]]} if entry["name"] in changes else entry for entry in largest]


def _entries(session: Session, version_id: int, window: WindowResult) -> Mapping[str, float]:
    """Return a window's entries; without entries, the drift of features in the same time."""
    return window.entries or drifting_features(session, version_id, window.window_start, window.window_end)

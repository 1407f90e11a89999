"""Explain an alert by the entries that changed most.

The worst window of the alert is compared with the ok window before the alert.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from math import isfinite
from typing import Any, NamedTuple

from sqlalchemy import DateTime, Integer, Row, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from dcmon.alerting.state_machine import ViolationSpan
from dcmon.alerting.state_machine import WindowResult as WindowResult

MAX_ENTRIES = 5
FEATURE_DRIFT = ("FeatureDrift", "TrainTestFeatureDrift")
COVERING = text("""
    select given.position, covering.entries, covering.feature_importance
      from unnest(:versions, :starts, :ends) with ordinality given(version_id, window_start, window_end, position)
      cross join lateral (
           select r.entries, v.feature_importance
             from results r join monitors m on m.id = r.monitor_id join checks c on c.id = m.check_id
                  join versions v on v.id = r.version_id
            where r.version_id = given.version_id and r.window_start <= given.window_start
              and r.window_end >= given.window_end and r.state = 'OK' and c.class_name = any(:checks)
            order by r.window_end - r.window_start, r.revision desc
            limit 1) covering
""").bindparams(
    bindparam("versions", type_=ARRAY(Integer)),
    bindparam("starts", type_=ARRAY(DateTime(timezone=True))),
    bindparam("ends", type_=ARRAY(DateTime(timezone=True))),
)


class VersionTime(NamedTuple):
    """The time [start, end) of a version."""

    version_id: int
    start: datetime
    end: datetime


def drifting_features(session: Session, version_id: int, start: datetime, end: datetime) -> dict[str, float]:
    """Return the drift of each feature in the shortest window that covers [start, end).

    Weighted with the feature's importance where that is known. Read from results of Feature Drift monitors; empty
    when the window has none.
    """
    time = VersionTime(version_id, start, end)
    return drifting_features_in(session, [time])[time]


def drifting_features_in(session: Session, times: Collection[VersionTime]) -> dict[VersionTime, dict[str, float]]:
    """Return the drift of each feature in each time, as `drifting_features` does, in one statement."""
    ordered = list(dict.fromkeys(times))
    if not ordered:
        return {}
    parameters = {
        "versions": [time.version_id for time in ordered],
        "starts": [time.start for time in ordered],
        "ends": [time.end for time in ordered],
        "checks": list(FEATURE_DRIFT),
    }
    rows = {row.position: row for row in session.execute(COVERING, parameters)}
    return {time: _weighted(rows.get(position)) for position, time in enumerate(ordered, 1)}


def _weighted(row: Row[Any] | None) -> dict[str, float]:
    """Return the drifts of a row, weighted, without those that are 0."""
    if row is None:
        return {}
    importance = row.feature_importance or dict.fromkeys(row.entries, 1.0)
    weighted = {name: drift * importance.get(name, 0.0) for name, drift in row.entries.items()}
    return {name: drift for name, drift in weighted.items() if drift > 0}


class Explanation(NamedTuple):
    """The largest entries of a span's worst window, and the alert's details."""

    drivers: dict[str, float]
    details: dict[str, Any]


def compared_windows(span: ViolationSpan) -> list[WindowResult]:
    """Return the windows whose entries explain a span."""
    return [span.worst] if span.ok_window_before is None else [span.worst, span.ok_window_before]


def time_without_entries(version_id: int, window: WindowResult) -> VersionTime | None:
    """Return the time whose drifting features stand for a window's entries; None if it has entries."""
    return None if window.entries else VersionTime(version_id, window.window_start, window.window_end)


def explain(version_id: int, span: ViolationSpan, drift: Mapping[VersionTime, Mapping[str, float]]) -> Explanation:
    """Compare a span's worst window with the ok window before the span.

    `drift`: the drifting features of windows without entries, as `drifting_features_in` returns them.
    """
    after = _entries(version_id, span.worst, drift)
    before = {} if span.ok_window_before is None else _entries(version_id, span.ok_window_before, drift)
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
        "limit": None if finding is None else finding.limit,
        "looks_at": None if finding is None else finding.looks_at,
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

    An entry that is not in `before` counts as changed from 0. Entries without a change are left out.
    """
    changed = [name for name in after if after[name] != before.get(name, 0.0)]
    names = sorted(changed, key=lambda name: -abs(after[name] - before.get(name, 0.0)))
    return [{"name": name, "before": before.get(name), "after": after[name]} for name in names[:MAX_ENTRIES]]


def _with_descriptions(largest: list[dict[str, Any]], window: WindowResult) -> list[dict[str, Any]]:
    """Add to the entries that are features how they differ from the compared rows, in their own units."""
    changes = (getattr(window, "how", None) or {}).get("changes", {})
    return [{**entry, "change": changes[entry["name"]]} if entry["name"] in changes else entry for entry in largest]


def _entries(
    version_id: int, window: WindowResult, drift: Mapping[VersionTime, Mapping[str, float]]
) -> Mapping[str, float]:
    """Return a window's entries; without entries, the drift of features in the same time."""
    time = time_without_entries(version_id, window)
    return window.entries if time is None else drift[time]

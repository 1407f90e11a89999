"""What to look at: the entries that moved most, from the good window before to the worst one."""

from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon.alerting.state_machine import Episode
from dcmon.alerting.state_machine import Result as WindowResult
from dcmon.db.tables.org import Check, Monitor, Result, Version
from dcmon.states import ResultState

FEATURE_DRIFT = ("FeatureDrift", "TrainTestFeatureDrift")


def moved_features(session: Session, version_id: int, start: datetime, end: datetime) -> dict[str, float]:
    """Drift by feature, times its importance where that is known, in the shortest window that covers [start, end).

    Taken from what a Feature Drift monitor found; empty where none did.
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
    found = session.execute(covering.limit(1)).one_or_none()
    if found is None:
        return {}
    importance = found.feature_importance or dict.fromkeys(found.entries, 1.0)
    moved = {name: drift * importance.get(name, 0.0) for name, drift in found.entries.items()}
    return {name: share for name, share in moved.items() if share > 0}


SHOWN = 5


def of_episode(session: Session, version_id: int, episode: Episode) -> tuple[dict[str, float], dict[str, Any]]:
    """The largest entries of the worst window, and what was there before them."""
    after = _entries(session, version_id, episode.worst)
    before = {} if episode.before is None else _entries(session, version_id, episode.before)
    drivers = dict(sorted(after.items(), key=lambda item: -item[1])[:SHOWN])
    found = episode.finding
    details = {
        "moved": moved(before, after),
        "worst_window_start": episode.worst.window_start.isoformat(),
        "worst_n": episode.worst.n,
        "before_window_end": None if episode.before is None else episode.before.window_end.isoformat(),
        "before_value": _before_value(episode),
        "compared_with": None if found is None else found.before,
        "measured": found.measured if found is not None and isfinite(found.measured) else None,
        "reason": getattr(episode.worst, "reason", None),
    }
    return drivers, details


def _before_value(episode: Episode) -> float | None:
    """The same number in the good window before."""
    if episode.before is None:
        return None
    return {**episode.before.entries, **episode.before.metrics}.get(episode.metric)


def moved(before: Mapping[str, float], after: Mapping[str, float]) -> list[dict[str, Any]]:
    """The entries that moved most, with before and after; without a before, the largest."""
    far = sorted(after, key=lambda name: -abs(after[name] - before.get(name, 0.0)))
    return [{"name": name, "before": before.get(name), "after": after[name]} for name in far[:SHOWN]]


def _entries(session: Session, version_id: int, window: WindowResult) -> Mapping[str, float]:
    """A window's own entries; where its check has none, the features that moved most then."""
    return window.entries or moved_features(session, version_id, window.window_start, window.window_end)

"""What to look at: the entries that moved most, from the good window before to the worst one."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from sqlalchemy.orm import Session

from dcmon import results
from dcmon.episodes import Episode, Result

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


def _entries(session: Session, version_id: int, window: Result) -> Mapping[str, float]:
    """A window's own entries; where its check has none, the features that moved most then."""
    return window.entries or results.moved_features(session, version_id, window.window_start, window.window_end)

"""Decide whether a version's rows arrive as they are made, or were loaded.

A version is live if its newest sample was young when it was logged. The rows of another version were loaded as history:
windows after its newest sample are never due, and the window of this sample is due when its time is over and its rows
have stopped coming.
"""

from datetime import timedelta
from enum import StrEnum

from dcmon.db.tables.org import Model, Version

# A version is live if its newest sample was less old than this, plus the model's lateness, when it was logged.
MAX_LIVE_AGE = timedelta(hours=1)
# The same condition in SQL, for queries over `versions v` and `models m`.
IS_LIVE = f"v.newest_logged_at - v.watermark < interval '{MAX_LIVE_AGE.total_seconds()} seconds' + m.lateness"


class Liveness(StrEnum):
    """How the samples of a version arrive."""

    LIVE = "live"
    STALE = "stale"
    LOADED = "loaded"
    EMPTY = "empty"


def is_live(model: Model, version: Version) -> bool:
    """Return True if the version's rows arrive as they are made, within the model's lateness."""
    if version.watermark is None or version.newest_logged_at is None:
        return False
    return version.newest_logged_at - version.watermark < MAX_LIVE_AGE + model.lateness


def classify(model: Model, version: Version) -> Liveness:
    """Return how the samples of a version arrive."""
    if version.watermark is None or version.newest_logged_at is None:
        return Liveness.EMPTY
    if not is_live(model, version):
        return Liveness.LOADED
    return Liveness.STALE if version.stale_at == version.watermark else Liveness.LIVE

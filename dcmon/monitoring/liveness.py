"""Whether the rows of a version come as they are made, have stopped coming, or were loaded as history.

A version is live while its newest sample was young when it was logged. A version whose rows were loaded is history,
which is never judged by the clock.
"""

from datetime import timedelta
from enum import StrEnum

from dcmon.db.tables.org import Model, Version

# A version is live if its newest sample was at most so old when it was logged; the model's lateness is added.
MAX_LIVE_AGE = timedelta(hours=1)
# The same in SQL, of `versions v` and `models m`.
IS_LIVE = f"v.newest_logged_at - v.watermark < interval '{MAX_LIVE_AGE.total_seconds()} seconds' + m.lateness"


class Liveness(StrEnum):
    """How the samples of a version come."""

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
    """Return how the samples of a version come."""
    if version.watermark is None or version.newest_logged_at is None:
        return Liveness.EMPTY
    if not is_live(model, version):
        return Liveness.LOADED
    return Liveness.STALE if version.stale_at == version.watermark else Liveness.LIVE

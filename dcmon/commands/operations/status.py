"""Collect the status of dcmon itself."""

from datetime import timedelta
from typing import TYPE_CHECKING

from dcmon import db
from dcmon.embedded import supervisor_state
from dcmon.health import status

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.health.status import Status

LOCK_WAIT = timedelta(seconds=5)


def collect(app: "App") -> "Status":
    """Collect the status of all machines, and of the supervisor of this data directory.

    A lock on a table that is held for longer than LOCK_WAIT does not keep the operator waiting: it is what is wrong.
    """
    engine = db.engine(app.database_url, lock_wait=LOCK_WAIT)
    try:
        return status.collect(engine, app.settings, supervisor_state.read(app.settings))
    finally:
        engine.dispose()

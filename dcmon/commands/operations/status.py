"""Collect the status of dcmon itself."""

from datetime import timedelta
from typing import TYPE_CHECKING

from dcmon import db
from dcmon.embedded import supervisor_state
from dcmon.health import status
from dcmon.health.organization_healths import COMPLETE_LOOK, QUICK_LOOK

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.health.status import Status

LOCK_WAIT = timedelta(seconds=5)


def collect(app: "App", *, is_exact: bool = False) -> "Status":
    """Collect the status of all machines, and of the supervisor of this data directory.

    With --org, of organizations only that one is read. `is_exact`: each is read, also if they are so many that this
    takes a minute. A lock on a table that is held for longer than LOCK_WAIT does not keep the operator waiting: it is
    what is wrong. Raises OrganizationNotFound.
    """
    engine = db.engine(app.database_url, lock_wait=LOCK_WAIT)
    try:
        look = COMPLETE_LOOK if is_exact else QUICK_LOOK
        local = supervisor_state.read(app.settings)
        return status.collect(engine, app.settings, local, look, only=app.typed_org)
    finally:
        engine.dispose()

"""Collect the status of dcmon itself."""

from typing import TYPE_CHECKING

from dcmon.embedded import supervisor_state
from dcmon.health import status

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.health.status import Status


def collect(app: "App") -> "Status":
    """Collect the status of all machines, and of the supervisor of this data directory."""
    return status.collect(app.engine, app.settings, supervisor_state.read(app.settings))

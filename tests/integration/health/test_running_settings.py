"""The status says where the processes of this machine run with other settings than this one."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from dcmon import db
from dcmon.app import App
from dcmon.embedded.environment import comparable
from dcmon.embedded.supervisor_state import SupervisorState
from dcmon.health import status
from dcmon.settings import Settings, Webhooks

STARTED_AT = "2026-11-26T12:00:00+00:00"


@pytest.mark.parametrize("is_reachable", [True, False])
def test_status_has_the_difference_of_settings(app: App, engine: Engine, is_reachable: bool) -> None:
    """Also where the database can't be read."""
    started = SupervisorState(1, "", STARTED_AT, True, [], "", comparable(app.settings, STARTED_AT))
    allowing = app.settings.model_copy(update={"webhooks": Webhooks(allow=["127.0.0.1"])})
    used = engine if is_reachable else db.engine("postgresql://dcmon@127.0.0.1:1/dcmon")

    def difference(settings: Settings, local: SupervisorState | None) -> str:
        found = status.collect(used, settings, local).difference
        return "" if found is None else f"{found.sentence} {found.command}"

    assert "DCMON_WEBHOOKS__ALLOW (only this shell has it). dcmon down && dcmon up" in difference(allowing, started)
    assert difference(app.settings, started) == ""
    assert difference(allowing, None) == ""
    assert difference(allowing, replace(started, settings=None)) == ""

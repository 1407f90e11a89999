"""A monitor is found by name, by model and name, or by id."""

import pytest

from dcmon import db, errors
from dcmon.monitoring import model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.storage import models
from dcmon.storage.models import NewModel
from dcmon.windows import Frequency
from tests.integration.conftest import Target


def test_ambiguous_monitor_name_is_refused_with_choices(target: Target) -> None:
    """The error lists all names that are unique."""
    with db.org_session(target.engine, target.org) as session:
        created = {}
        for model in (models.get(session, target.model_id), models.create(session, NewModel("other", "regression"))):
            check = model_checks.get_or_create_check(session, model, "PercentOfNulls")
            created[model.name] = [monitors.create(session, check, MonitorSpec(name, Frequency.DAY)) for name in "aab"]
        first, twin, monitor_b = created["other"]
        assert monitors.find(session, "other/b") is monitor_b
        assert monitors.find(session, str(twin.id)) is twin
        with pytest.raises(errors.InvalidInput, match=f"Use {first.id} .other/a. or {twin.id} .other/a"):
            monitors.find(session, "other/a")
        with pytest.raises(errors.InvalidInput, match="Use 'credit/b' or 'other/b'"):
            monitors.find(session, "b")
        with pytest.raises(errors.NotFound):
            monitors.find(session, "0")

"""Which new alerts are recent, so that receivers are notified about them."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from dcmon.alerting import rules
from dcmon.app import App
from dcmon.jobs import evaluate
from dcmon.monitoring import model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.notifications import receivers
from dcmon.settings import Webhooks
from dcmon.storage import models
from dcmon.windows import Frequency
from tests.helpers.evaluation import stored_alerts
from tests.integration.conftest import Target, eventually, running

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(("hours", "other"), [(1, None), (60, None), (1, Frequency.MONTH)])
def test_live_alert_is_notified_for_any_length_of_windows(
    app: App, target: Target, hours: int, other: Frequency | None
) -> None:
    """Windows of 60 hours, and months of another monitor, end much later: this makes no alert old."""
    with app.org(target.org) as session:
        receivers.add(session, "team", "https://hooks.example.org/x", Webhooks())
        check = model_checks.get_or_create_check(session, models.get(session, target.model_id), "PercentOfNulls")
        monitor = monitors.create(session, check, MonitorSpec("Nulls", Frequency.HOUR, hours))
        rules.create(session, monitor.id, rules.parse("> 0.1"), "high")
        if other is not None:
            monitors.create(session, check, MonitorSpec("Other", other, 2))
    now = datetime.now(UTC)
    rows = [
        {"_dc_sample_id": f"s{number}", "_dc_time": (now - number * HOUR / 2).isoformat(), "_dc_prediction": "1",
         "age": None, "job": "j"}
        for number in range(6)
    ]  # fmt: skip
    app.ingestion.ingest_samples(target.org, target.version_id, [json.dumps(row).encode() for row in rows])
    with running(evaluate.run, app):
        assert eventually(lambda: [alert.state for alert in stored_alerts(app, target)] == ["firing"])
    assert target.scalar("select count(*) from notifications where kind = 'firing'") == 1

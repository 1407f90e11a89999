"""Results of a drift monitor that a rule judges, and the alerts and notifications that follow."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.alerting import judging, rules
from dcmon.alerting.change_context import ChangeContext
from dcmon.alerting.rules import Change
from dcmon.checks.dataset_schema import CheckValue
from dcmon.db.tables.org import Alert, Monitor, Notification, Result
from dcmon.monitoring import model_checks, monitors, results
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.monitoring.results import CheckRun, ResultInputs, ResultKey
from dcmon.notifications import receivers
from dcmon.settings import Webhooks
from dcmon.states import ResultState
from dcmon.storage import models
from dcmon.storage.sampling import WindowStatistics
from dcmon.windows import Frequency
from tests.helpers.evaluation import START, day
from tests.integration.conftest import Target

URL = "https://dcmon.example"


def create_rule(target: Target, condition: str, severity: str = "high", **more: Any) -> int:
    """Create a monitor with a rule and a subscribed webhook."""
    with db.org_session(target.engine, target.org) as session:
        check = model_checks.get_or_create_check(session, models.get(session, target.model_id), "FeatureDrift")
        monitor = monitors.create(session, check, MonitorSpec("Drift", Frequency.DAY))
        rule = rules.create(session, monitor.id, rules.parse(condition), severity, more=Change(**more))
        receivers.add(session, "team", "https://hooks.example.org/x", Webhooks())
        return rule.id


def store_and_judge(
    target: Target, number: int, value: float | str, revision: int = 1, n: int = 100, **context_options: Any
) -> Result:
    """Store and judge the result of a day; `value` may be a state without value."""
    check_value = (
        CheckValue(ResultState.OK, {"score": value}, None, {"age": value, "job": value / 2})
        if isinstance(value, float)
        else CheckValue(ResultState(value), reason="no row")
    )
    with db.org_session(target.engine, target.org) as session:
        monitor = session.scalars(select(Monitor).order_by(Monitor.id).limit(1)).one()
        statistics = WindowStatistics(n, 0, revision, 0, START)
        last = results.lock_newest(session, target.version_id, day(number), [monitor.id]).get(monitor.id)
        key = ResultKey(monitor, target.version_id, day(number))
        result = results.store(session, key, check_value, ResultInputs(statistics, 1), CheckRun(n), last=last)
        assert result is not None
        session.flush()
        judging.judge_result(
            session, result, ChangeContext(target.org, context_options.pop("url", URL), **context_options)
        )
        return result


def newest_results(session: Session) -> list[Result]:
    """Return the newest result of each window, in order of time."""
    stored_results = session.scalars(select(Result).order_by(Result.window_end, Result.revision))
    return list({result.window_end: result for result in stored_results}.values())


def stored_alerts(target: Target) -> list[Alert]:
    with db.org_session(target.engine, target.org) as session:
        return list(session.scalars(select(Alert).order_by(Alert.id)))


def notified_states(target: Target) -> list[tuple[int | None, str]]:
    """Return the notified alerts and states in order."""
    with db.org_session(target.engine, target.org) as session:
        notifications = session.scalars(select(Notification).order_by(Notification.position))
        return [(notification.alert_id, notification.kind) for notification in notifications]


def require_last_notification_matches(target: Target) -> None:
    """Check that the last notification matches the alert and no state repeats."""
    for alert in stored_alerts(target):
        kinds = [kind for about, kind in notified_states(target) if about == alert.id]
        is_notified_as_firing = False
        for kind in kinds:
            assert is_notified_as_firing is (kind not in ("firing", "reopened"))
            is_notified_as_firing = kind not in ("resolved", "retracted")
        assert is_notified_as_firing is (alert.state == "firing")

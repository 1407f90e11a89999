"""An alert tells what broke its rule in the first and in the last window, beside the worst value."""

from sqlalchemy import select

from dcmon import db
from dcmon.alerting import alert_payload, judging
from dcmon.alerting.change_context import ChangeContext
from dcmon.checks.dataset_schema import CheckValue
from dcmon.db.tables.org import Monitor
from dcmon.monitoring import results
from dcmon.monitoring.results import CheckRun, ResultInputs, ResultKey
from dcmon.states import ResultState
from dcmon.storage.sampling import WindowStatistics
from tests.helpers.evaluation import START, day
from tests.helpers.judged_results import URL, create_rule, stored_alerts
from tests.integration.conftest import Target


def store_entries(target: Target, number: int, entries: dict[str, float]) -> None:
    """Store and judge the result of a day with these entries."""
    with db.org_session(target.engine, target.org) as session:
        monitor = session.scalars(select(Monitor)).one()
        last = results.lock_newest(session, target.version_id, day(number), [monitor.id]).get(monitor.id)
        key = ResultKey(monitor, target.version_id, day(number))
        value = CheckValue(ResultState.OK, {"score": 0.0}, None, entries)
        inputs = ResultInputs(WindowStatistics(100, 0, 1, 0, START), 1)
        result = results.store(session, key, value, inputs, CheckRun(100), last=last)
        assert result is not None
        session.flush()
        judging.judge_result(session, result, ChangeContext(target.org, URL))


def test_any_feature_tells_what_broke_the_rule_in_each_window(target: Target) -> None:
    """The alert is about the worst feature; in its first and last window another one broke the rule."""
    create_rule(target, "any feature > 0.2")
    for number, entries in enumerate(({"job": 0.3}, {"age": 0.9}, {"job": 0.4, "age": 0.1}, {"job": 0.25})):
        store_entries(target, number, entries)
    (alert,) = stored_alerts(target)
    assert (alert.metric, alert.worst_value) == ("age", 0.9)
    with db.org_session(target.engine, target.org) as session:
        about = alert_payload.describe(session, target.org, alert, URL)
    assert (about["first_metric"], about["first_value"]) == ("job", 0.3)
    assert (about["last_metric"], about["last_value"], about["violated_now"]) == ("job", 0.25, True)
    assert "job is 0.25, age was 0.9 at worst (any feature > 0.2)" in about["summary"]
    store_entries(target, 4, {"age": 0.05, "job": 0.1})
    (alert,) = stored_alerts(target)
    assert (alert.state, alert.current_value, (alert.details or {})["violated_now"]) == ("resolved", 0.05, False)

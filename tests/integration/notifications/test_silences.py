"""Silences, mute times and more severe alerts hold notifications back."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.alerting import rules
from dcmon.db.tables.org import Alert, AlertRule
from dcmon.monitoring import model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.notifications import mute_times, silences
from dcmon.notifications.silences import NewSilence
from dcmon.storage import models
from dcmon.windows import Frequency
from tests.integration.conftest import Target

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)  # a Thursday
HOUR = timedelta(hours=1)


def alert(session: Session, target: Target, rule: AlertRule, state: str = "firing") -> Alert:
    alert_row = Alert(
        rule_id=rule.id, version_id=target.version_id, state=state, severity=rule.severity,
        first_window_start=NOW, first_window_end=NOW, last_window_end=NOW, windows=1, metric="m", worst_value=1,
        worst_window_end=NOW, current_value=1, drivers={}, n=1, opened_at=NOW,
    )  # fmt: skip
    session.add(alert_row)
    session.flush()
    return alert_row


def ruled(session: Session, target: Target, severities: Sequence[str]) -> list[AlertRule]:
    check = model_checks.get_or_create_check(session, models.get(session, target.model_id), "FeatureDrift")
    monitor = monitors.create(session, check, MonitorSpec("Drift é", Frequency.DAY))
    return [rules.create(session, monitor.id, rules.parse("> 0.2"), severity) for severity in severities]


def until(session: Session, alert_row: Alert, now: datetime) -> datetime | None:
    """Return when the current hold of an alert ends."""
    held = silences.find_hold(session, alert_row, now)
    assert held is not None
    return held.until


def test_silence_holds_matching_alerts_while_it_lasts(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        (rule,) = ruled(session, target, ["high"])
        alert_row = alert(session, target, rule)
        assert silences.hold_reason(session, alert_row, NOW) is None
        silences.add(session, NewSilence(["model=other"], NOW - HOUR, NOW + 9 * HOUR, "", "ann"))
        silences.add(session, NewSilence(["monitor=~Drift.*", "severity=high"], NOW, NOW + HOUR, "deploy", "ann"))
        reason = silences.hold_reason(session, alert_row, NOW)
        assert reason is not None
        assert "by ann" in reason
        assert "deploy" in reason
        assert until(session, alert_row, NOW) == NOW + HOUR
        assert silences.hold_reason(session, alert_row, NOW - HOUR) is None
        assert silences.hold_reason(session, alert_row, NOW + HOUR) is None


@pytest.mark.parametrize(
    ("matcher", "fits"),
    [
        ("rule={id}", True), ("rule=nights", True), ("rule!={id}", False), ("rule!=nights", False), ("rule=9", False),
        ("monitor=Drift é", True), ("monitor=credit/Drift é", True), ("monitor!=credit/Drift é", False),
        ("monitor=~credit/.*", True), ("monitor=~Dri.*", True), ("monitor=other/Drift é", False),
    ],
)  # fmt: skip
def test_matcher_takes_rule_and_monitor_in_either_form(target: Target, matcher: str, fits: bool) -> None:
    with db.org_session(target.engine, target.org) as session:
        (rule,) = ruled(session, target, ["high"])
        rule.name = "nights"
        alert_row = alert(session, target, rule)
        silences.add(session, NewSilence([matcher.format(id=rule.id)], NOW - HOUR, NOW + HOUR, "", "ann"))
        assert (silences.hold_reason(session, alert_row, NOW) is not None) is fits


def test_mute_time_takes_rule_and_monitor_in_either_form(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        (rule,) = ruled(session, target, ["high"])
        rule.name = "nights"
        mute_times.add(session, "noon", "daily", "11:00-13:00", "UTC", [f"rule={rule.id}", "monitor=credit/Drift é"])
        assert silences.hold_reason(session, alert(session, target, rule), NOW) is not None


def test_silence_in_the_past_is_refused(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session, pytest.raises(errors.InvalidInput, match="over already"):
        silences.add(session, NewSilence(["model=credit"], NOW - 2 * HOUR, NOW - HOUR, "", "ann"), NOW)


def test_ended_silence_holds_nothing_and_is_listed_on_request(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        (rule,) = ruled(session, target, ["low"])
        alert_row = alert(session, target, rule)
        silence = silences.add(session, NewSilence(["severity=low"], NOW, NOW + HOUR, "", "ann"))
        silences.end(session, silence.id, NOW + HOUR / 2)
        assert silences.hold_reason(session, alert_row, NOW + HOUR / 2) is None
        assert silences.entries(session, NOW + HOUR) == []
        assert silences.entries(session, NOW + HOUR, ended=True) == [silence]
        with pytest.raises(errors.NotFound):
            silences.end(session, 99, NOW)


def test_silence_needs_matchers_and_a_period(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        with pytest.raises(errors.InvalidInput, match="needs a matcher"):
            silences.add(session, NewSilence([], NOW, NOW + HOUR, "", "ann"))
        with pytest.raises(errors.InvalidInput, match="must end after"):
            silences.add(session, NewSilence(["model=a"], NOW, NOW, "", "ann"))


def test_mute_time_holds_notifications_in_its_hours(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        (rule,) = ruled(session, target, ["high"])
        alert_row = alert(session, target, rule)
        mute_times.add(session, "nights", "daily", "22-6", "Europe/Berlin", ["severity!=critical"])
        assert silences.hold_reason(session, alert_row, NOW) is None
        night = NOW + 11 * HOUR
        assert "nights" in (silences.hold_reason(session, alert_row, night) or "")
        assert until(session, alert_row, night) == datetime(2026, 11, 27, 5, tzinfo=UTC)
        alert_row.severity = "critical"
        assert silences.hold_reason(session, alert_row, night) is None
        with pytest.raises(errors.Conflict):
            mute_times.add(session, "nights", "daily", "22-6", "UTC", [])


def test_more_severe_alert_inhibits_lower_ones(target: Target) -> None:
    """An alert inhibits only alerts of the same monitor and version."""
    with db.org_session(target.engine, target.org) as session:
        low, critical, same = ruled(session, target, ["low", "critical", "low"])
        lower, higher, other_alert = (alert(session, target, rule) for rule in (low, critical, same))
        assert f"alert {higher.id} (critical)" in (silences.hold_reason(session, lower, NOW) or "")
        assert until(session, lower, NOW) is None
        assert silences.hold_reason(session, higher, NOW) is None
        low.is_inhibited = False
        assert silences.hold_reason(session, lower, NOW) is None
        assert silences.hold_reason(session, other_alert, NOW) is not None
        higher.state = "resolved"
        assert silences.hold_reason(session, other_alert, NOW) is None

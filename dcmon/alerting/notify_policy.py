"""Who is told what becomes of an alert, and the alert's history, which has it all.

What receivers were told is kept with the alert, and compared with what it is: so whatever was found quietly is told
when it matters, and whatever was told is taken back.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, func, select, true
from sqlalchemy.orm import Session

from dcmon.alerting import alert_payload, rule_failures
from dcmon.alerting.state_machine import Result as FoldedResult
from dcmon.alerting.state_machine import value_in
from dcmon.db import Organization
from dcmon.db.tables.org import Alert, AlertChange, AlertRule, DueWindow, Monitor, Notification, Result
from dcmon.notifications import notifications
from dcmon.severity import Severity
from dcmon.states import AlertChangeKind, AlertState, ResolvedBy, ResultState

RECENT = timedelta(days=2)
RECENT_WINDOWS = 2
UNIT = {"HOUR": timedelta(hours=1), "DAY": timedelta(days=1), "WEEK": timedelta(weeks=1), "MONTH": timedelta(days=31)}

# The lines of history by the state after a change: of a retracted alert, of a pending or new one, of any other.
_AFTER_RETRACTION = {
    AlertState.PENDING: [AlertChangeKind.PENDING],
    AlertState.FIRING: [AlertChangeKind.REOPENED],
    AlertState.RESOLVED: [AlertChangeKind.REOPENED, AlertChangeKind.RESOLVED],
}
_AFTER_PENDING = {
    AlertState.PENDING: [AlertChangeKind.PENDING],
    AlertState.FIRING: [AlertChangeKind.FIRING],
    AlertState.RESOLVED: [AlertChangeKind.FIRING, AlertChangeKind.RESOLVED],
}
_OTHERWISE = {
    AlertState.PENDING: [AlertChangeKind.RETRACTED],
    AlertState.FIRING: [AlertChangeKind.REOPENED],
    AlertState.RESOLVED: [AlertChangeKind.RESOLVED],
}


@dataclass(frozen=True)
class Voice:
    """Who is told, and why something changes.

    Without a `public_url`, which notifications link to, nobody is. `recent`: alerts that nobody knows of are told when
    no window that is due now ends so much later; None: always. `result`: what was found; `by`: the operator who did it.
    `spared`: an alert that is over and stays so when its windows are not bad.
    """

    org: Organization
    public_url: str | None = None
    recent: timedelta | None = RECENT
    result: Result | None = None
    by: str | None = None
    note: str | None = None
    gone: str = ResolvedBy.REVISION
    spared: Alert | None = None


def kinds_of(before: str, severity: str, alert: Alert) -> list[AlertChangeKind]:
    """What became of an alert, from the state and severity before to those now."""
    after = AlertState(alert.state)
    if before == after == AlertState.FIRING and severity != alert.severity:
        return [_severity_change(severity, alert.severity)]
    if before == after:
        return []
    if before == "retracted":
        return _AFTER_RETRACTION[after]
    if before in ("new", AlertState.PENDING):
        return _AFTER_PENDING[after]
    return _OTHERWISE[after]


def _severity_change(before: str, after: str) -> AlertChangeKind:
    is_escalation = Severity(after).rank > Severity(before).rank
    return AlertChangeKind.ESCALATED if is_escalation else AlertChangeKind.DEESCALATED


def closing_kind(resolved_by: str | None) -> AlertChangeKind:
    """Return the kind of the change that ends an alert: retracted by a revised result, or resolved."""
    return AlertChangeKind.RETRACTED if resolved_by == ResolvedBy.REVISION else AlertChangeKind.RESOLVED


def write_down(
    session: Session,
    alert: Alert,
    kind: AlertChangeKind,
    voice: Voice,
    window_end: datetime | None,
    window: FoldedResult | None = None,
) -> None:
    """A line of the alert's history. `window`: the one whose value it tells; otherwise it is the alert's value now."""
    session.add(
        AlertChange(
            alert_id=alert.id,
            kind=kind,
            by=voice.by,
            window_end=window_end,
            result_revision=None if voice.result is None else voice.result.revision,
            severity=alert.severity,
            value=alert.current_value if window is None else value_in(window, alert.metric),
            note=voice.note,
        )
    )
    session.flush()


def was_told(session: Session, alert: Alert) -> bool:
    """Whether anybody ever heard of an alert."""
    return session.scalar(select(Notification.id).where(Notification.alert_id == alert.id).limit(1)) is not None


def tell(
    session: Session, voice: Voice, alert: Alert, rule: AlertRule, reached: datetime | None, *, is_reopened: bool
) -> int:
    """Write the notifications that receivers need to know what the alert is now; returns how many."""
    if voice.public_url is None:
        return 0
    told = alert.told_severity
    if alert.state != AlertState.FIRING:
        is_retracted = alert.state == AlertState.PENDING
        return (
            say(session, voice, alert, AlertChangeKind.RETRACTED if is_retracted else AlertChangeKind.RESOLVED)
            if told is not None
            else 0
        )
    if told is None:
        is_news = _is_recent(session, voice, rule, alert.version_id, reached)
        return (
            say(session, voice, alert, AlertChangeKind.REOPENED if is_reopened else AlertChangeKind.FIRING)
            if is_news
            else 0
        )
    if told != alert.severity:
        return say(session, voice, alert, _severity_change(told, alert.severity))
    return 0


def _is_recent(session: Session, voice: Voice, rule: AlertRule, version_id: int, reached: datetime | None) -> bool:
    """Whether no window that is due now ends much later than the newest that has a verdict: then it is what is now."""
    if voice.recent is None or reached is None:
        return True
    unit = UNIT[session.get_one(Monitor, rule.monitor_id).frequency]
    boundary = reached + max(voice.recent, RECENT_WINDOWS * unit)
    later = select(DueWindow.window_end).where(
        DueWindow.version_id == version_id, DueWindow.window_end > boundary, DueWindow.due_at <= func.now()
    )
    return session.scalar(later.limit(1)) is None


def tell_what_is_owed(session: Session, voice: Voice, rule: AlertRule, version_id: int) -> int:
    """Tell of alerts that ended quietly, without a link, and that receivers still think to fire."""
    if voice.public_url is None:
        return 0
    owed = select(Alert).where(
        Alert.rule_id == rule.id,
        Alert.version_id == version_id,
        Alert.state == AlertState.RESOLVED,
        Alert.told_severity != "",
    )
    return sum(
        say(
            session,
            voice,
            alert,
            AlertChangeKind.RETRACTED if alert.resolved_by == ResolvedBy.REVISION else AlertChangeKind.RESOLVED,
        )
        for alert in session.scalars(owed.order_by(Alert.id)).all()
    )


def tell_the_rest(session: Session, voice: Voice, version_id: int, *, only: int | None = None) -> int:
    """Tell what was found quietly by the active rules of a version, or of one monitor on it, and is so still.

    A rule that another worker judges is left to it.
    """
    if voice.public_url is None:
        return 0
    knows = func.coalesce(Alert.told_severity, "")
    is_owed = case((Alert.state == AlertState.FIRING, knows != Alert.severity), else_=knows != "")
    rules = select(AlertRule).where(
        AlertRule.is_active,
        true() if only is None else AlertRule.monitor_id == only,
        AlertRule.id.in_(select(Alert.rule_id).where(Alert.version_id == version_id, is_owed)),
    )
    written = 0
    for rule in session.scalars(rules.order_by(AlertRule.id).with_for_update(skip_locked=True)).all():
        owed = select(Alert).where(Alert.rule_id == rule.id, Alert.version_id == version_id, is_owed)
        with rule_failures.apart(session, rule):
            reached = _reached(session, rule, version_id)
            still = session.scalars(owed.where(Alert.state != AlertState.RESOLVED).order_by(Alert.id)).all()
            told = sum(tell(session, voice, alert, rule, reached, is_reopened=False) for alert in still)
            written += told + tell_what_is_owed(session, voice, rule, version_id)
    return written


def _reached(session: Session, rule: AlertRule, version_id: int) -> datetime | None:
    """The end of the newest window that has a value."""
    return session.scalar(
        select(Result.window_end)
        .where(Result.monitor_id == rule.monitor_id, Result.version_id == version_id, Result.state == ResultState.OK)
        .order_by(Result.window_end.desc())
        .limit(1)
    )


def say(session: Session, voice: Voice, alert: Alert, kind: AlertChangeKind) -> int:
    """Write notifications of a kind, unless nobody is to be told."""
    if voice.public_url is None:
        return 0
    alert.told_severity = alert.severity if alert.state == AlertState.FIRING else None
    session.flush()
    return notifications.write(session, voice.org, alert, kind, voice.public_url, alert_payload.describe)

"""What holds notifications back: silences, mute times, and more severe alerts of the same monitor.

Nothing of it changes an alert: it moves and is shown all the same, only its notifications wait. A notification that is
held back is sent when it is free again, if by then it is still the newest about its alert.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors, severity
from dcmon.db.tables.org import Alert, AlertRule, Check, Model, Monitor, Silence, Version
from dcmon.notifications import matchers, mute_times
from dcmon.notifications.matchers import Labels
from dcmon.states import AlertState


@dataclass(frozen=True)
class Hold:
    """Why notifications about an alert are held back now, and until when where that is known."""

    reason: str
    until: datetime | None = None


def add(
    session: Session,
    wanted: Sequence[str],
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    by: str,
    now: datetime | None = None,
) -> Silence:
    """Add a silence; `now`: after which it ends. Raises InvalidInput."""
    if not wanted:
        raise errors.InvalidInput("Say which alerts: model=NAME, monitor=NAME, severity=low … or 'model=~.*' for all.")
    if ends_at <= starts_at:
        raise errors.InvalidInput("A silence ends after it begins.")
    if now is not None and ends_at <= now:
        raise errors.InvalidInput(f"A silence until {ends_at:%Y-%m-%d %H:%M} UTC is over already.")
    parsed = [str(matchers.parse(each)) for each in wanted]
    silence = Silence(matchers=parsed, starts_at=starts_at, ends_at=ends_at, reason=reason, by=by)
    session.add(silence)
    session.flush()
    return silence


def entries(session: Session, now: datetime, *, ended: bool = False) -> Sequence[Silence]:
    """Silences that hold or will hold, and with `ended` those that did, by their end."""
    statement = select(Silence).order_by(Silence.ends_at, Silence.id)
    return session.scalars(statement if ended else statement.where(Silence.ends_at > now)).all()


def end(session: Session, silence_id: int, now: datetime) -> Silence:
    """End a silence now; one that is over stays as it is. Raises NotFound."""
    silence = session.get(Silence, silence_id)
    if silence is None:
        raise errors.NotFound(what="silence", name=silence_id)
    if silence.ends_at > now:
        silence.ends_at, silence.starts_at = now, min(silence.starts_at, now)
        session.flush()
    return silence


def matching_alerts(session: Session, silence: Silence) -> list[int]:
    """The ids of the alerts that fire now and that a silence is about."""
    firing = session.scalars(select(Alert).where(Alert.state == AlertState.FIRING).order_by(Alert.id))
    return [alert.id for alert in firing if matchers.match(silence.matchers, alert_labels(session, alert))]


def hold_reason(session: Session, alert: Alert, now: datetime) -> str | None:
    """Why a notification about this alert is held back now; None when it is free."""
    found = find_hold(session, alert, now)
    return None if found is None else found.reason


def find_hold(session: Session, alert: Alert, now: datetime) -> Hold | None:
    """What holds notifications about an alert back: a silence, else a mute time, else a more severe alert."""
    return find_hold_for_labels(session, alert_labels(session, alert), now) or _inhibited(session, alert)


def find_hold_for_labels(session: Session, known: Labels, now: datetime) -> Hold | None:
    """The silence or mute time that matches these labels now."""
    return _silenced(session, known, now) or _muted(session, known, now)


def alert_labels(session: Session, alert: Alert) -> Labels:
    """What matchers see of an alert: a monitor by its name, or with its model's; a rule by its id, or its name."""
    row = session.execute(
        select(Model.name, Version.name, Monitor.name, Check.name, AlertRule.name)
        .select_from(AlertRule)
        .join(Monitor, Monitor.id == AlertRule.monitor_id)
        .join(Check, Check.id == Monitor.check_id)
        .join(Model, Model.id == Check.model_id)
        .join(Version, Version.id == alert.version_id)
        .where(AlertRule.id == alert.rule_id)
    ).one()
    model, version, monitor, check, rule = row
    return {
        "model": model,
        "version": version,
        "monitor": (monitor, f"{model}/{monitor}"),
        "check": check,
        "rule": (str(alert.rule_id), *([rule] if rule else [])),
        "severity": alert.severity,
        "alert": str(alert.id),
    }


def _silenced(session: Session, known: Labels, now: datetime) -> Hold | None:
    statement = select(Silence).where(Silence.starts_at <= now, Silence.ends_at > now).order_by(Silence.ends_at.desc())
    for silence in session.scalars(statement):
        if matchers.match(silence.matchers, known):
            reason = f"silence {silence.id} by {silence.by} until {silence.ends_at:%Y-%m-%d %H:%M} UTC"
            return Hold(f"{reason}: {silence.reason}" if silence.reason else reason, silence.ends_at)
    return None


def _muted(session: Session, known: Labels, now: datetime) -> Hold | None:
    for mute in mute_times.entries(session):
        until = mute_times.current_end(mute, now)
        if until is not None and matchers.match(mute.matchers, known):
            return Hold(f"mute time {mute.name!r} until {until:%Y-%m-%d %H:%M} UTC", until)
    return None


def _inhibited(session: Session, alert: Alert) -> Hold | None:
    """A firing alert of higher severity, of the same monitor and version, holds back the lower ones."""
    rule = session.get_one(AlertRule, alert.rule_id)
    if alert.state != AlertState.FIRING or not rule.is_inhibited:
        return None
    other = session.scalar(
        select(Alert)
        .join(AlertRule, AlertRule.id == Alert.rule_id)
        .where(
            AlertRule.monitor_id == rule.monitor_id,
            Alert.version_id == alert.version_id,
            Alert.state == AlertState.FIRING,
            Alert.severity.in_(severity.above(alert.severity)),
        )
        .order_by(Alert.id)
        .limit(1)
    )
    return None if other is None else Hold(f"alert {other.id} ({other.severity}) of the same monitor fires")

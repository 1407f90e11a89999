"""Holds on notifications: silences, mute times, and more severe alerts of the same monitor.

A hold does not change an alert: only its notifications wait. When the hold ends, a notification is sent if it is
still the newest about its alert.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors, severity
from dcmon.db.tables.org import Alert, AlertRule, Check, Model, Monitor, Silence, Version
from dcmon.formatting import format_moment
from dcmon.notifications import matchers, mute_times
from dcmon.notifications.matchers import Labels
from dcmon.states import AlertState, HeldBy

# The reasons that `find_hold` writes; that of a silence may go on, and the name of a mute time is as Python writes it.
UNTIL = r" until (\d{4}-\d\d-\d\d \d\d:\d\d) UTC"
OF_SILENCE, OF_MUTE_TIME = re.compile(r"silence (\d+) by .*?" + UNTIL), re.compile(r"mute time (.+)" + UNTIL + "$")


@dataclass(frozen=True)
class NewSilence:
    """A silence to add. `matchers`: as an operator types them; all must match."""

    matchers: Sequence[str]
    starts_at: datetime
    ends_at: datetime
    reason: str
    by: str


@dataclass(frozen=True)
class Hold:
    """The reason why notifications about an alert are held back now.

    `until`: None when the end is not known.
    """

    reason: str
    until: datetime | None = None


class Holder(NamedTuple):
    """What holds notifications back. `name`: the id of a silence, or the name of a mute time."""

    by: HeldBy
    name: str = ""
    until: datetime | None = None


def parse_reason(reason: str) -> Holder:
    """Return what holds notifications back for a stored reason."""
    if match := OF_SILENCE.match(reason):
        return Holder(HeldBy.SILENCE, match[1], _end(match[2]))
    if match := OF_MUTE_TIME.match(reason):
        return Holder(HeldBy.MUTE_TIME, ast.literal_eval(match[1]), _end(match[2]))
    return Holder(HeldBy.ALERT)


def _end(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


def require_usable(new: NewSilence, now: datetime | None = None) -> None:
    """Raise InvalidInput if a silence can't be added. `now`: it must end later than this."""
    if not new.matchers:
        raise errors.InvalidInput(
            "A silence needs a matcher: model=NAME, monitor=NAME, severity=low, … or 'model=~.*' for all alerts."
        )
    if new.ends_at <= new.starts_at:
        raise errors.InvalidInput("A silence must end after it starts.")
    if now is not None and new.ends_at <= now:
        raise errors.InvalidInput(f"A silence until {format_moment(new.ends_at)} is over already.")


def add(session: Session, new: NewSilence, now: datetime | None = None) -> Silence:
    """Add a silence. Raises InvalidInput.

    `now`: the silence must end later than this.
    """
    require_usable(new, now)
    silence = Silence(
        matchers=[str(matchers.parse(text)) for text in new.matchers],
        starts_at=new.starts_at,
        ends_at=new.ends_at,
        reason=new.reason,
        by=new.by,
    )
    session.add(silence)
    session.flush()
    return silence


def entries(session: Session, now: datetime, *, ended: bool = False) -> Sequence[Silence]:
    """Return silences that are active or start later, by their end.

    `ended`: also return silences that are over.
    """
    statement = select(Silence).order_by(Silence.ends_at, Silence.id)
    return session.scalars(statement if ended else statement.where(Silence.ends_at > now)).all()


def change(session: Session, silence: Silence, wanted: NewSilence, now: datetime) -> None:
    """Change all of a silence but its author, while it is not over. Raises InvalidInput or Conflict."""
    if silence.ends_at <= now:
        raise errors.Conflict(
            f"Silence {silence.id} is over since {format_moment(silence.ends_at)}: what it held back was sent."
            ' "dcmon silence create" adds another one.'
        )
    require_usable(wanted, now)
    silence.matchers = [str(matchers.parse(text)) for text in wanted.matchers]
    silence.starts_at, silence.ends_at, silence.reason = wanted.starts_at, wanted.ends_at, wanted.reason
    session.flush()


def get(session: Session, silence_id: int, *, is_locked: bool = False) -> Silence:
    """Return a silence; `is_locked`: no other transaction can change it meanwhile. Raises SilenceNotFound."""
    locking = {"key_share": True} if is_locked else None
    silence = session.get(Silence, silence_id, with_for_update=locking, populate_existing=is_locked)
    if silence is None:
        raise errors.SilenceNotFound(name=silence_id)
    return silence


def end(session: Session, silence_id: int, now: datetime) -> Silence:
    """End a silence now. A silence that is over does not change. Raises SilenceNotFound."""
    silence = get(session, silence_id)
    if silence.ends_at > now:  # a silence that would start later ends without being active
        silence.ends_at, silence.starts_at = now, min(silence.starts_at, now)
        session.flush()
    return silence


def matching_alerts(session: Session, silence: Silence) -> list[int]:
    """Return the ids of the alerts that fire now and that a silence matches."""
    firing = session.scalars(select(Alert).where(Alert.state == AlertState.FIRING).order_by(Alert.id))
    return [alert.id for alert in firing if matchers.match(silence.matchers, alert_labels(session, alert))]


def hold_reason(session: Session, alert: Alert, now: datetime) -> str | None:
    """Return why notifications about an alert are held back now; None when they are not."""
    hold = find_hold(session, alert, now)
    return None if hold is None else hold.reason


def find_hold(session: Session, alert: Alert, now: datetime) -> Hold | None:
    """Return what holds back notifications about an alert now.

    This is a silence, else a mute time, else a more severe alert of the same monitor.
    """
    return find_hold_for_labels(session, alert_labels(session, alert), now) or _find_inhibition(session, alert)


def find_hold_for_labels(session: Session, labels: Labels, now: datetime) -> Hold | None:
    """Return the silence or mute time that matches these labels now."""
    return _find_silence(session, labels, now) or _find_mute_time(session, labels, now)


def alert_labels(session: Session, alert: Alert) -> Labels:
    """Return an alert's labels.

    `monitor` matches by the monitor's name and by MODEL/NAME, `rule` by the rule's id and by its name.
    """
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


def _find_silence(session: Session, labels: Labels, now: datetime) -> Hold | None:
    statement = select(Silence).where(Silence.starts_at <= now, Silence.ends_at > now).order_by(Silence.ends_at.desc())
    for silence in session.scalars(statement):
        if matchers.match(silence.matchers, labels):
            reason = f"silence {silence.id} by {silence.by} until {format_moment(silence.ends_at)}"
            return Hold(f"{reason}: {silence.reason}" if silence.reason else reason, silence.ends_at)
    return None


def _find_mute_time(session: Session, labels: Labels, now: datetime) -> Hold | None:
    for mute_time in mute_times.entries(session):
        until = mute_times.current_end(mute_time, now)
        if until is not None and matchers.match(mute_time.matchers, labels):
            return Hold(f"mute time {mute_time.name!r} until {format_moment(until)}", until)
    return None


def _find_inhibition(session: Session, alert: Alert) -> Hold | None:
    """Return the hold by a more severe alert that fires.

    Only alerts of the same monitor and version count.
    """
    rule = session.get_one(AlertRule, alert.rule_id)
    if alert.state != AlertState.FIRING or not rule.is_inhibited:
        return None
    inhibitor = session.scalar(
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
    if inhibitor is None:
        return None
    return Hold(f"alert {inhibitor.id} ({inhibitor.severity}) of the same monitor fires")

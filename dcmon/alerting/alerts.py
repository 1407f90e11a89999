"""Alerts: what a rule's state machine says, kept; only the difference is written, and who is told of what.

One alert covers one span of bad windows of a version under a rule. An alert that an operator resolved is over: bad
windows after it open the next. Receivers are told of what changes an alert that they know of, and of one that they do
not when it fires in the newest windows; what is found in old ones is kept and shown.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.alerting import drivers, replay, rule_failures
from dcmon.alerting.notify_policy import (
    RECENT,
    Voice,
    closing_kind,
    kinds_of,
    say,
    tell,
    tell_what_is_owed,
    was_told,
    write_down,
)
from dcmon.alerting.state_machine import Episode, value_in
from dcmon.alerting.state_machine import Result as FoldedResult
from dcmon.db import Organization
from dcmon.db.tables.org import Alert, AlertChange, AlertRule, Result
from dcmon.states import AlertChangeKind, AlertState, ResolvedBy


def judge(
    session: Session,
    org: Organization,
    result: Result,
    public_url: str | None,
    *,
    recent: timedelta | None = RECENT,
) -> int:
    """Judge every active rule of the result's monitor; returns how many notifications were written.

    Holds each rule's row, so that windows found by several workers are folded one after the other. Without a
    `public_url` alerts move and nobody is told; with `recent` None also what is found in old windows is told.
    """
    found = session.scalars(
        select(AlertRule)
        .where(AlertRule.monitor_id == result.monitor_id, AlertRule.is_active)
        .order_by(AlertRule.id)
        .with_for_update()
    )
    voice = Voice(org, public_url, recent, result)
    return sum(_judge_apart(session, voice, rule, result) for rule in found.all())


def _judge_apart(session: Session, voice: Voice, rule: AlertRule, result: Result) -> int:
    """A rule that fails costs neither the other rules nor the results of the window."""
    with rule_failures.apart(session, rule, result):
        return _judge(session, voice, rule, result.version_id, result.window_end)
    return 0


def rejudge(
    session: Session,
    org: Organization,
    rule: AlertRule,
    public_url: str | None,
    *,
    by: str | None = None,
    note: str | None = None,
    recent: timedelta | None = RECENT,
) -> int:
    """Judge all that is stored by a rule that is new or was changed; returns how many notifications were written.

    Alerts that were over before the change stay as they are, and so do the windows until their end.
    """
    _lock(session, rule.id)
    rule_failures.forget(session, rule)
    voice = Voice(org, public_url, recent, by=by, note=note, gone=ResolvedBy.RULE)
    if not rule.is_active:
        return sum(_vanish(session, voice, alert) for alert in _open(session, rule))
    ours = (Result.monitor_id == rule.monitor_id,)
    firsts = session.execute(
        select(Result.version_id, func.min(Result.window_end)).where(*ours).group_by(Result.version_id)
    )
    return sum(_rejudge(session, voice, rule, version_id, first) for version_id, first in firsts.all())


def _rejudge(session: Session, voice: Voice, rule: AlertRule, version_id: int, first: datetime) -> int:
    """Judge a version's windows; those of an alert on the newest one, which a change of the rule ended, too.

    So what a slip of the hand resolved fires again when the rule is what it was, and so does what is bad by a new rule.
    """
    ended = replay.ended_by_change(session, rule, version_id)
    before = None if ended is None else (ended.resolved_by, ended.rule_revision)
    if ended is not None:
        ended.resolved_by, ended.rule_revision = ResolvedBy.RECOVERY, rule.revision
        session.flush()
    written = _judge(session, replace(voice, spared=ended), rule, version_id, first)
    if ended is not None and before is not None and _is_recovered(ended):
        ended.resolved_by, ended.rule_revision = before
    return written


def _is_recovered(alert: Alert) -> bool:
    return alert.state == AlertState.RESOLVED and alert.resolved_by == ResolvedBy.RECOVERY


def renew(session: Session, org: Organization, rule: AlertRule, public_url: str | None, note: str) -> int:
    """Begin anew, as the rule's monitor does: what is open ends, and nothing of before is taken back by later windows.

    Returns how many notifications were written.
    """
    _lock(session, rule.id)
    rule.revision, rule.start_time = rule.revision + 1, None
    voice = Voice(org, public_url, note=note, gone=ResolvedBy.RULE)
    return sum(_vanish(session, voice, alert) for alert in _open(session, rule))


def _lock(session: Session, rule_id: int) -> AlertRule:
    return session.scalars(
        select(AlertRule).where(AlertRule.id == rule_id).with_for_update().execution_options(populate_existing=True)
    ).one()


def _hold(session: Session, alert: Alert) -> AlertRule:
    """The alert as it is now, and nobody else judges its rule meanwhile. Raises NotFound when it is gone."""
    rule = _lock(session, alert.rule_id)
    if session.get(Alert, alert.id, populate_existing=True) is None:
        raise errors.AlertNotFound(name=alert.id)
    return rule


def _open(session: Session, rule: AlertRule) -> Sequence[Alert]:
    return session.scalars(select(Alert).where(Alert.rule_id == rule.id, Alert.state != AlertState.RESOLVED)).all()


def _judge(session: Session, voice: Voice, rule: AlertRule, version_id: int, at: datetime) -> int:
    if rule.start_time is None:
        rule.start_time = at
    stored, settled = replay.stored(session, rule, version_id, at)
    anchor = min([at, *(alert.first_window_end for alert in stored)])
    written = 0
    episodes = replay.replay(session, rule, version_id, anchor, settled).episodes
    homes = [(alert, _home(alert, episodes)) for alert in stored]
    for place, episode in enumerate(episodes):
        mine = [alert for alert, home in homes if home == place]
        if len(mine) > 1:  # the one that somebody heard of goes on
            mine.sort(key=lambda alert: not was_told(session, alert))
        written += _apply(session, voice, rule, version_id, mine, episode)
    gone = [alert for alert, home in homes if home is None and alert is not voice.spared]
    written += sum(_vanish(session, voice, alert) for alert in gone)
    return written + tell_what_is_owed(session, voice, rule, version_id)


def _home(alert: Alert, episodes: Sequence[Episode]) -> int | None:
    """The place of the episode that an alert is about; None when its windows are not bad any more.

    Late windows may part one: what is open stays with the episode that is, so that whoever was told that it fires is
    not told that it is over, and that another one fires.
    """
    places = [place for place, episode in enumerate(episodes) if _overlap(alert, episode)]
    if not places:
        return None
    return places[-1] if alert.state != AlertState.RESOLVED and episodes[places[-1]].is_open else places[0]


def _overlap(alert: Alert, episode: Episode) -> bool:
    return alert.first_window_end <= episode.last.window_end and episode.first.window_end <= alert.last_window_end


def _apply(
    session: Session, voice: Voice, rule: AlertRule, version_id: int, mine: Sequence[Alert], episode: Episode
) -> int:
    """Make one stored alert say what the episode says; returns how many notifications that took."""
    alert, merged = (mine[0], mine[1:]) if mine else (_new(session, rule, version_id, episode), [])
    before, severity = _state_of(alert), alert.severity
    was_worst = (alert.worst_window_end, alert.worst_value) if alert.id is not None else None
    _describe(alert, episode, rule)
    if was_worst != (alert.worst_window_end, alert.worst_value):
        episode.before = episode.before or replay.last_good(session, rule, version_id, episode.first.window_end)
        alert.drivers, alert.details = drivers.of_episode(session, version_id, episode)
    ends = {"first_value": episode.value_in(episode.first), "last_value": episode.value_in(episode.last)}
    alert.details = {**(alert.details or {}), **ends}
    _set_state(alert, episode)
    session.add(alert)
    session.flush()
    kinds = kinds_of(before, severity, alert)
    for kind in kinds or _confirmed(session, voice, alert):
        window = _window_of(kind, episode, voice)
        at = (
            episode.closed_by
            if kind == AlertChangeKind.RESOLVED
            else episode.reached
            if window is None
            else window.window_end
        )
        write_down(session, alert, kind, voice, at, window)
    written = tell(session, voice, alert, rule, episode.reached, is_reopened=AlertChangeKind.REOPENED in kinds)
    return written + sum(_merge(session, voice, other, alert) for other in merged)


def _state_of(alert: Alert) -> str:
    return "retracted" if alert.resolved_by == ResolvedBy.REVISION else alert.state


def _new(session: Session, rule: AlertRule, version_id: int, episode: Episode) -> Alert:
    """An alert for an episode that has none: the one that was taken back from the same windows, or a new one."""
    taken_back = session.scalar(
        select(Alert)
        .where(
            Alert.rule_id == rule.id, Alert.version_id == version_id, Alert.resolved_by == ResolvedBy.REVISION,
            Alert.first_window_end <= episode.last.window_end, Alert.last_window_end >= episode.first.window_end,
        )
        .order_by(Alert.id)
        .limit(1)
    )  # fmt: skip
    if taken_back is not None:
        return taken_back
    return Alert(rule_id=rule.id, version_id=version_id, state="new", opened_at=func.now(), severity=episode.severity)


def _describe(alert: Alert, episode: Episode, rule: AlertRule) -> None:
    alert.rule_revision, alert.severity = rule.revision, episode.severity
    alert.first_window_start, alert.first_window_end = episode.first.window_start, episode.first.window_end
    alert.last_window_end, alert.windows, alert.n = episode.last.window_end, episode.windows, episode.last.n
    alert.fired_window_end = None if episode.fired is None else episode.fired.window_end
    alert.metric, alert.worst_value = episode.metric, episode.worst_value
    alert.worst_window_end, alert.current_value = episode.worst.window_end, episode.current_value


def _set_state(alert: Alert, episode: Episode) -> None:
    before, alert.state = alert.state, episode.state
    if alert.state != AlertState.RESOLVED:
        alert.resolved_at = alert.resolved_by = None
    elif before != AlertState.RESOLVED or alert.resolved_by == ResolvedBy.REVISION:
        alert.resolved_at, alert.resolved_by = func.now(), ResolvedBy.RECOVERY
    if before == AlertState.RESOLVED and alert.state == AlertState.FIRING:
        alert.acknowledged_at = alert.acknowledged_by = alert.acknowledgement = None


def _window_of(kind: AlertChangeKind, episode: Episode, voice: Voice) -> FoldedResult | None:
    """The window that a line of the history is about, where that need not be the newest one."""
    return {AlertChangeKind.FIRING: episode.fired, AlertChangeKind.CONFIRMED: voice.result}.get(kind)


def _confirmed(session: Session, voice: Voice, alert: Alert) -> list[AlertChangeKind]:
    """Whether the result is a revised one of the alert's windows that says the same, said once for each revision."""
    result = voice.result
    if result is None or result.revision == 1 or alert.state == AlertState.PENDING:
        return []
    if not alert.first_window_end <= result.window_end <= alert.last_window_end:
        return []
    is_said = session.scalar(
        select(AlertChange.id).where(
            AlertChange.alert_id == alert.id,
            AlertChange.window_end == result.window_end,
            AlertChange.result_revision == result.revision,
        )
    )
    return [] if is_said else [AlertChangeKind.CONFIRMED]


def _merge(session: Session, voice: Voice, alert: Alert, into: Alert) -> int:
    """An alert grew into another one: whoever was told of it is told that it is over, otherwise it never was."""
    if not was_told(session, alert):
        session.delete(alert)
        session.flush()
        return 0
    return _close(session, voice, alert, f"it is one with alert {into.id}")


def _vanish(session: Session, voice: Voice, alert: Alert) -> int:
    """The windows of an alert are not bad any more; one that never fired never was."""
    if alert.state == AlertState.PENDING and not was_told(session, alert):
        session.delete(alert)
        session.flush()
        return 0
    return _close(session, voice, alert, voice.note)


def _close(session: Session, voice: Voice, alert: Alert, note: str | None) -> int:
    """Take an alert back, or end it with its rule; who was told already that it is over is not told again."""
    is_over, result = alert.state == AlertState.RESOLVED, voice.result
    alert.state, alert.resolved_by = AlertState.RESOLVED, voice.gone
    if not is_over:
        alert.resolved_at = func.now()
        if result is not None:  # what was bad is not so any more, whatever it was
            alert.current_value = value_in(result, alert.metric)
    kind = closing_kind(voice.gone)
    at = None if result is None else result.window_end
    write_down(session, alert, kind, replace(voice, note=note), at, result)
    return say(session, voice, alert, kind) if alert.told_severity is not None else 0


# What an operator does.


def resolve(
    session: Session,
    org: Organization,
    alert: Alert,
    public_url: str | None,
    *,
    by: str | None = None,
    note: str | None = None,
) -> bool:
    """An operator declares an alert over; bad windows after its last one open another. False when it was over."""
    _hold(session, alert)
    if alert.state == AlertState.RESOLVED:
        return False
    voice = Voice(org, public_url, by=by, note=note)
    alert.state, alert.resolved_at, alert.resolved_by = AlertState.RESOLVED, func.now(), ResolvedBy.OPERATOR
    write_down(session, alert, AlertChangeKind.RESOLVED, voice, alert.last_window_end)
    say(session, voice, alert, AlertChangeKind.RESOLVED)
    return True


def reopen(
    session: Session,
    org: Organization,
    alert: Alert,
    public_url: str | None,
    *,
    by: str | None = None,
    note: str | None = None,
) -> bool:
    """Take back that an operator declared an alert over; False when it is open. It may have recovered since: see state.

    Raises Conflict for one that was over by itself: that opens again by itself.
    """
    rule = _hold(session, alert)
    if alert.state != AlertState.RESOLVED:
        return False
    if alert.resolved_by != ResolvedBy.OPERATOR or not rule.is_active:
        raise errors.Conflict(
            f"Alert {alert.id} was not resolved by an operator: it opens again by itself when its windows are bad."
        )
    alert.resolved_by, alert.rule_revision = None, rule.revision
    session.flush()
    settled = replay.settled(session, rule, alert.version_id)
    if settled is not None and settled >= alert.last_window_end:
        raise errors.Conflict(f"A later alert of rule {rule.id} was resolved: reopen that one.")
    voice = Voice(org, public_url, by=by, note=note, recent=None)
    _judge(session, voice, rule, alert.version_id, alert.first_window_end)
    if alert.state == AlertState.RESOLVED and alert.resolved_by is None:
        alert.resolved_by = ResolvedBy.RECOVERY
        write_down(session, alert, AlertChangeKind.REOPENED, voice, alert.last_window_end)
        over = replace(voice, by=None, note="it recovered meanwhile")
        write_down(session, alert, AlertChangeKind.RESOLVED, over, None)
    return True


def acknowledge(
    session: Session,
    org: Organization,
    alert: Alert,
    public_url: str | None,
    *,
    by: str,
    note: str | None = None,
    is_undone: bool = False,
) -> bool:
    """Somebody works on an alert, or, undone, nobody does; False when it was so. Raises Conflict when it is over."""
    _hold(session, alert)
    if alert.state == AlertState.RESOLVED:
        raise errors.Conflict(f"Alert {alert.id} is over: there is nothing to acknowledge.")
    if (alert.acknowledged_at is None) is is_undone:
        return False
    voice = Voice(org, public_url, by=by, note=note)
    alert.acknowledged_at = None if is_undone else func.now()
    alert.acknowledged_by, alert.acknowledgement = (None, None) if is_undone else (by, note)
    kind = AlertChangeKind.UNACKNOWLEDGED if is_undone else AlertChangeKind.ACKNOWLEDGED
    write_down(session, alert, kind, voice, alert.last_window_end)
    if not is_undone and alert.told_severity is not None:
        say(session, voice, alert, AlertChangeKind.ACKNOWLEDGED)
    return True


def history(session: Session, alert_id: int) -> Sequence[AlertChange]:
    """What became of an alert, oldest first."""
    return session.scalars(select(AlertChange).where(AlertChange.alert_id == alert_id).order_by(AlertChange.id)).all()

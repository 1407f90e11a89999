"""Alerts: a pure fold over a rule's results in the order of windows; only the difference is written.

One alert covers one span of bad windows of a version under a rule. Windows without a verdict (NO_DATA, INSUFFICIENT,
ERROR) neither open nor close one. An alert that an operator resolved is over: bad windows after it open the next.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from dcmon import notifications, results
from dcmon.db import Organization
from dcmon.rules import is_violated
from dcmon.tables.org import Alert, AlertRule, Notification, Result

DRIVERS_SHOWN = 5


class Judged(Protocol):
    """What the fold needs of a result."""

    window_start: datetime
    window_end: datetime
    state: str
    metrics: dict[str, float]
    entries: dict[str, float]
    n: int


@dataclass
class Episode:
    """A span of bad windows: its first and last, its worst value, and whether it goes on."""

    first: Judged
    last: Judged
    worst: Judged
    metric: str
    worst_value: float
    current_value: float
    windows: int = 1
    is_open: bool = True
    closed_by: datetime | None = field(default=None)


def violation(metrics: dict[str, float], comparison: str, threshold: float) -> tuple[str, float] | None:
    """The metric that breaks the rule worst (furthest from the threshold), or None when none does."""
    bad = [item for item in metrics.items() if is_violated(item[1], comparison, threshold)]
    return max(bad, key=lambda item: abs(item[1] - threshold), default=None)


def fold(results: Iterable[Judged], comparison: str, threshold: float) -> list[Episode]:
    """The episodes of a rule, from results in order of their windows."""
    episodes: list[Episode] = []
    for result in results:
        if result.state != "OK":
            continue
        bad = violation(result.metrics, comparison, threshold)
        goes_on = bool(episodes) and episodes[-1].is_open
        if bad is None and goes_on:
            episodes[-1].is_open, episodes[-1].closed_by = False, result.window_end
        elif bad is not None and goes_on:
            _extend(episodes[-1], result, bad, threshold)
        elif bad is not None:
            episodes.append(Episode(result, result, result, bad[0], bad[1], bad[1]))
    return episodes


def _extend(episode: Episode, result: Judged, bad: tuple[str, float], threshold: float) -> None:
    episode.last, episode.current_value, episode.windows = result, bad[1], episode.windows + 1
    if abs(bad[1] - threshold) > abs(episode.worst_value - threshold):
        episode.worst, episode.metric, episode.worst_value = result, bad[0], bad[1]


def judge(session: Session, org: Organization, result: Result, public_url: str | None) -> int:
    """Judge every active rule of the result's monitor; returns how many notifications were written.

    Holds each rule's row, so that windows found by several workers are folded one after the other. Without a
    `public_url`, which notifications link to, alerts move and nobody is told.
    """
    rules = session.scalars(
        select(AlertRule)
        .where(AlertRule.monitor_id == result.monitor_id, AlertRule.is_active)
        .order_by(AlertRule.id)
        .with_for_update()
    )
    return sum(_judge_rule(session, org, rule, result, public_url) for rule in rules.all())


def _judge_rule(session: Session, org: Organization, rule: AlertRule, result: Result, public_url: str | None) -> int:
    if rule.start_time is None:
        rule.start_time = result.window_end
    settled = _settled(session, rule, result)
    stored = [alert for alert in _stored(session, rule, result) if settled is None or alert.last_window_end > settled]
    anchor = min([result.window_end, *(alert.first_window_end for alert in stored)])
    episodes = fold(_results(session, rule, result, anchor, settled), rule.operator, rule.threshold)
    written = 0
    for episode in episodes:
        mine = [alert for alert in stored if _overlap(alert, episode)]
        stored = [alert for alert in stored if alert not in mine]
        written += _apply(session, org, rule, result.version_id, mine, episode, public_url)
    for alert in stored:
        written += _close(session, org, alert, "revision", public_url)
    return written


def _stored(session: Session, rule: AlertRule, result: Result) -> list[Alert]:
    """Alerts that this result may change: the one before or around its window, and those after."""
    mine = (Alert.rule_id == rule.id, Alert.version_id == result.version_id, _is_ours())
    before = select(func.max(Alert.first_window_end)).where(*mine, Alert.first_window_end <= result.window_end)
    start = session.scalar(before) or result.window_end
    return list(
        session.scalars(select(Alert).where(*mine, Alert.first_window_end >= start).order_by(Alert.first_window_end))
    )


def _is_ours() -> ColumnElement[bool]:
    """What an operator resolved, or a revision took back, is over: no later result touches it."""
    return func.coalesce(Alert.resolved_by, "").notin_(["operator", "revision"])


def _settled(session: Session, rule: AlertRule, result: Result) -> datetime | None:
    """The end of the last window that an operator declared settled."""
    ended: datetime | None = session.scalar(
        select(func.max(Alert.last_window_end)).where(
            Alert.rule_id == rule.id, Alert.version_id == result.version_id, Alert.resolved_by == "operator"
        )
    )
    return ended


def _results(
    session: Session, rule: AlertRule, result: Result, anchor: datetime, settled: datetime | None
) -> Sequence[Result]:
    statement = (
        select(Result)
        .where(
            Result.monitor_id == rule.monitor_id,
            Result.version_id == result.version_id,
            Result.window_end >= anchor,
        )
        .ext(distinct_on(Result.window_end))
        .order_by(Result.window_end, Result.revision.desc())
    )
    if settled is not None:
        statement = statement.where(Result.window_end > settled)
    return session.scalars(statement).all()


def _overlap(alert: Alert, episode: Episode) -> bool:
    return alert.first_window_end <= episode.last.window_end and episode.first.window_end <= alert.last_window_end


def _apply(
    session: Session,
    org: Organization,
    rule: AlertRule,
    version_id: int,
    mine: Sequence[Alert],
    episode: Episode,
    public_url: str | None,
) -> int:
    """Make one stored alert say what the episode says; returns how many notifications that took."""
    drivers = _drivers(session, version_id, episode.worst)
    if mine:
        alert, *merged = mine
    else:
        merged = []
        alert = Alert(rule_id=rule.id, version_id=version_id, state="new", opened_at=func.now(), severity=rule.severity)
    before = alert.state
    _describe(alert, episode)
    alert.drivers = drivers
    alert.state = "firing" if episode.is_open else "resolved"
    if episode.is_open:
        alert.resolved_at = alert.resolved_by = None
    elif before != "resolved":
        alert.resolved_at, alert.resolved_by = func.now(), "recovery"
    session.add(alert)
    session.flush()
    # A span that was over before anyone could know of it is kept and shown, but wakes nobody.
    is_news = alert.state != before and not (before == "new" and alert.state == "resolved")
    written = _tell(session, org, alert, public_url) if is_news else 0
    return written + sum(_merge(session, org, other, public_url) for other in merged)


def _describe(alert: Alert, episode: Episode) -> None:
    alert.first_window_start, alert.first_window_end = episode.first.window_start, episode.first.window_end
    alert.last_window_end, alert.windows, alert.n = episode.last.window_end, episode.windows, episode.last.n
    alert.metric, alert.worst_value, alert.worst_window_end = (
        episode.metric,
        episode.worst_value,
        episode.worst.window_end,
    )
    alert.current_value = episode.current_value


def _merge(session: Session, org: Organization, alert: Alert, public_url: str | None) -> int:
    """An alert grew into another one: whoever was told of it is told that it is over, otherwise it never was."""
    if session.scalar(select(Notification.id).where(Notification.alert_id == alert.id).limit(1)) is None:
        session.delete(alert)
        return 0
    return _close(session, org, alert, "revision", public_url)


def _drivers(session: Session, version_id: int, worst: Judged) -> dict[str, float]:
    """What drives the worst value: its own entries; where the check has none, the features that moved most then."""
    entries = worst.entries or results.moved_features(session, version_id, worst.window_start, worst.window_end)
    return dict(sorted(entries.items(), key=lambda item: -item[1])[:DRIVERS_SHOWN])


def _close(session: Session, org: Organization, alert: Alert, why: str, public_url: str | None) -> int:
    """A revised result took the alert's windows back; who was told already that it is over is not told again."""
    if alert.state == "resolved":
        alert.resolved_by = why
        return 0
    alert.state, alert.resolved_at, alert.resolved_by = "resolved", func.now(), why
    session.flush()
    return _tell(session, org, alert, public_url)


def _tell(session: Session, org: Organization, alert: Alert, public_url: str | None) -> int:
    return 0 if public_url is None else notifications.write(session, org, alert, alert.state, public_url)


def resolve(session: Session, org: Organization, alert: Alert, public_url: str | None) -> bool:
    """An operator declares an alert over; bad windows after its last one open another. False when it was over."""
    if alert.state == "resolved":
        return False
    alert.state, alert.resolved_at, alert.resolved_by = "resolved", func.now(), "operator"
    session.flush()
    _tell(session, org, alert, public_url)
    return True

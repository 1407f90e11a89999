"""Metrics of the whole system, which are read from PostgreSQL and cached for some seconds."""

import time
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dcmon import errors
from dcmon.app import App
from dcmon.health import activity, current_health
from dcmon.health.activity import MINUTES, Activity
from dcmon.health.current_health import CurrentHealth
from dcmon.health.snapshot import Backlog, HealthSnapshot, OrganizationHealth
from dcmon.http.metrics import MAX_ORGANIZATIONS, OTHERS

CACHE_SECONDS = 10.0
K = TypeVar("K", bound=Hashable)


class _Families(Collector):
    """Metrics that are read already."""

    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def collect(self) -> Iterable[Metric]:
        return self.families


class SystemMetrics:
    """Reads the metrics of the whole system, at most once in CACHE_SECONDS in this process."""

    def __init__(self, app: App) -> None:
        self._app, self._lock = app, Lock()
        self._read_at, self._families = float("-inf"), list[Metric]()

    def read(self) -> Collector:
        """Return the metrics. While PostgreSQL can't be reached, dcmon_up is 0 and there are no others."""
        with self._lock:
            if time.monotonic() - self._read_at > CACHE_SECONDS:
                self._families, self._read_at = list(self._collect()), time.monotonic()
            return _Families(self._families)

    def _collect(self) -> Iterator[Metric]:
        try:
            health = current_health.collect(self._app.engine, self._app.settings)
            activities = activity.collect(self._app.engine)
        except errors.DcmonError:
            yield _gauge("dcmon_up", "1 if PostgreSQL can be reached.", 0)
            return
        yield _gauge("dcmon_up", "1 if PostgreSQL can be reached.", 1)
        yield from _system(health, self._app)
        yield from _topics(health.snapshot)
        yield from _backlogs(health.snapshot)
        yield from _activities(activities)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _system(health: CurrentHealth, app: App) -> Iterator[Metric]:
    snapshot = health.snapshot
    yield _gauge("dcmon_organizations", "Organizations.", len(snapshot.organizations))
    processes = GaugeMetricFamily("dcmon_processes", "Live processes, by kind.", labels=("kind",))
    kinds = sorted({process.kind for process in snapshot.processes})
    for kind in kinds:
        processes.add_metric((kind,), len(snapshot.alive(kind, app.settings.health)))
    yield processes
    problems = GaugeMetricFamily("dcmon_problems", "Problems that dcmon status shows, by name.", labels=("name",))
    for name in sorted({str(problem.name) for problem in health.problems}):
        problems.add_metric((name,), sum(problem.name == name for problem in health.problems))
    yield problems
    yield _gauge("dcmon_postgres_connections", "Connections to PostgreSQL.", snapshot.postgres.connections)
    yield _gauge("dcmon_postgres_max_connections", "Connections that it accepts.", snapshot.postgres.max_connections)
    yield _gauge("dcmon_dead_letters", "Dead letters of the last hour.", snapshot.dead_letters.count)
    if snapshot.disk is not None:
        yield _gauge("dcmon_free_disk_ratio", "Free share of the data directory's disk.", snapshot.disk.free_share)


def _topics(snapshot: HealthSnapshot) -> Iterator[Metric]:
    if snapshot.is_kafka_up is None:
        return
    yield _gauge("dcmon_kafka_up", "1 if the brokers can be reached.", float(snapshot.is_kafka_up))
    lag = GaugeMetricFamily("dcmon_topic_lag_messages", "Unread messages of a partition.", labels=("partition",))
    age = GaugeMetricFamily(
        "dcmon_topic_lag_seconds", "Age of the oldest unread message of a partition.", labels=("partition",)
    )
    for partition in snapshot.partitions:
        lag.add_metric((partition.name,), partition.unread_messages)
        age.add_metric((partition.name,), _age(partition.oldest_unread_at, snapshot.now))
    yield lag
    yield age


def _backlogs(snapshot: HealthSnapshot) -> Iterator[Metric]:
    """Yield what waits in each organization."""
    due = _by_organization("dcmon_due_windows", "Windows that could be evaluated now.")
    due_age = _by_organization("dcmon_due_window_age_seconds", "How long the oldest of them has waited.")
    unsent = _by_organization("dcmon_waiting_notifications", "Notifications that wait for delivery.")
    unsent_age = _by_organization("dcmon_waiting_notification_age_seconds", "How long the oldest of them has waited.")
    parked = _by_organization("dcmon_parked_messages", "Messages that are retried.")
    failing = _by_organization("dcmon_failing_rules", "Alert rules that can't be judged.")
    unreadable = _by_organization("dcmon_organization_unavailable", "1 if the organization can't be opened or read.")
    firing = _by_organization("dcmon_firing_alerts", "Firing alerts, by severity.", "severity")
    for organization in _named(snapshot.organizations):
        name = (organization.name,)
        parked.add_metric(name, organization.parked_messages.count)
        unreadable.add_metric(name, float(organization.unavailable_reason is not None))
        if not organization.is_counted:  # what is not known is no 0
            continue
        for count, age, backlog in (
            (due, due_age, organization.due_windows),
            (unsent, unsent_age, organization.unsent_notifications),
        ):
            count.add_metric(name, backlog.count)
            age.add_metric(name, _age(backlog.oldest_at, snapshot.now))
        failing.add_metric(name, organization.failing_rules.count)
        for severity, alerts in sorted(organization.firing_alerts.items()):
            firing.add_metric((*name, severity), alerts)
    yield from (due, due_age, unsent, unsent_age, parked, failing, unreadable, firing)


def _activities(activities: list[Activity]) -> Iterator[Metric]:
    """Yield what each organization did within the last minutes."""
    recent = f"within {MINUTES} minutes"
    rows = _by_organization("dcmon_recent_rows", f"Rows that the whole system took {recent}.", "kind", "outcome")
    evaluations = _by_organization("dcmon_recent_evaluations", f"Results that were computed {recent}.")
    seconds = _by_organization("dcmon_recent_evaluation_seconds", f"The sum of their run times {recent}.")
    longest = _by_organization("dcmon_recent_evaluation_max_seconds", f"The longest of their run times {recent}.")
    deliveries = _by_organization("dcmon_recent_deliveries", f"Finished notifications {recent}.", "outcome")
    for recent_activity in _named_activities(activities):
        name = (recent_activity.organization,)
        for (kind, outcome), count in sorted(recent_activity.rows.items()):
            rows.add_metric((*name, kind, outcome), count)
        evaluations.add_metric(name, recent_activity.evaluations)
        seconds.add_metric(name, recent_activity.evaluation_seconds)
        longest.add_metric(name, recent_activity.longest_evaluation)
        deliveries.add_metric((*name, "delivered"), recent_activity.delivered)
        deliveries.add_metric((*name, "given up"), recent_activity.given_up)
    yield from (rows, evaluations, seconds, longest, deliveries)


def _by_organization(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=("organization", *labels))


def _named(organizations: Iterable[OrganizationHealth]) -> list[OrganizationHealth]:
    """Return the organizations, with all after the first MAX_ORGANIZATIONS as one, which is unavailable if one is."""
    listed = list(organizations)
    named, others = listed[:MAX_ORGANIZATIONS], listed[MAX_ORGANIZATIONS:]
    if others:
        named.append(
            OrganizationHealth(
                OTHERS,
                due_windows=_sum(organization.due_windows for organization in others),
                unsent_notifications=_sum(organization.unsent_notifications for organization in others),
                parked_messages=_sum(organization.parked_messages for organization in others),
                failing_rules=_sum(organization.failing_rules for organization in others),
                firing_alerts=_total(organization.firing_alerts for organization in others),
                unavailable_reason=next(
                    (organization.unavailable_reason for organization in others if organization.unavailable_reason),
                    None,
                ),
            )
        )
    return named


def _named_activities(activities: Sequence[Activity]) -> list[Activity]:
    """Return the activities, with those of all organizations after the first MAX_ORGANIZATIONS as one."""
    named, others = list(activities[:MAX_ORGANIZATIONS]), activities[MAX_ORGANIZATIONS:]
    if others:
        named.append(
            Activity(
                OTHERS,
                _total(activity.rows for activity in others),
                sum(activity.evaluations for activity in others),
                sum(activity.evaluation_seconds for activity in others),
                max(activity.longest_evaluation for activity in others),
                sum(activity.delivered for activity in others),
                sum(activity.given_up for activity in others),
            )
        )
    return named


def _total(counts: Iterable[Mapping[K, int]]) -> Mapping[K, int]:
    total = Counter[K]()
    for count in counts:
        total.update(count)
    return total


def _sum(backlogs: Iterable[Backlog]) -> Backlog:
    listed = list(backlogs)
    oldest = min((backlog.oldest_at for backlog in listed if backlog.oldest_at is not None), default=None)
    return Backlog(sum(backlog.count for backlog in listed), oldest)


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0

"""The health snapshot: the state of dcmon itself at one moment.

health.collector reads it, and health.checks looks for problems in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Protocol

from dcmon.ingestion.files.source_losses import SourceLoss
from dcmon.settings import Health
from dcmon.states import HeldBy, ReceiverKind


class ProcessHeartbeat(Protocol):
    """A process of dcmon with its last heartbeat: see dcmon.health.process_heartbeats.

    `seen_at`: the last heartbeat; `polled_at`: when the loop of its job last polled; `ended_at`: None unless it
    was stopped in order.
    """

    kind: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    polled_at: datetime
    ended_at: datetime | None


class SchedulerRun(Protocol):
    """The last run of one of the scheduler's jobs (health.scheduler_runs). `message`: its result or error."""

    started_at: datetime
    succeeded_at: datetime | None
    failed_at: datetime | None
    message: str | None


@dataclass(frozen=True)
class Backlog:
    """A backlog: how many items wait, and since when the oldest one waits."""

    count: int = 0
    oldest_at: datetime | None = None

    def is_older_than(self, limit: timedelta, now: datetime) -> bool:
        """Return True if the oldest has waited longer than the limit."""
        return self.oldest_at is not None and now - self.oldest_at > limit


@dataclass(frozen=True)
class QuarantinedShare:
    """How many of a version's samples, or of a model's labels, were quarantined within the last hour.

    `version` is None for labels. `since`: the receipt of the first of them. `reasons`: those of the newest rows, each
    with its field in brackets if there is one, the most frequent first. Duplicates do not count as received.
    """

    model: str
    version: str | None
    received: int
    quarantined: int
    since: datetime
    reasons: Sequence[str] = ()

    @property
    def share(self) -> float:
        """The share of the received rows, which include lines of files that can't be read as rows."""
        return self.quarantined / max(self.received, self.quarantined, 1)


MANY_FAILURES = 3  # in a row; they take a quarter of a minute


@dataclass(frozen=True)
class FailingReceiver:
    """A receiver whose last attempt failed, with the number of notifications that wait for it.

    `kind`: its ReceiverKind. `status`: of the last HTTP response. `error`: of the last attempt. `is_permanent`: another
    attempt with the same settings fails, too. `since`: of the oldest notification that waits. `failures`: how often one
    of these messages failed while no other one was delivered.
    """

    name: str
    waiting: int
    since: datetime
    status: int | None
    error: str
    is_permanent: bool
    kind: str = ReceiverKind.WEBHOOK
    failures: int = 0

    @property
    def is_failing(self) -> bool:
        """Return True if it is not a moment of the network: a person should look at it."""
        return self.is_permanent or self.failures >= MANY_FAILURES


@dataclass(frozen=True)
class FailedDelivery:
    """A receiver to which a notification of an alert could not be delivered, with the error of the last attempt."""

    name: str
    error: str


@dataclass(frozen=True)
class UnreachableReceiver:
    """A receiver to whose address no connection could be opened: see notifications.receiver_probes.

    `since`: the first of the `failures`. `contacted_at`: the last probe, message or test that reached it; None: never.
    `is_last`: no other receiver that can be reached gets critical alerts, which this one gets.
    """

    name: str
    kind: str
    error: str
    failures: int
    since: datetime
    contacted_at: datetime | None
    is_last: bool


@dataclass(frozen=True)
class PausedReceiver:
    """A receiver that is paused until an operator resumes it. `reason`: why dcmon itself paused it.

    `is_critical`: it gets critical alerts. `is_last`: it does, and no other receiver gets them now.
    """

    name: str
    kind: str
    since: datetime
    reason: str | None
    is_critical: bool
    is_last: bool


@dataclass(frozen=True)
class HeldNotifications:
    """Open notifications that are not sent now for one reason.

    `name`: the id of the silence, the name of the mute time or of the paused receiver; empty for more severe alerts.
    `alerts`: firing alerts of them that no operator has acknowledged, and of which no receiver has got a notification.
    """

    by: HeldBy
    name: str
    count: int
    alerts: int
    critical_alerts: int
    until: datetime | None = None


@dataclass(frozen=True)
class MissingLabels:
    """Rows of a version that have no label though labels should have come, and monitors need them.

    `since`: when the first of them was logged. `labelled_until`: the time of the newest row with a label. `arrived_at`:
    when labels of the model were stored last. `wait`: how long after a row its label should have come.
    """

    model: str
    version: str
    count: int
    since: datetime
    labelled_until: datetime | None
    arrived_at: datetime | None
    wait: timedelta


@dataclass(frozen=True)
class MonitorsOfVersion:
    """Monitors of a version that gets rows, all in the same state. `reason`: of the newest result of `monitor`."""

    model: str
    version: str
    count: int
    monitor: str
    since: datetime
    reason: str | None = None


@dataclass(frozen=True)
class TableLock:
    """A table that only one session of PostgreSQL can read now. `pid`: None for a prepared transaction.

    `since`: None if it is not known. `is_granted`: False if the session `pid` holds up one that waits for the lock.
    """

    schema: str
    table: str
    pid: int | None
    application: str | None
    state: str | None
    since: datetime | None
    is_granted: bool = True

    @property
    def sentence(self) -> str:
        """Who has locked which table, without a full stop."""
        holder = f"Session {self.pid} ({self.application or 'unknown'}, {self.state or 'unknown'})"
        if self.pid is None:
            holder = "A prepared transaction"
        if self.is_granted:
            return f"{holder} has locked table {self.schema}.{self.table}"
        return f"{holder} uses table {self.schema}.{self.table}, which another session waits to lock"

    @property
    def command(self) -> str:
        """What ends it: a command of psql, without the URL of the database."""
        if self.pid is None:
            return "psql -c 'table pg_prepared_xacts'"
        return f"psql -c 'select pg_terminate_backend({self.pid})'"


# What an organization has without anything to do or to report; its parked messages are in "public".
HARMLESS_FIELDS = ("name", "evaluated_at", "has_receiver", "is_counted", "parked_messages", "read_at")


@dataclass(frozen=True)
class OrganizationHealth:
    """The backlogs and failures of an organization.

    `due_windows` could be evaluated now; `recent_due_windows` are those of them that ended within two days.
    `unavailable_reason`: why the organization can't be read now; `is_unreadable`: it could be opened; `lock`: of one of
    its tables. All else is as a health check read it at `read_at` then (None: now). `is_counted`: False if all but its
    parked messages is unknown. `given_up_by`: the receivers of what was given up. `undelivered_alerts`: critical alerts
    that fire, that no operator's wish holds back, and of which no receiver has got a notification;
    `undelivered_because`: what failed of that. `has_receiver`: a receiver gets critical alerts. `unreferenced`,
    `valueless`, `failing_monitors`: monitors that need a reference and have none, that have nothing but NO_DATA, whose
    newest result is an ERROR. `is_waiting`: it has windows or notifications that are due now or later.
    """

    name: str
    due_windows: Backlog = Backlog()
    evaluated_at: datetime | None = None
    unsent_notifications: Backlog = Backlog()
    given_up_notifications: Backlog = Backlog()
    given_up_by: Sequence[str] = ()
    firing_alerts: Mapping[str, int] = field(default_factory=dict)
    quarantined_shares: Sequence[QuarantinedShare] = ()
    source_losses: Sequence[SourceLoss] = ()
    parked_messages: Backlog = Backlog()
    failing_rules: Backlog = Backlog()
    recent_due_windows: Backlog = Backlog()
    unavailable_reason: str | None = None
    is_schema_behind: bool = False
    is_schema_ahead: bool = False
    is_unreadable: bool = False
    lock: TableLock | None = None
    failing_receivers: Sequence[FailingReceiver] = ()
    unreachable_receivers: Sequence[UnreachableReceiver] = ()
    paused_receivers: Sequence[PausedReceiver] = ()
    held_notifications: Sequence[HeldNotifications] = ()
    undelivered_alerts: Backlog = Backlog()
    undelivered_because: Sequence[FailedDelivery] = ()
    has_receiver: bool = False
    unreferenced: Sequence[MonitorsOfVersion] = ()
    valueless: Sequence[MonitorsOfVersion] = ()
    failing_monitors: Sequence[MonitorsOfVersion] = ()
    missing_labels: Sequence[MissingLabels] = ()
    is_counted: bool = True
    is_waiting: bool = False
    read_at: datetime | None = None

    @property
    def is_quiet(self) -> bool:
        """Return True if nothing waits, fails or fires: it stays so until the organization is written to."""
        values = [getattr(self, entry.name) for entry in fields(self) if entry.name not in HARMLESS_FIELDS]
        return self.is_counted and not any(value for value in values if value != Backlog())


@dataclass(frozen=True)
class PartitionLag:
    """A partition of a topic, and how far it is read.

    `oldest_unread_at`: when the oldest unread message was sent. `last_stored_at`: when messages were last stored.
    """

    name: str
    unread_messages: int
    oldest_unread_at: datetime | None
    last_stored_at: datetime | None


@dataclass(frozen=True)
class PostgresUsage:
    """How full PostgreSQL is.

    `transaction_age`: transactions since the last freeze. `idle_since`, `idle_pid`: of the oldest transaction that is
    open and idle.
    """

    connections: int = 0
    max_connections: int = 100
    locks: int = 0
    max_locks: int = 10_000
    transaction_age: int = 0
    idle_since: datetime | None = None
    idle_pid: int | None = None


@dataclass(frozen=True)
class Disk:
    """The disk of a path: bytes and inodes, free and in all. A file system without a limit of inodes has 0 in all."""

    path: str
    free: int
    total: int
    free_inodes: int = 0
    inodes: int = 0

    @property
    def free_share(self) -> float:
        """The share of the bytes, or of the inodes if fewer of these are free."""
        shares = [free / total for free, total in ((self.free, self.total), (self.free_inodes, self.inodes)) if total]
        return min(shares, default=1.0)


@dataclass(frozen=True)
class StoppedProcess:
    """A process of this machine that a signal (SIGSTOP) stopped. `seen_at`: its last heartbeat, if it is known."""

    name: str
    host: str
    pid: int
    seen_at: datetime | None


@dataclass(frozen=True)
class HealthSnapshot:
    """The state of dcmon itself at `now`.

    `is_kafka_up`: None when Kafka is not used. `disk`: that of the data directory; None when it is unknown or not used.
    `has_ping_url`: the dead man's switch is set up. `ended`: (host, pid) of processes that do not run any more, though
    their last heartbeat may be recent. `crashed_here`: when processes of this host crashed, by (kind, host), as their
    supervisor knows it; `reasons_here`: why, if they said so. `health_org`: the organization of DCMON_HEALTH__ORG.
    `names`: of all organizations, also where only one of them is looked at.
    """

    now: datetime
    processes: Sequence[ProcessHeartbeat] = ()
    has_leader: bool = True
    runs: Mapping[str, SchedulerRun] = field(default_factory=dict)
    organizations: Sequence[OrganizationHealth] = ()
    is_kafka_up: bool | None = None
    partitions: Sequence[PartitionLag] = ()
    dead_letters: Backlog = Backlog()
    postgres: PostgresUsage = PostgresUsage()
    disk: Disk | None = None
    has_ping_url: bool = False
    ended: frozenset[tuple[str, int]] = frozenset()
    stopped: Sequence[StoppedProcess] = ()
    crashed_here: Mapping[tuple[str, str], Sequence[datetime]] = field(default_factory=dict)
    reasons_here: Mapping[tuple[str, str], str] = field(default_factory=dict)
    health_org: str | None = None
    names: Sequence[str] = ()

    def alive(self, kind: str | None, limits: Health) -> list[ProcessHeartbeat]:
        """Return the live processes of a kind; None stands for all kinds."""
        return [
            process for process in self.processes if kind in (None, process.kind) and self.is_alive(process, limits)
        ]

    def is_alive(self, process: ProcessHeartbeat, limits: Health) -> bool:
        """Return True if a process has not ended and its last heartbeat is recent."""
        if (process.host, process.pid) in self.ended:
            return False
        return process.ended_at is None and self.now - process.seen_at <= limits.heartbeat_timeout

    def crashes(self, period: timedelta, limits: Health) -> dict[tuple[str, str], list[datetime]]:
        """Return when processes crashed or were killed within a period, by kind and host.

        A process that ends before its first heartbeat is known to its supervisor only.
        """
        times: dict[tuple[str, str], list[datetime]] = {}
        for process in self.processes:
            is_lost = process.ended_at is None and not self.is_alive(process, limits)
            if is_lost and self.now - process.seen_at < period:
                times.setdefault((process.kind, process.host), []).append(process.seen_at)
        for place, crashes in self.crashed_here.items():
            recent = [time for time in crashes if self.now - time < period]
            times[place] = max(times.get(place, []), recent, key=len)
        return times

    def running_since(self, limits: Health) -> datetime:
        """Return when the oldest live process started; `now` without one.

        A process or a run can't count as missing for the time before.
        """
        return min((process.started_at for process in self.alive(None, limits)), default=self.now)

"""What is to be known of dcmon itself before it can be judged (health.checks); dcmon.health.collector gathers it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from dcmon.settings import Watch


class ProcessHeartbeat(Protocol):
    """A process and its last sign of life (dcmon.health.process_heartbeats)."""

    kind: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    turned_at: datetime
    ended_at: datetime | None


class SchedulerRun(Protocol):
    """Something that the leader does by the clock (dcmon.health.scheduler_runs)."""

    began_at: datetime
    succeeded_at: datetime | None
    failed_at: datetime | None
    said: str | None


@dataclass(frozen=True)
class Backlog:
    """What waits: how much, and since when the oldest of it does."""

    waiting: int = 0
    oldest: datetime | None = None

    def waits_longer(self, than: timedelta, now: datetime) -> bool:
        """Whether the oldest of it has waited longer than that."""
        return self.oldest is not None and now - self.oldest > than


@dataclass(frozen=True)
class OrganizationHealth:
    """What is to be known of an organization; `refused`: why it can't be entered, with nothing else known.

    `due`: windows that could be evaluated now; `due_recent`: those of them that ended within two days.
    """

    name: str
    due: Backlog = Backlog()
    evaluated_at: datetime | None = None
    unsent: Backlog = Backlog()
    given_up: Backlog = Backlog()
    firing: Mapping[str, int] = field(default_factory=dict)
    taken: int = 0
    rejected: int = 0
    rejected_since: datetime | None = None
    parked: Backlog = Backlog()
    unjudging: Backlog = Backlog()
    due_recent: Backlog = Backlog()
    refused: str | None = None
    is_behind: bool = False


@dataclass(frozen=True)
class PartitionLag:
    """A partition of a topic: unread messages, when the oldest was sent, and when any was stored last."""

    name: str
    unread: int
    oldest: datetime | None
    moved_at: datetime | None


@dataclass(frozen=True)
class PostgresUsage:
    """PostgreSQL: how full it is, and its oldest open transaction that does nothing."""

    connections: int = 0
    most_connections: int = 100
    locks: int = 0
    most_locks: int = 10_000
    age: int = 0
    idle_since: datetime | None = None
    idle_pid: int | None = None


@dataclass(frozen=True)
class HealthSnapshot:
    """All that is judged, as of `now`. `kafka`: whether it answers, None where it is not used."""

    now: datetime
    workers: Sequence[ProcessHeartbeat] = ()
    is_led: bool = True
    rounds: Mapping[str, SchedulerRun] = field(default_factory=dict)
    tenants: Sequence[OrganizationHealth] = ()
    kafka: bool | None = None
    partitions: Sequence[PartitionLag] = ()
    letters: Backlog = Backlog()
    server: PostgresUsage = PostgresUsage()
    free_disk: float | None = None
    heartbeat: bool = False

    def alive(self, kind: str | None, bounds: Watch) -> list[ProcessHeartbeat]:
        """The processes of a kind, or of any, that are there."""
        return [
            each
            for each in self.workers
            if kind in (None, each.kind) and each.ended_at is None and self.now - each.seen_at <= bounds.sign
        ]

    def runs_since(self, bounds: Watch) -> datetime:
        """Since when anything of dcmon runs without a break: before that nothing can be missed."""
        return min((each.started_at for each in self.alive(None, bounds)), default=self.now)

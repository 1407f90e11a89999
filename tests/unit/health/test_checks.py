"""Facts about dcmon itself, and what they are judged to be."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from dcmon.health import checks, dead_mans_switch
from dcmon.health.snapshot import Backlog, HealthSnapshot, OrganizationHealth, PartitionLag, PostgresUsage
from dcmon.settings import Health, Ping, Webhooks

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
BOUNDS = Health()


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


HOURS_AGO, JUST_NOW = ago(hours=5), ago(seconds=3)


@dataclass
class Worker:
    kind: str
    started_at: datetime = HOURS_AGO
    seen_at: datetime = JUST_NOW
    polled_at: datetime = JUST_NOW
    ended_at: datetime | None = None
    host: str = "box"
    pid: int = 17


@dataclass
class Run:
    started_at: datetime = JUST_NOW
    succeeded_at: datetime | None = JUST_NOW
    failed_at: datetime | None = None
    message: str | None = None


def well() -> HealthSnapshot:
    """A system in which nothing is wrong."""
    kinds = ("evaluate", "notify", "scheduler", "serve")
    jobs = {name: Run() for name in ("clock", "sweep", "prune", "check health")}
    tenant = OrganizationHealth("acme", Backlog(2, ago(seconds=30)), ago(seconds=40), Backlog(1, ago(seconds=5)))
    return HealthSnapshot(NOW, [Worker(kind) for kind in kinds], True, {**jobs, "lead": Run(ago(hours=5))}, [tenant])


def without(kind: str, *replacements: Worker) -> HealthSnapshot:
    snapshot = well()
    return replace(
        snapshot, processes=[*(process for process in snapshot.processes if process.kind != kind), *replacements]
    )


def tenant(**known: object) -> HealthSnapshot:
    return replace(well(), organizations=[OrganizationHealth("acme", **known)])  # type: ignore[arg-type]


def runs(**known: Run) -> HealthSnapshot:
    snapshot = well()
    return replace(snapshot, runs={**snapshot.runs, **known})


def find_problems(snapshot: HealthSnapshot, bounds: Health = BOUNDS) -> list[tuple[str, str, str]]:
    return [(problem.name, problem.subject, problem.severity) for problem in checks.find_problems(snapshot, bounds)]


def test_healthy_snapshot_has_no_problem() -> None:
    assert find_problems(well()) == []


LOST = {"seen_at": ago(minutes=4), "polled_at": ago(minutes=4)}
UNREAD = PartitionLag("dcmon.ingestion.samples/0", 12, ago(minutes=6), ago(minutes=6))

WRONG: dict[str, tuple[HealthSnapshot, tuple[str, str, str]]] = {
    "nobody evaluates": (without("evaluate"), ("no worker", "evaluate", "critical")),
    "who evaluated was killed": (
        without("evaluate", Worker("evaluate", **LOST)),
        ("no worker", "evaluate", "critical"),
    ),
    "who notified was stopped": (
        without("notify", Worker("notify", ended_at=ago(minutes=4), **LOST)),
        ("no worker", "notify", "critical"),
    ),
    "nobody ingests where Kafka is used": (replace(well(), is_kafka_up=True), ("no worker", "ingest", "critical")),
    "the endpoint was killed": (without("serve", Worker("serve", **LOST)), ("no endpoint", "", "critical")),
    "a loop stands still": (
        without("evaluate", Worker("evaluate", polled_at=ago(minutes=6))),
        ("worker hangs", "evaluate on box, pid 17", "high"),
    ),
    "one crashes again and again": (
        replace(well(), processes=[*well().processes, *[Worker("evaluate", **LOST)] * 3]),
        ("crashes", "evaluate on box", "high"),
    ),
    "nobody leads": (
        replace(runs(clock=Run(ago(minutes=2), ago(minutes=2))), has_leader=False),
        ("no leader", "", "critical"),
    ),
    "who leads does not move": (runs(clock=Run(ago(minutes=6), ago(minutes=6))), ("no leader", "", "critical")),
    "nobody prunes": (
        runs(prune=Run(ago(hours=30), ago(hours=13)), lead=Run(ago(hours=50))),
        ("missed scheduler run", "prune", "medium"),
    ),
    "nothing is evaluated": (
        tenant(due_windows=Backlog(3, ago(minutes=11)), evaluated_at=ago(hours=2)),
        ("evaluation stuck", "acme", "critical"),
    ),
    "nothing was ever evaluated": (
        tenant(due_windows=Backlog(3, ago(minutes=11))),
        ("evaluation stuck", "acme", "critical"),
    ),
    "a rule fails": (tenant(failing_rules=Backlog(1, ago(minutes=1))), ("rules fail", "acme", "high")),
    "evaluation is slow": (
        tenant(recent_due_windows=Backlog(900, ago(minutes=11)), evaluated_at=ago(seconds=2)),
        ("evaluation behind", "acme", "medium"),
    ),
    "a receiver is away": (
        tenant(unsent_notifications=Backlog(1, ago(minutes=16))),
        ("notifications stuck", "acme", "high"),
    ),
    "a notification was given up": (
        tenant(given_up_notifications=Backlog(1, ago(hours=5))),
        ("notifications given up", "acme", "high"),
    ),
    "Kafka is away": (
        replace(without("", Worker("ingest")), is_kafka_up=False),
        ("no kafka", "", "critical"),
    ),
    "nothing is stored": (
        replace(without("", Worker("ingest")), is_kafka_up=True, partitions=[UNREAD]),
        ("ingestion behind", "dcmon.ingestion.samples/0", "critical"),
    ),
    "too little is stored": (
        replace(
            without("", Worker("ingest")), is_kafka_up=True, partitions=[replace(UNREAD, last_stored_at=ago(seconds=1))]
        ),
        ("ingestion behind", "dcmon.ingestion.samples/0", "high"),
    ),
    "messages are parked": (tenant(parked_messages=Backlog(4, ago(minutes=11))), ("parked", "acme", "high")),
    "dead letters came": (replace(well(), dead_letters=Backlog(2, ago(minutes=9))), ("dead letters", "", "medium")),
    "many rows are refused": (tenant(received_rows=1000, quarantined_rows=101), ("quarantine grows", "acme", "medium")),
    "a schema is behind": (
        tenant(unavailable_reason="It is at 0001.", is_schema_behind=True),
        ("schema behind", "acme", "high"),
    ),
    "an organization is locked": (tenant(unavailable_reason="It is migrated just now."), ("locked", "acme", "high")),
    "connections run out": (
        replace(well(), postgres=PostgresUsage(connections=81)),
        ("postgresql full", "connections", "high"),
    ),
    "locks run out": (replace(well(), postgres=PostgresUsage(locks=8_001)), ("postgresql full", "locks", "high")),
    "a freeze is overdue": (
        replace(well(), postgres=PostgresUsage(transaction_age=1_600_000_000)),
        ("wraparound", "", "critical"),
    ),
    "a transaction is left open": (
        replace(well(), postgres=PostgresUsage(idle_since=ago(hours=2), idle_pid=9)),
        ("long transaction", "", "medium"),
    ),
    "the disk is full": (replace(well(), free_disk=0.049), ("disk full", "", "critical")),
    "the ping never arrived": (
        replace(runs(ping=Run(NOW, None, ago(seconds=9), "It answered 500.")), has_ping_url=True),
        ("ping fails", "", "medium"),
    ),
    "the ping does not arrive": (
        replace(runs(ping=Run(NOW, ago(minutes=9), ago(seconds=9), "It answered 500.")), has_ping_url=True),
        ("ping fails", "", "medium"),
    ),
}


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_each_fault_is_one_problem_with_a_command(case: str) -> None:
    snapshot, wanted = WRONG[case]

    assert find_problems(snapshot) == [wanted]
    (problem,) = checks.find_problems(snapshot, BOUNDS)
    assert problem.command.startswith(("dcmon ", "psql ", "kill ", "vacuumdb "))
    assert problem.sentence.endswith((".", ":"))
    assert problem.since <= NOW


NOT_WRONG: dict[str, HealthSnapshot] = {
    "dcmon was started just now, and nobody evaluates yet": HealthSnapshot(
        NOW, [Worker("serve", ago(seconds=9))], False
    ),
    "after a night, whoever leads is chosen anew": replace(
        runs(clock=Run(ago(hours=9), ago(hours=9)), lead=Run(ago(hours=9))),
        processes=[replace(process, started_at=ago(seconds=9)) for process in well().processes],  # type: ignore[type-var]
        has_leader=False,
    ),
    "an endpoint was stopped by hand": without("serve", Worker("serve", ended_at=ago(minutes=4), **LOST)),
    "there never was an endpoint": without("serve"),
    "a worker crashed twice and another one works": replace(
        well(), processes=[*well().processes, *[Worker("evaluate", **LOST)] * 2]
    ),
    "a few rows are refused": tenant(received_rows=120, quarantined_rows=99),
    "a large backlog of the year before": tenant(due_windows=Backlog(9_000, None)),
    "messages wait for a minute": replace(
        without("", Worker("ingest")), is_kafka_up=True, partitions=[replace(UNREAD, oldest_unread_at=ago(minutes=1))]
    ),
    "a ping failed once": replace(
        runs(ping=Run(NOW, ago(seconds=25), ago(seconds=1), "It answered 500.")), has_ping_url=True
    ),
    "nothing is known of the disk": replace(well(), free_disk=None),
}


@pytest.mark.parametrize("case", NOT_WRONG, ids=str)
def test_harmless_state_is_no_problem(case: str) -> None:
    assert find_problems(NOT_WRONG[case]) == []


def test_problems_sort_by_severity_then_age() -> None:
    snapshot = replace(
        tenant(
            received_rows=1000,
            quarantined_rows=500,
            unsent_notifications=Backlog(1, ago(hours=3)),
            given_up_notifications=Backlog(1, ago(hours=9)),
        ),
        free_disk=0.01,
    )

    assert [name for name, _, _ in find_problems(snapshot)] == [
        "disk full", "notifications given up", "notifications stuck", "quarantine grows",
    ]  # fmt: skip


def test_problem_keeps_the_start_that_is_known() -> None:
    (problem,) = checks.find_problems(WRONG["the disk is full"][0], BOUNDS)

    assert problem.since == NOW
    assert checks.with_known_start([problem], {("disk full", ""): ago(hours=3)})[0].since == ago(hours=3)
    assert checks.with_known_start([problem], {}) == [problem]


@given(st.floats(0, 1e5), st.floats(0, 1e5))
def test_longer_wait_is_never_judged_better(first: float, more: float) -> None:
    def judged(seconds: float) -> bool:
        return find_problems(tenant(unsent_notifications=Backlog(1, ago(seconds=seconds)))) != []

    assert judged(first) <= judged(first + more)


BEATS: dict[str, tuple[Callable[[], HealthSnapshot], bool]] = {
    "all is well": (well, True),
    "nobody leads": (lambda: replace(well(), has_leader=False), False),
    "nobody evaluates": (lambda: without("evaluate"), False),
    "a loop stands still": (lambda: without("notify", Worker("notify", polled_at=ago(minutes=6))), False),
    "nobody ingests": (lambda: replace(well(), is_kafka_up=True), False),
    "health was not checked for long": (lambda: runs(**{"check health": Run(ago(minutes=9), ago(minutes=9))}), False),
    "health was never checked": (lambda: runs(**{"check health": Run(NOW, None)}), False),
    "the endpoint alone is away": (lambda: without("serve"), True),
}


@pytest.mark.parametrize("case", BEATS, ids=str)
def test_ping_is_sent_only_while_dcmon_works(case: str) -> None:
    snapshot, beats = BEATS[case]
    assert (dead_mans_switch.blocking_reasons(snapshot(), [], BOUNDS) == []) is beats


def test_only_critical_problems_block_the_ping() -> None:
    critical = checks.find_problems(WRONG["the disk is full"][0], BOUNDS)
    lesser = checks.find_problems(WRONG["dead letters came"][0], BOUNDS)

    assert dead_mans_switch.blocking_reasons(well(), critical, BOUNDS) == [critical[0].sentence]
    assert dead_mans_switch.blocking_reasons(well(), lesser, BOUNDS) == []
    assert dead_mans_switch.ping(["Something."], Ping(url=SecretStr("https://hc.example")), Webhooks()) is None
    assert dead_mans_switch.ping([], Ping(), Webhooks()) is None

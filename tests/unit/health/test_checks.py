"""Problems that the health checks find in a snapshot of dcmon."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from dcmon.errors import TopicRemade
from dcmon.health import checks, dead_mans_switch
from dcmon.health.snapshot import (
    Backlog,
    Disk,
    FailingReceiver,
    HealthSnapshot,
    HeldNotifications,
    MonitorsOfVersion,
    OrganizationHealth,
    PartitionLag,
    PausedReceiver,
    PostgresUsage,
    QuarantinedShare,
    StoppedProcess,
    UnreachableReceiver,
)
from dcmon.ingestion.files.source_losses import SourceLoss
from dcmon.settings import Health, Ping, Webhooks
from dcmon.states import HeldBy, ReceiverKind
from tests.helpers.typed_commands import require_mending

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


def healthy() -> HealthSnapshot:
    """Return a snapshot with no problem."""
    worker_kinds = ("evaluate", "notify", "scheduler", "serve")
    jobs = {name: Run() for name in ("clock", "sweep", "prune", "check health")}
    organization = OrganizationHealth("acme", Backlog(2, ago(seconds=30)), ago(seconds=40), Backlog(1, ago(seconds=5)))
    return HealthSnapshot(
        NOW, [Worker(kind) for kind in worker_kinds], True, {**jobs, "lead": Run(ago(hours=5))}, [organization]
    )


def without_process(kind: str, *replacements: Worker) -> HealthSnapshot:
    snapshot = healthy()
    return replace(
        snapshot, processes=[*(process for process in snapshot.processes if process.kind != kind), *replacements]
    )


def with_organization(**known: object) -> HealthSnapshot:
    return replace(healthy(), organizations=[OrganizationHealth("acme", **known)])  # type: ignore[arg-type]


def with_quarantined(*shares: tuple[str, str | None, int, int]) -> HealthSnapshot:
    """Return a snapshot with the received and quarantined rows of versions, or of labels."""
    return with_organization(quarantined_shares=[QuarantinedShare(*share, ago(minutes=50)) for share in shares])


def with_source_losses(*losses: tuple[int, int]) -> HealthSnapshot:
    """Return a snapshot with the received and quarantined rows of sources s1, s2 …"""
    rest = (ago(hours=9), ["wrong_type (age)"], "may.csv", "'old' is not a number.")
    found = [SourceLoss(f"s{number}", *loss, *rest) for number, loss in enumerate(losses, 1)]
    return with_organization(source_losses=found)


def with_runs(**known: Run) -> HealthSnapshot:
    snapshot = healthy()
    return replace(snapshot, runs={**snapshot.runs, **known})


def find_problems(snapshot: HealthSnapshot, bounds: Health = BOUNDS) -> list[tuple[str, str, str]]:
    return [(problem.name, problem.subject, problem.severity) for problem in checks.find_problems(snapshot, bounds)]


def test_healthy_snapshot_has_no_problem() -> None:
    assert find_problems(healthy()) == []


UNSEEN = {"seen_at": ago(minutes=4), "polled_at": ago(minutes=4)}
UNREAD = PartitionLag("dcmon.ingestion.samples/0", 12, ago(minutes=6), ago(minutes=6))

PAUSED = PausedReceiver("pager", "webhook", JUST_NOW, None, is_critical=False, is_last=False)
HELD = HeldNotifications(HeldBy.PAUSE, "pager", 2, 0, 0)

PROBLEM_CASES: dict[str, tuple[HealthSnapshot, tuple[str, str, str]]] = {
    "no evaluate worker": (without_process("evaluate"), ("no worker", "evaluate", "critical")),
    "evaluate worker was killed": (
        without_process("evaluate", Worker("evaluate", **UNSEEN)),
        ("no worker", "evaluate", "critical"),
    ),
    "notify worker was stopped": (
        without_process("notify", Worker("notify", ended_at=ago(minutes=4), **UNSEEN)),
        ("no worker", "notify", "critical"),
    ),
    "no ingest worker with Kafka": (replace(healthy(), is_kafka_up=True), ("no worker", "ingest", "critical")),
    "the endpoint was killed": (without_process("serve", Worker("serve", **UNSEEN)), ("no endpoint", "", "critical")),
    "worker loop hangs": (
        without_process("evaluate", Worker("evaluate", polled_at=ago(minutes=6))),
        ("worker hangs", "evaluate on box, pid 17", "high"),
    ),
    "worker crashes repeatedly": (
        replace(healthy(), processes=[*healthy().processes, *[Worker("evaluate", **UNSEEN)] * 3]),
        ("crashes", "evaluate on box", "high"),
    ),
    "worker crashes before its first heartbeat": (
        replace(healthy(), crashed_here={("evaluate", "box"): [ago(minutes=3), ago(minutes=2), ago(seconds=9)]}),
        ("crashes", "evaluate on box", "high"),
    ),
    "no leader elected": (
        replace(with_runs(clock=Run(ago(minutes=2), ago(minutes=2))), has_leader=False),
        ("no leader", "", "critical"),
    ),
    "leader runs no task": (with_runs(clock=Run(ago(minutes=6), ago(minutes=6))), ("no leader", "", "critical")),
    "prune was missed": (
        with_runs(prune=Run(ago(hours=30), ago(hours=13)), lead=Run(ago(hours=50))),
        ("missed scheduler run", "prune", "medium"),
    ),
    "evaluation stopped": (
        with_organization(due_windows=Backlog(3, ago(minutes=11)), evaluated_at=ago(hours=2)),
        ("evaluation stuck", "acme", "critical"),
    ),
    "evaluation never started": (
        with_organization(due_windows=Backlog(3, ago(minutes=11))),
        ("evaluation stuck", "acme", "critical"),
    ),
    "rule fails": (with_organization(failing_rules=Backlog(1, ago(minutes=1))), ("rules fail", "acme", "high")),
    "evaluation is slow": (
        with_organization(recent_due_windows=Backlog(900, ago(minutes=11)), evaluated_at=ago(seconds=2)),
        ("evaluation behind", "acme", "medium"),
    ),
    "receiver is unavailable": (
        with_organization(unsent_notifications=Backlog(1, ago(minutes=16))),
        ("notifications stuck", "acme", "high"),
    ),
    "notification was given up": (
        with_organization(given_up_notifications=Backlog(1, ago(hours=5))),
        ("notifications given up", "acme", "high"),
    ),
    "Kafka is unavailable": (
        replace(without_process("", Worker("ingest")), is_kafka_up=False),
        ("no kafka", "", "critical"),
    ),
    "no message is stored": (
        replace(without_process("", Worker("ingest")), is_kafka_up=True, partitions=[UNREAD]),
        ("ingestion behind", "dcmon.ingestion.samples/0", "critical"),
    ),
    "ingestion is too slow": (
        replace(
            without_process("", Worker("ingest")),
            is_kafka_up=True,
            partitions=[replace(UNREAD, last_stored_at=ago(seconds=1))],
        ),
        ("ingestion behind", "dcmon.ingestion.samples/0", "high"),
    ),
    "messages are parked": (with_organization(parked_messages=Backlog(4, ago(minutes=11))), ("parked", "acme", "high")),
    "new dead letters": (replace(healthy(), dead_letters=Backlog(2, ago(minutes=9))), ("dead letters", "", "medium")),
    "many rows of a version are quarantined": (
        with_quarantined(("credit", "v1", 1000, 101), ("credit", "v2", 100_000, 90)),
        ("quarantine grows", "acme/credit/v1", "medium"),
    ),
    "all rows of a small version are quarantined": (
        with_quarantined(("credit", "v1", 10_000_000, 101), ("fraud", "v1", 10, 10)),
        ("quarantine grows", "acme/fraud/v1", "high"),
    ),
    "a share of many rows is quarantined as files are refused": (
        with_quarantined(("credit", "v1", 10_000, 600), ("credit", "v2", 10_000, 500)),
        ("quarantine grows", "acme/credit/v1", "medium"),
    ),
    "the only row is quarantined": (
        with_quarantined(("credit", "v1", 1, 1), ("credit", "v2", 9, 8)),
        ("quarantine grows", "acme/credit/v1", "medium"),
    ),
    "lines of a file can't be read": (
        with_quarantined(("credit", "v1", 0, 12)),
        ("quarantine grows", "acme/credit/v1", "high"),
    ),
    "many labels of a model are quarantined": (
        with_quarantined(("credit", None, 100, 20)),
        ("quarantine grows", "acme/credit (labels)", "medium"),
    ),
    "a source loses more rows than a file may": (
        with_source_losses((1000, 51), (100_000, 90)),
        ("source loses rows", "acme/s1", "medium"),
    ),
    "a source loses most of few rows": (with_source_losses((9, 4), (9, 5)), ("source loses rows", "acme/s2", "high")),
    "schema is behind": (
        with_organization(unavailable_reason="It is at 0001.", is_schema_behind=True),
        ("schema behind", "acme", "high"),
    ),
    "organization is locked": (
        with_organization(unavailable_reason="It is migrated just now."),
        ("locked", "acme", "high"),
    ),
    "connections run out": (
        replace(healthy(), postgres=PostgresUsage(connections=81)),
        ("postgresql full", "connections", "high"),
    ),
    "locks run out": (replace(healthy(), postgres=PostgresUsage(locks=8_001)), ("postgresql full", "locks", "high")),
    "transaction id wraparound is near": (
        replace(healthy(), postgres=PostgresUsage(transaction_age=1_600_000_000)),
        ("wraparound", "", "critical"),
    ),
    "transaction is idle for hours": (
        replace(healthy(), postgres=PostgresUsage(idle_since=ago(hours=2), idle_pid=9)),
        ("long transaction", "", "medium"),
    ),
    "disk is full": (replace(healthy(), disk=Disk("/data", 49, 1000)), ("disk full", "", "critical")),
    "inodes are used up": (
        replace(healthy(), disk=Disk("/data", 900, 1000, 4, 1000)),
        ("disk full", "", "critical"),
    ),
    "worker was killed a moment ago": (
        replace(without_process("serve", Worker("serve", pid=99)), ended=frozenset({("box", 99)})),
        ("no endpoint", "", "critical"),
    ),
    "process is stopped": (
        replace(healthy(), stopped=[StoppedProcess("notify", "box", 17, JUST_NOW)]),
        ("process stopped", "notify on box, pid 17", "critical"),
    ),
    "receiver is refused": (
        with_organization(failing_receivers=[FailingReceiver("pager", 2, JUST_NOW, None, "It is not public.", True)]),
        ("receiver fails", "acme/pager", "high"),
    ),
    "receiver fails each time": (
        with_organization(failing_receivers=[FailingReceiver("pager", 2, JUST_NOW, 503, "It", False, failures=3)]),
        ("receiver fails", "acme/pager", "high"),
    ),
    "receiver can't be reached": (
        with_organization(
            unreachable_receivers=[UnreachableReceiver("pager", "webhook", "It hung.", 2, JUST_NOW, ago(hours=2), True)]
        ),
        ("receiver not reachable", "acme/pager", "high"),
    ),
    "only receiver was never reached": (
        with_organization(
            unreachable_receivers=[UnreachableReceiver("pager", "webhook", "It hung.", 2, JUST_NOW, None, True)]
        ),
        ("receiver not reachable", "acme/pager", "critical"),
    ),
    "receiver for critical alerts is paused": (
        with_organization(paused_receivers=[replace(PAUSED, is_critical=True)]),
        ("receiver paused", "acme/pager", "medium"),
    ),
    "only receiver for critical alerts is paused": (
        with_organization(paused_receivers=[replace(PAUSED, is_critical=True, is_last=True)]),
        ("receiver paused", "acme/pager", "high"),
    ),
    "notifications wait for a paused receiver": (
        with_organization(paused_receivers=[PAUSED], held_notifications=[HELD]),
        ("receiver paused", "acme/pager", "medium"),
    ),
    "critical alert reached no receiver": (
        with_organization(undelivered_alerts=Backlog(1, JUST_NOW), has_receiver=True),
        ("alert undelivered", "acme", "critical"),
    ),
    "no receiver gets critical alerts": (
        with_organization(undelivered_alerts=Backlog(1, JUST_NOW)),
        ("alert undelivered", "acme", "high"),
    ),
    "version has no reference": (
        with_organization(unreferenced=[MonitorsOfVersion("credit", "v1", 4, "Drift", JUST_NOW)]),
        ("no reference", "acme/credit/v1", "low"),
    ),
    "monitor never has a value": (
        with_organization(valueless=[MonitorsOfVersion("credit", "v1", 1, "Drift", JUST_NOW, "No labels.")]),
        ("monitor without values", "acme/credit/v1", "low"),
    ),
    "monitor ends with an error": (
        with_organization(failing_monitors=[MonitorsOfVersion("credit", "v1", 1, "Drift", JUST_NOW, "It hung.")]),
        ("monitor fails", "acme/credit/v1", "medium"),
    ),
    "organization of the health does not exist": (
        replace(healthy(), health_org="ops"),
        ("unknown health organization", "", "high"),
    ),
    "schema is ahead": (
        with_organization(unavailable_reason="It is at 0099.", is_schema_ahead=True),
        ("schema ahead", "acme", "high"),
    ),
    "ping never arrived": (
        replace(with_runs(ping=Run(NOW, None, ago(seconds=9), "It answered 500.")), has_ping_url=True),
        ("ping fails", "", "medium"),
    ),
    "ping no longer arrives": (
        replace(with_runs(ping=Run(NOW, ago(minutes=9), ago(seconds=9), "It answered 500.")), has_ping_url=True),
        ("ping fails", "", "medium"),
    ),
}


@pytest.mark.parametrize("case", PROBLEM_CASES, ids=str)
def test_each_fault_is_one_problem_with_a_command(case: str) -> None:
    snapshot, wanted = PROBLEM_CASES[case]

    assert find_problems(snapshot) == [wanted]
    (problem,) = checks.find_problems(snapshot, BOUNDS)
    require_mending(problem.command)
    assert problem.sentence.endswith((".", ":"))
    assert problem.since <= NOW


def test_worker_that_a_signal_stopped_goes_on_by_a_signal() -> None:
    """To start another one is not needed; on another machine it is not known why the heartbeats ended."""
    stopped = StoppedProcess("evaluate", "box", 17, ago(minutes=9))
    snapshot = replace(without_process("evaluate", Worker("evaluate", seen_at=ago(minutes=9))), stopped=[stopped])
    commands = {problem.name: problem.command for problem in checks.find_problems(snapshot, BOUNDS)}
    assert commands == {"no worker": "kill -CONT 17", "process stopped": "kill -CONT 17"}

    (problem,) = checks.find_problems(replace(snapshot, stopped=[]), BOUNDS)
    assert problem.command == "dcmon worker start evaluate"
    assert "evaluate on box (pid 17)" in problem.sentence


def test_leader_that_hangs_is_named_with_its_process() -> None:
    runs = with_runs(clock=Run(ago(hours=9), ago(hours=9)), lead=Run(ago(hours=9), message="box (pid 18)"))
    (problem,) = checks.find_problems(runs, BOUNDS)
    assert (problem.name, problem.command) == ("no leader", "kill -9 18")


def test_one_failed_probe_may_be_a_moment() -> None:
    """A restart and a hiccup of DNS are moments; what the allow-list refuses, it refuses again."""
    once = UnreachableReceiver("pager", "webhook", "The network is unreachable.", 1, JUST_NOW, None, True)
    resolving = "The host x.example can't be resolved: Temporary failure in name resolution."
    for error in (once.error, "Connection refused", resolving):
        assert find_problems(with_organization(unreachable_receivers=[replace(once, error=error)])) == []
    refused = replace(once, error="10.0.0.1 is not public. DCMON_WEBHOOKS__ALLOW can allow it.")

    (problem,) = checks.find_problems(with_organization(unreachable_receivers=[refused]), BOUNDS)

    assert problem.name == "receiver not reachable"
    assert problem.command == (
        "dcmon config show DCMON_WEBHOOKS__ALLOW --origin && dcmon --org acme receiver test pager"
    )


HARMLESS_CASES: dict[str, HealthSnapshot] = {
    "no worker right after the start": HealthSnapshot(NOW, [Worker("serve", ago(seconds=9))], False),
    "no leader right after a restart": replace(
        with_runs(clock=Run(ago(hours=9), ago(hours=9)), lead=Run(ago(hours=9))),
        processes=[replace(process, started_at=ago(seconds=9)) for process in healthy().processes],  # type: ignore[type-var]
        has_leader=False,
    ),
    "endpoint was stopped by hand": without_process("serve", Worker("serve", ended_at=ago(minutes=4), **UNSEEN)),
    "endpoint was never started": without_process("serve"),
    "one worker crashed twice and another works": replace(
        healthy(), processes=[*healthy().processes, *[Worker("evaluate", **UNSEEN)] * 2]
    ),
    "a worker crashed long ago": replace(healthy(), crashed_here={("evaluate", "box"): [ago(hours=2)] * 9}),
    "few rows are quarantined": with_quarantined(("credit", "v1", 10, 9), ("credit", "v2", 240, 12)),
    "a source loses few rows": with_source_losses((1000, 50), (99, 9)),
    "what had just begun to wait when it was read": with_organization(
        due_windows=Backlog(2, ago(hours=1, minutes=1)),
        unsent_notifications=Backlog(2, ago(hours=1, minutes=1)),
        evaluated_at=ago(hours=1, minutes=1),
        read_at=ago(hours=1),
    ),
    "large backlog of old windows": with_organization(due_windows=Backlog(9_000, None)),
    "messages wait for one minute": replace(
        without_process("", Worker("ingest")),
        is_kafka_up=True,
        partitions=[replace(UNREAD, oldest_unread_at=ago(minutes=1))],
    ),
    "ping failed once": replace(
        with_runs(ping=Run(NOW, ago(seconds=25), ago(seconds=1), "It answered 500.")), has_ping_url=True
    ),
    "receiver is tried again": with_organization(
        failing_receivers=[FailingReceiver("pager", 2, JUST_NOW, 503, "It answered 503.", False, failures=2)]
    ),
    "receiver that gets few severities is paused": with_organization(paused_receivers=[PAUSED]),
    "notifications are held": with_organization(held_notifications=[replace(HELD, by=HeldBy.SILENCE, name="3")]),
    "health is notified to an organization": replace(healthy(), health_org="acme"),
    "disk usage is unknown": replace(healthy(), disk=None),
}


@pytest.mark.parametrize("case", HARMLESS_CASES, ids=str)
def test_harmless_state_is_no_problem(case: str) -> None:
    assert find_problems(HARMLESS_CASES[case]) == []


def test_receiver_that_was_not_reached_refused_nothing() -> None:
    """The name of its host can't be resolved: a status of HTTP is what a refusal needs."""
    error = "The host hooks.example.org can't be resolved: Name or service not known."
    unresolved = FailingReceiver("pager", 2, JUST_NOW, None, error, True)
    refusing = replace(unresolved, status=403, error="The receiver answered 403.")

    (first,), (second,) = (
        checks.find_problems(with_organization(failing_receivers=[receiver]), BOUNDS)
        for receiver in (unresolved, refusing)
    )

    assert first.sentence == f"Receiver pager of acme can't be reached, and 2 notifications wait for it: {error}"
    assert second.sentence.startswith("Receiver pager of acme refuses messages, and 2 notifications wait for it: The")


def test_receiver_that_fails_each_time_is_named() -> None:
    """Also where nothing says that the next attempt will fail, too: a program that always ends with exit code 1."""
    error = "The command ended with exit code 1."
    failing = FailingReceiver("cmd", 1, ago(hours=2), None, error, False, ReceiverKind.COMMAND, 5)
    waiting = Backlog(1, ago(hours=2))

    (problem,) = checks.find_problems(
        with_organization(failing_receivers=[failing], unsent_notifications=waiting), BOUNDS
    )

    assert problem.sentence == (
        f"Receiver cmd of acme failed 5 times one after the other, and 1 notification waits for it: {error}"
    )
    assert problem.command == "dcmon --org acme receiver show cmd && dcmon --org acme receiver test cmd"
    (problem,) = checks.find_problems(
        with_organization(failing_receivers=[replace(failing, failures=1)], unsent_notifications=waiting), BOUNDS
    )
    assert (problem.name, problem.sentence.endswith(f" UTC; cmd: {error}")) == ("notifications stuck", True)


@pytest.mark.parametrize(
    ("error", "change"),
    [
        ("535 5.7.8 Authentication credentials invalid", "dcmon config show DCMON_SMTP__USERNAME --origin"),
        ("530 5.7.0 Authentication required", "dcmon config show DCMON_SMTP__USERNAME --origin"),
        ("[Errno 111] Connection refused", "dcmon config show DCMON_SMTP__HOST --origin"),
        ("it refused ann@acme.example (550 No such user)", "dcmon --org acme receiver set mail ADDRESS"),
    ],
)
def test_command_for_a_failed_mail_is_about_its_cause(error: str, change: str) -> None:
    error = f"The mail server: {error}"
    failing = FailingReceiver("mail", 1, JUST_NOW, None, error, True, ReceiverKind.EMAIL)
    (problem,) = checks.find_problems(with_organization(failing_receivers=[failing]), BOUNDS)
    assert problem.command == f"{change} && dcmon --org acme receiver test mail"


def test_process_that_says_why_it_ends_is_shown_with_it() -> None:
    """It was called a crash, and the command showed a log, though the message names what mends it."""
    place, times = ("ingest", "box"), [ago(minutes=3), ago(minutes=2), ago(seconds=9)]
    reason = str(TopicRemade(topic="dcmon.samples"))
    silent = replace(healthy(), crashed_here={place: times})

    (problem,) = checks.find_problems(replace(silent, reasons_here={place: reason}), BOUNDS)

    assert problem.command == "dcmon ingest seek --to beginning"
    assert problem.sentence.startswith(
        "Ingest on box ended 3 times within an hour, the last time at 2026-11-26 11:59 UTC:"
    )
    assert problem.sentence.endswith(f": {reason}")
    (problem,) = checks.find_problems(replace(silent, reasons_here={place: "It ended."}), BOUNDS)
    assert (problem.command, "crashed" in problem.sentence) == ("dcmon logs ingest", False)
    (problem,) = checks.find_problems(silent, BOUNDS)
    assert (problem.command, "crashed" in problem.sentence) == ("dcmon logs ingest", True)


def test_paused_receiver_that_refuses_is_one_problem() -> None:
    """It answered 410, and dcmon paused it: the address is wrong, and then it must be resumed."""
    gone = FailingReceiver("pager", 2, JUST_NOW, 410, "The receiver answered 410 (Gone).", True)
    paused = replace(PAUSED, is_critical=True, reason=gone.error)
    snapshot = with_organization(failing_receivers=[gone], paused_receivers=[paused], held_notifications=[HELD])

    (problem,) = checks.find_problems(snapshot, BOUNDS)

    assert problem.name == "receiver fails"
    assert problem.command.endswith(" && dcmon --org acme receiver resume pager")


def test_problem_of_a_pause_says_what_is_missed() -> None:
    last = replace(PAUSED, is_critical=True, is_last=True, reason="The receiver answered 410 (Gone).")
    (problem,) = checks.find_problems(with_organization(paused_receivers=[last], held_notifications=[HELD]), BOUNDS)
    assert problem.command == "dcmon --org acme receiver resume pager"
    assert problem.sentence == (
        "Receiver pager of acme is paused without an end, and 2 notifications wait for it, and no other receiver gets"
        " critical alerts now: The receiver answered 410 (Gone)."
    )


def test_problems_sort_by_severity_then_age() -> None:
    snapshot = replace(
        with_organization(
            quarantined_shares=[QuarantinedShare("credit", "v1", 1000, 500, ago(minutes=50))],
            unsent_notifications=Backlog(1, ago(hours=3)),
            given_up_notifications=Backlog(1, ago(hours=9)),
        ),
        disk=Disk("/data", 1, 100),
    )

    assert [name for name, _, _ in find_problems(snapshot)] == [
        "disk full", "notifications given up", "notifications stuck", "quarantine grows",
    ]  # fmt: skip


def test_problem_keeps_the_start_that_is_known() -> None:
    (problem,) = checks.find_problems(PROBLEM_CASES["disk is full"][0], BOUNDS)

    assert problem.since == NOW
    assert checks.with_known_start([problem], {("disk full", ""): ago(hours=3)})[0].since == ago(hours=3)
    assert checks.with_known_start([problem], {}) == [problem]


@given(st.floats(0, 1e5), st.floats(0, 1e5))
def test_longer_wait_is_never_judged_better(first: float, more: float) -> None:
    def judged(seconds: float) -> bool:
        return find_problems(with_organization(unsent_notifications=Backlog(1, ago(seconds=seconds)))) != []

    assert judged(first) <= judged(first + more)


PING_CASES: dict[str, tuple[Callable[[], HealthSnapshot], bool]] = {
    "healthy": (healthy, True),
    "no leader elected": (lambda: replace(healthy(), has_leader=False), False),
    "no evaluate worker": (lambda: without_process("evaluate"), False),
    "worker loop hangs": (lambda: without_process("notify", Worker("notify", polled_at=ago(minutes=6))), False),
    "no ingest worker": (lambda: replace(healthy(), is_kafka_up=True), False),
    "last health check is old": (
        lambda: with_runs(**{"check health": Run(ago(minutes=9), ago(minutes=9))}),
        False,
    ),
    "no health check yet": (lambda: with_runs(**{"check health": Run(NOW, None)}), False),
    "only the endpoint is missing": (lambda: without_process("serve"), True),
}


@pytest.mark.parametrize("case", PING_CASES, ids=str)
def test_ping_is_sent_only_while_dcmon_works(case: str) -> None:
    snapshot, is_pinged = PING_CASES[case]
    assert (dead_mans_switch.blocking_reasons(snapshot(), [], BOUNDS) == []) is is_pinged


def test_address_of_one_organization_does_not_block_the_ping() -> None:
    """But where dcmon's own problems are notified, nobody would hear of them."""
    wrong = checks.find_problems(PROBLEM_CASES["only receiver was never reached"][0], BOUNDS)

    assert dead_mans_switch.blocking_reasons(healthy(), wrong, BOUNDS) == []
    notified = BOUNDS.model_copy(update={"org": "acme"})
    assert dead_mans_switch.blocking_reasons(healthy(), wrong, notified) == [wrong[0].sentence]


def test_only_critical_problems_block_the_ping() -> None:
    critical = checks.find_problems(PROBLEM_CASES["disk is full"][0], BOUNDS)
    lesser = checks.find_problems(PROBLEM_CASES["new dead letters"][0], BOUNDS)

    assert dead_mans_switch.blocking_reasons(healthy(), critical, BOUNDS) == [critical[0].sentence]
    assert dead_mans_switch.blocking_reasons(healthy(), lesser, BOUNDS) == []
    assert dead_mans_switch.ping(["Something."], Ping(url=SecretStr("https://hc.example")), Webhooks()) is None
    assert dead_mans_switch.ping([], Ping(), Webhooks()) is None


def test_quarantine_problem_names_model_share_and_reasons() -> None:
    share = QuarantinedShare("my model", "v1", 324, 120, ago(minutes=50), ["wrong_type (_dc_time)", "malformed"])

    (problem,) = checks.find_problems(with_organization(quarantined_shares=[share]), BOUNDS)

    assert problem.sentence == (
        "37% of the new rows of my model v1 in acme were quarantined within an hour (120 of 324):"
        " wrong_type (_dc_time), malformed."
    )
    assert problem.command == "dcmon quarantine list --org acme --model 'my model' --version v1"
    assert problem.since == ago(minutes=50)


def test_source_problem_says_what_is_lost_and_the_first_detail() -> None:
    (problem,) = checks.find_problems(with_source_losses((1_000, 120)), BOUNDS)

    assert problem.sentence == (
        "12% of the new rows of source s1 in acme were quarantined within a day (120 of 1,000): wrong_type (age)."
        " The first is in may.csv: 'old' is not a number."
    )
    assert problem.command == "dcmon source show s1 --org acme"
    assert find_problems(with_source_losses((1_000, 120)), Health(source_quarantine=0.12)) == []


def test_quarantine_limits_are_settings() -> None:
    snapshot = with_quarantined(("credit", "v1", 100, 5), ("credit", "v2", 3, 2))

    def subjects(**limits: float) -> set[str]:
        return {problem.subject for problem in checks.find_problems(snapshot, Health(**limits))}  # type: ignore[arg-type]

    assert subjects() == set()
    assert subjects(quarantine_rows=2) == {"acme/credit/v2"}
    assert subjects(quarantine=0.04, quarantine_rows=5) == {"acme/credit/v1"}
    assert subjects(quarantine=0, quarantine_rows=1) == {"acme/credit/v1", "acme/credit/v2"}


def test_many_organizations_that_can_not_be_read_are_one_problem() -> None:
    """One role that lost a privilege must not be 2,000 mails; another reason is another problem."""
    unreadable = [
        OrganizationHealth(f"o{number}", is_counted=False, unavailable_reason="No permission.", is_unreadable=True)
        for number in range(2_000)
    ]
    other = OrganizationHealth("p", is_counted=False, unavailable_reason="No table.", is_unreadable=True)
    found = checks.find_problems(replace(healthy(), organizations=[*unreadable, other]), BOUNDS)

    assert {(problem.subject, problem.command) for problem in found} == {
        ("", "dcmon doctor"), ("p", "dcmon doctor --org p"),
    }  # fmt: skip
    assert "2,000 organizations can't be read (o0, o1, o2 and 1,997 more): No permission." in found[0].sentence


def test_many_organizations_that_stay_closed_are_one_problem() -> None:
    behind = [
        OrganizationHealth(f"o{number}", unavailable_reason="It is at 0001.", is_schema_behind=True)
        for number in range(2_000)
    ]
    locked = OrganizationHealth("p", unavailable_reason="It is migrated just now.")
    found = checks.find_problems(replace(healthy(), organizations=[*behind, locked]), BOUNDS)

    assert [(problem.name, problem.subject) for problem in found] == [("schema behind", ""), ("locked", "p")]
    assert "2,000 organizations can't be opened (o0, o1, o2 and 1,997 more): It is at 0001." in found[0].sentence


def test_reason_of_several_monitors_is_that_of_one() -> None:
    """The others may have other reasons: the sentence said that all nine read features of a type that is missing."""
    monitors = MonitorsOfVersion("credit", "v1", 9, "Drift", JUST_NOW, "No labels.")
    (problem,) = checks.find_problems(with_organization(valueless=[monitors]), BOUNDS)
    assert problem.sentence.endswith("have no value in any window, Drift for example: No labels.")

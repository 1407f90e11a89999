"""Who watches the watcher: facts about dcmon itself are judged here, and become conditions.

A condition is something that is wrong, since when, how bad it is, in a sentence, and what to type next. Judging is
pure: the leader does it every minute and keeps what it found, `dcmon status` does it whenever it is asked.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dcmon.health.snapshot import HealthSnapshot, ProcessHeartbeat
from dcmon.settings import Watch

SEVERITIES = ("critical", "high", "medium", "low")
MUST_RUN = ("evaluate", "notify")
CRASHES, CRASHES_OVER = 3, timedelta(hours=1)
FULL = 0.8  # of PostgreSQL's connections, and of its locks
FREEZE_AT = 1_500_000_000  # transactions; PostgreSQL refuses to write at two thousand million
LONG_TRANSACTION = timedelta(hours=1)
FEWEST_REJECTED = 100  # rows an hour
# After which time a round that the leader makes by the clock is missed, and what does the same by hand.
ROUNDS: Mapping[str, tuple[timedelta, str]] = {
    "clock": (timedelta(minutes=5), "dcmon worker start scheduler"),
    "prune": (timedelta(hours=12), "dcmon prune"),
}


@dataclass(frozen=True)
class Problem:
    """What is wrong. `name` and `subject` are what it is known by from one judgement to the next."""

    name: str
    severity: str
    sentence: str
    command: str
    since: datetime
    subject: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by."""
        return self.name, self.subject

    @property
    def rank(self) -> tuple[int, datetime]:
        """The worst first, then the oldest."""
        return SEVERITIES.index(self.severity), self.since


def find_problems(facts: HealthSnapshot, bounds: Watch) -> list[Problem]:
    """What is wrong, the worst first."""
    found = [condition for rule in RULES for condition in rule(facts, bounds)]
    return sorted(found, key=lambda condition: condition.rank)


def with_known_start(found: Iterable[Problem], known: Mapping[tuple[str, str], datetime]) -> list[Problem]:
    """The same conditions, each since the moment at which it was first found, where that is known."""
    return [replace(each, since=known.get(each.key, each.since)) for each in found]


def _missing(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    kinds = [*MUST_RUN, *(["ingest"] if facts.kafka is not None else [])]
    for kind in kinds:
        if facts.alive(kind, bounds):
            continue
        since = max([facts.runs_since(bounds), *(each.seen_at for each in facts.workers if each.kind == kind)])
        if facts.now - since > bounds.sign:
            does = {"evaluate": "evaluates windows", "notify": "delivers notifications", "ingest": "stores samples"}
            yield Problem(
                "no worker", "critical", f"No worker {does[kind]}.", f"dcmon worker start {kind}", since, kind
            )


def _lost_endpoints(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    served = [each for each in facts.workers if each.kind == "serve"]
    if not served or facts.alive("serve", bounds):
        return
    last = max(served, key=lambda each: each.seen_at)
    if last.ended_at is None:  # one that was stopped is not missed
        sentence = f"No endpoint takes samples: the last one, on {last.host}, is gone."
        yield Problem("no endpoint", "critical", sentence, "dcmon serve", max(last.seen_at, facts.runs_since(bounds)))


def _hanging(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    for each in facts.alive(None, bounds):
        if each.seen_at - each.turned_at > bounds.turn:
            sentence = f"The worker {each.kind} on {each.host} is there, but does nothing."
            subject = f"{each.kind} on {each.host}, pid {each.pid}"
            yield Problem("worker hangs", "high", sentence, f"kill -9 {each.pid}", each.turned_at, subject)


def _crashing(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    crashed: dict[tuple[str, str], list[ProcessHeartbeat]] = {}
    for each in facts.workers:
        is_gone = each.ended_at is None and facts.now - each.seen_at > bounds.sign
        if is_gone and facts.now - each.seen_at < CRASHES_OVER:
            crashed.setdefault((each.kind, each.host), []).append(each)
    for (kind, host), found in crashed.items():
        if len(found) >= CRASHES:
            sentence = f"{_capital(kind)} on {host} ended without a word {len(found)} times within an hour."
            since, command = min(each.seen_at for each in found), f"dcmon -v {_start(kind)}"
            yield Problem("crashes", "high", sentence, command, since, f"{kind} on {host}")


def _unled(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    """Nobody leads, or who leads does not move: its clock is behind."""
    clock = facts.rounds.get("clock")
    last = clock.began_at if clock is not None else facts.runs_since(bounds)
    since, command = max(last, facts.runs_since(bounds)), "dcmon worker start scheduler"
    if not facts.is_led and facts.now - since > bounds.leader:
        sentence = "No scheduler leads: nothing is made due by the clock, pruned or scanned."
        yield Problem("no leader", "critical", sentence, command, since)
    elif facts.is_led and facts.now - since > max(bounds.leader, ROUNDS["clock"][0]):
        sentence = "A scheduler leads, but its clock stands still: end it, and another one takes over."
        yield Problem("no leader", "critical", sentence, command, since)


def _missed_rounds(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    lead = facts.rounds.get("lead")
    if not facts.is_led or lead is None:
        return
    for name, (longest, command) in ROUNDS.items():
        found = facts.rounds.get(name)
        done = found.succeeded_at if found is not None else None
        since = max(done, lead.began_at) if done is not None else lead.began_at
        if facts.now - since > longest and name != "clock":
            why = f" It says: {found.said}" if found is not None and found.said and found.failed_at else ""
            yield Problem("missed round", "medium", f"The {name} is overdue.{why}", command, since, name)


def _standing_evaluation(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    for each in facts.tenants:
        stands = each.evaluated_at is None or facts.now - each.evaluated_at > bounds.evaluation
        waits = each.due if stands else each.due_recent  # that history takes its time is nothing to wake anybody for
        if not waits.waits_longer(bounds.evaluation, facts.now):
            continue
        assert waits.oldest is not None
        says = "nothing was evaluated" if stands else "evaluation is behind"
        sentence = f"{_count(waits.waiting, 'window')} of {each.name} wait, the oldest since {_at(waits.oldest)}:"
        yield Problem(
            "evaluation stands" if stands else "evaluation behind",
            "critical" if stands else "medium",
            f"{sentence} {says}.",
            "dcmon worker start evaluate",
            waits.oldest + bounds.evaluation,
            each.name,
        )


def _failing_rules(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    for each in facts.tenants:
        if each.unjudging.waiting:
            assert each.unjudging.oldest is not None
            sentence = f"{_count(each.unjudging.waiting, 'rule')} of {each.name} can't judge what was found last."
            command = f"dcmon --org {_quoted(each.name)} rule list"
            yield Problem("rules fail", "high", sentence, command, each.unjudging.oldest, each.name)


def _stuck_notifications(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    for each in facts.tenants:
        if each.unsent.waits_longer(bounds.notification, facts.now):
            assert each.unsent.oldest is not None
            sentence = f"{_count(each.unsent.waiting, 'notification')} of {each.name} can't be delivered"
            since, command = each.unsent.oldest + bounds.notification, _outbox(each.name)
            sentence += f", the oldest since {_at(each.unsent.oldest)}."
            yield Problem("notifications stuck", "high", sentence, command, since, each.name)
        if each.given_up.waiting:
            assert each.given_up.oldest is not None
            sentence = f"{_count(each.given_up.waiting, 'notification')} of {each.name} {_were(each.given_up.waiting)}"
            sentence += " given up within a day."
            yield Problem(
                "notifications given up", "high", sentence, _outbox(each.name), each.given_up.oldest, each.name
            )


def _lagging(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    if facts.kafka is False:
        # Since when is known from the judgement before.
        yield Problem("no kafka", "critical", "Kafka does not answer.", "dcmon ingest lag", facts.now)
    for each in facts.partitions:
        if each.oldest is None or facts.now - each.oldest <= bounds.lag:
            continue
        stands = each.moved_at is None or facts.now - each.moved_at > bounds.lag
        says = "nothing of it is stored" if stands else "it is stored too slowly"
        sentence = f"{each.name} has {_count(each.unread, 'unread message')}, the oldest of {_at(each.oldest)}: {says}."
        severity, since = "critical" if stands else "high", each.oldest + bounds.lag
        yield Problem("ingestion behind", severity, sentence, "dcmon ingest lag", since, each.name)


def _parked(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    for each in facts.tenants:
        if each.parked.waits_longer(bounds.parked, facts.now):
            assert each.parked.oldest is not None
            sentence = f"{_count(each.parked.waiting, 'message')} of {each.name} are parked since"
            since = each.parked.oldest + bounds.parked
            command = "dcmon migrate" if each.is_behind else f"dcmon ingest lag --org {_quoted(each.name)}"
            yield Problem(
                "parked", "high", f"{sentence} {_at(each.parked.oldest)}.", command, since, each.name
            )  # fmt: skip


def _dead_letters(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    if facts.letters.waiting:
        assert facts.letters.oldest is not None
        sentence = f"{_count(facts.letters.waiting, 'message')} could not be read at all within an hour: dead letters."
        yield Problem("dead letters", "medium", sentence, "dcmon audit", facts.letters.oldest)


def _rejecting(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    for each in facts.tenants:
        if each.rejected >= FEWEST_REJECTED and each.rejected > bounds.quarantine * each.taken:
            share = each.rejected / each.taken
            sentence = f"{share:.0%} of the rows of {each.name} went to the quarantine within an hour"
            yield Problem(
                "quarantine grows", "medium", f"{sentence} ({each.rejected:,} of {each.taken:,}).",
                f"dcmon quarantine list --org {_quoted(each.name)}", each.rejected_since or facts.now, each.name,
            )  # fmt: skip


def _refusing(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    for each in facts.tenants:
        if each.refused is not None:
            name, command = ("schema behind", "dcmon migrate") if each.is_behind else ("locked", "dcmon migrate status")
            sentence = f"Organization {each.name} can't be entered: {each.refused}"
            yield Problem(name, "high", sentence, command, facts.now, each.name)


def _full_server(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    server = facts.server
    for name, used, most, setting in (
        ("connections", server.connections, server.most_connections, "max_connections"),
        ("locks", server.locks, server.most_locks, "max_locks_per_transaction"),
    ):
        if used > FULL * most:
            sentence = f"PostgreSQL has {used:,} of its {most:,} {name} in use; raise {setting}."
            yield Problem("postgresql full", "high", sentence, "psql -c 'table pg_stat_activity'", facts.now, name)
    if server.age > FREEZE_AT:
        sentence = f"PostgreSQL was not frozen for {server.age:,} transactions; at 2,000,000,000 it stops writing."
        yield Problem("wraparound", "critical", sentence, "vacuumdb --all --freeze", facts.now)
    if server.idle_since is not None and facts.now - server.idle_since > LONG_TRANSACTION:
        sentence = f"A session (pid {server.idle_pid}) holds a transaction open since {_at(server.idle_since)}."
        command = f"psql -c 'select pg_terminate_backend({server.idle_pid})'"
        yield Problem("long transaction", "medium", sentence, command, server.idle_since + LONG_TRANSACTION)


def _full_disk(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    if facts.free_disk is not None and facts.free_disk < bounds.disk:
        sentence = f"The disk with the data directory has {facts.free_disk:.1%} left."
        yield Problem("disk full", "critical", sentence, "dcmon prune --dry-run", facts.now)


def _mute_heartbeat(facts: HealthSnapshot, bounds: Watch) -> Iterator[Problem]:
    beat = facts.rounds.get("heartbeat")
    if not facts.heartbeat or beat is None or beat.failed_at is None:
        return
    lead = facts.rounds.get("lead")
    since = beat.succeeded_at or (lead.began_at if lead is not None else beat.failed_at)
    if beat.failed_at >= since and facts.now - since > bounds.sign:
        sentence = f"The heartbeat does not arrive: {beat.said}"
        yield Problem("heartbeat fails", "medium", sentence, "dcmon status", since)


def _outbox(name: str) -> str:
    return f"dcmon notification list --org {_quoted(name)}"


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def _start(kind: str) -> str:
    return "serve" if kind == "serve" else f"worker start {kind}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _quoted(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").replace(".", "").isalnum() else f"'{name}'"


Rule = Callable[[HealthSnapshot, Watch], Iterator[Problem]]
RULES: Sequence[Rule] = (
    _unled, _missing, _lost_endpoints, _hanging, _crashing, _missed_rounds, _standing_evaluation,
    _failing_rules, _stuck_notifications, _lagging, _parked, _dead_letters, _rejecting, _refusing, _full_server,
    _full_disk, _mute_heartbeat,
)  # fmt: skip

"""Health checks: find the problems of dcmon itself in a health snapshot.

The checks are pure functions: the leading scheduler runs them each minute and stores the problems, and `dcmon status`
runs them when a person calls it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dcmon.formatting import command_prefix, format_bytes, format_moment, shell_argument, some_of
from dcmon.health import blind_spot_checks, process_checks
from dcmon.health.problem import UPGRADE, Problem, ProblemKey, ProblemName
from dcmon.health.scheduler_runs import ScheduledJobName
from dcmon.health.snapshot import (
    Disk,
    HealthSnapshot,
    OrganizationHealth,
    QuarantinedShare,
)
from dcmon.ingestion.files.source_losses import SourceLoss
from dcmon.output import shortened
from dcmon.settings import Health
from dcmon.severity import Severity
from dcmon.states import ProcessKind

USAGE_LIMIT = 0.8  # of PostgreSQL's connections, and of its locks
FREEZE_AGE_LIMIT = 1_500_000_000  # transactions; PostgreSQL stops writing at some 2,000 million
LONG_TRANSACTION = timedelta(hours=1)
FULL_DISK = 0.01  # with a smaller free share of the disk, nothing can be pruned
MOST_ROWS = 0.5  # a larger share of quarantined rows is more severe
MOST_SINGLE_ORGANIZATIONS = 10  # more that can't be opened for the same reason are one problem
MAX_DETAIL_LENGTH = 200  # characters of the first quarantined row's detail
PRUNE_LIMIT = timedelta(hours=12)  # a prune that did not run for longer is overdue
UNAVAILABLE = (  # why an organization can't be read; its other problems are older then
    ProblemName.TABLE_LOCKED, ProblemName.ORGANIZATION_UNREADABLE, ProblemName.SCHEMA_BEHIND, ProblemName.SCHEMA_AHEAD,
    ProblemName.LOCKED,
)  # fmt: skip
SHOW_BROKERS = "dcmon config show DCMON_KAFKA__BOOTSTRAP_SERVERS --origin"
SHOW_PING = "dcmon config show DCMON_PING__URL --origin"


def find_problems(snapshot: HealthSnapshot, limits: Health) -> list[Problem]:
    """Run all health checks; return the problems, the most severe first."""
    known_at = {org.name: org.read_at for org in snapshot.organizations if org.unavailable_reason and org.read_at}
    problems = [problem for check in CHECKS for problem in check(snapshot, limits)]
    known = [_as_known(problem, known_at.get(problem.organization)) for problem in problems]
    return sorted(known, key=lambda problem: problem.rank)


def _as_known(problem: Problem, known_at: datetime | None) -> Problem:
    """Return a problem of an organization that can't be read now with the time when it was known."""
    if known_at is None or problem.name in UNAVAILABLE:
        return problem
    at = format_moment(known_at)
    return replace(problem, sentence=f"{problem.sentence} This is from {at}: the organization can't be read now.")


def with_known_start(problems: Iterable[Problem], known: Mapping[ProblemKey, datetime]) -> list[Problem]:
    """Return the problems, with `since` from `known` where it has their key.

    `known` comes from an earlier check.
    """
    return [replace(problem, since=known.get(problem.key, problem.since)) for problem in problems]


def _check_prune(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    lead, run = snapshot.runs.get(ScheduledJobName.LEAD), snapshot.runs.get(ScheduledJobName.PRUNE)
    if not snapshot.has_leader or lead is None:
        return
    succeeded_at = run.succeeded_at if run is not None else None
    since = max(succeeded_at, lead.started_at) if succeeded_at is not None else lead.started_at
    if snapshot.now - since > PRUNE_LIMIT:
        reason = f" Its last error: {run.message}" if run is not None and run.message and run.failed_at else ""
        yield Problem(
            ProblemName.MISSED_RUN, Severity.MEDIUM, f"The prune is overdue.{reason}", "dcmon prune", since, "prune"
        )


def _check_evaluation(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    for org in snapshot.organizations:
        now = org.read_at or snapshot.now  # what waited when it was read may have been evaluated since
        is_stopped = org.evaluated_at is None or now - org.evaluated_at > limits.evaluation
        # While evaluation goes on, old windows may wait: a backfill takes its time.
        backlog = org.due_windows if is_stopped else org.recent_due_windows
        if not backlog.is_older_than(limits.evaluation, now):
            continue
        assert backlog.oldest_at is not None
        fact = "nothing was evaluated" if is_stopped else "evaluation is behind"
        waiting = f"{_count(backlog.count, 'window')} of {org.name} {_verb(backlog.count, 'wait')}"
        yield Problem(
            ProblemName.EVALUATION_STUCK if is_stopped else ProblemName.EVALUATION_BEHIND,
            Severity.CRITICAL if is_stopped else Severity.MEDIUM,
            f"{waiting}, the oldest since {format_moment(backlog.oldest_at)}: {fact}.",
            process_checks.start_command(snapshot, ProcessKind.EVALUATE),
            backlog.oldest_at + limits.evaluation,
            org.name,
        )


def _check_rules(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    for org in snapshot.organizations:
        failing = org.failing_rules
        if failing.oldest_at is not None and failing.count:
            sentence = f"{_count(failing.count, 'rule')} of {org.name} could not judge the newest result."
            command = f"dcmon --org {shell_argument(org.name)} rule list"
            yield Problem(ProblemName.RULES_FAIL, Severity.HIGH, sentence, command, failing.oldest_at, org.name)


def _check_notifications(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    for org in snapshot.organizations:
        yield from _check_notifications_of(org, org.read_at or snapshot.now, limits)


def _check_notifications_of(org: OrganizationHealth, now: datetime, limits: Health) -> Iterator[Problem]:
    command = f"dcmon notification list --org {shell_argument(org.name)}"
    unsent, given_up = org.unsent_notifications, org.given_up_notifications
    # Those of receivers that fail are a problem of the receiver, which is known after few attempts.
    refused = sum(receiver.waiting for receiver in org.failing_receivers if receiver.is_failing)
    if unsent.count > refused and unsent.is_older_than(limits.notification, now):
        assert unsent.oldest_at is not None
        last = "".join(f"; {receiver.name}: {receiver.error.rstrip('.')}" for receiver in org.failing_receivers[:1])
        oldest, since = format_moment(unsent.oldest_at), unsent.oldest_at + limits.notification
        sentence = (
            f"{_count(unsent.count, 'notification')} of {org.name} can't be delivered, the oldest since {oldest}{last}."
        )
        yield Problem(ProblemName.NOTIFICATIONS_STUCK, Severity.HIGH, sentence, command, since, org.name)
    if given_up.oldest_at is not None and given_up.count:
        were = "was" if given_up.count == 1 else "were"
        retry = f"{command_prefix(org.name)} notification retry --all-dead"
        to = f" to {some_of(org.given_up_by)}" if org.given_up_by else ""
        sentence = f"{_count(given_up.count, 'notification')} of {org.name}{to} {were} given up within a day."
        yield Problem(ProblemName.NOTIFICATIONS_GIVEN_UP, Severity.HIGH, sentence, retry, given_up.oldest_at, org.name)


def _check_kafka(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    command = "dcmon ingest lag"
    if snapshot.is_kafka_up is False:
        # The snapshot does not have the start of the outage: `with_known_start` takes it from the previous check.
        sentence = "Kafka does not answer at DCMON_KAFKA__BOOTSTRAP_SERVERS: start a broker, or correct the address."
        yield Problem(ProblemName.NO_KAFKA, Severity.CRITICAL, sentence, SHOW_BROKERS, snapshot.now)
    for partition in snapshot.partitions:
        oldest_at, stored_at = partition.oldest_unread_at, partition.last_stored_at
        if oldest_at is None or snapshot.now - oldest_at <= limits.lag:
            continue
        is_stopped = stored_at is None or snapshot.now - stored_at > limits.lag
        fact = "no message is stored" if is_stopped else "messages are stored too slowly"
        unread = _count(partition.unread_messages, "unread message")
        sentence = f"{partition.name} has {unread}, the oldest of {format_moment(oldest_at)}: {fact}."
        severity = Severity.CRITICAL if is_stopped else Severity.HIGH
        yield Problem(ProblemName.INGESTION_BEHIND, severity, sentence, command, oldest_at + limits.lag, partition.name)


def _check_parked(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    for org in snapshot.organizations:
        parked = org.parked_messages
        if parked.is_older_than(limits.parked, snapshot.now):
            assert parked.oldest_at is not None
            are = "is" if parked.count == 1 else "are"
            parked_since = format_moment(parked.oldest_at)
            sentence = f"{_count(parked.count, 'message')} of {org.name} {are} parked, the oldest since {parked_since}."
            command = "dcmon migrate" if org.is_schema_behind else f"dcmon ingest lag --org {shell_argument(org.name)}"
            yield Problem(
                ProblemName.PARKED, Severity.HIGH, sentence, command, parked.oldest_at + limits.parked, org.name
            )


def _check_dead_letters(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    dead_letters = snapshot.dead_letters
    if dead_letters.oldest_at is not None and dead_letters.count:
        sentence = f"{_count(dead_letters.count, 'message')} could not be read within an hour and became dead letters."
        command = "dcmon dead-letter list"
        yield Problem(ProblemName.DEAD_LETTERS, Severity.MEDIUM, sentence, command, dead_letters.oldest_at)


def _check_quarantine(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    """Look at each version's samples and each model's labels alone: the rows of others do not dilute their share.

    Of few rows, all must be lost: a service that sends a row an hour, and each time the same wrong value, is told too.
    """
    for org in snapshot.organizations:
        for rows in org.quarantined_shares:
            is_enough = rows.quarantined >= limits.quarantine_rows
            if rows.share > limits.quarantine and (is_enough or rows.share == 1):
                severity = Severity.HIGH if rows.share > MOST_ROWS and is_enough else Severity.MEDIUM
                subject = f"{org.name}/{rows.model}" + (" (labels)" if rows.version is None else f"/{rows.version}")
                sentence, command = _quarantine_sentence(org, rows), _quarantine_command(org, rows)
                yield Problem(ProblemName.QUARANTINE_GROWS, severity, sentence, command, rows.since, subject)


def _quarantine_sentence(org: OrganizationHealth, rows: QuarantinedShare) -> str:
    what = f"new labels of model {rows.model}" if rows.version is None else f"new rows of {rows.model} {rows.version}"
    counts = f"{rows.quarantined:,} of {max(rows.received, rows.quarantined):,}"
    reasons = f": {', '.join(rows.reasons)}" if rows.reasons else ""
    return f"{rows.share:.0%} of the {what} in {org.name} were quarantined within an hour ({counts}){reasons}."


def _quarantine_command(org: OrganizationHealth, rows: QuarantinedShare) -> str:
    version = "" if rows.version is None else f" --version {shell_argument(rows.version)}"
    return f"dcmon quarantine list --org {shell_argument(org.name)} --model {shell_argument(rows.model)}{version}"


def _check_sources(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    """Look at each watched source alone. Of few rows, more than half must be lost, as `dcmon ingest file` judges."""
    for org in snapshot.organizations:
        for loss in org.source_losses:
            is_enough = loss.quarantined >= limits.quarantine_rows and loss.share > limits.source_quarantine
            if is_enough or loss.share > MOST_ROWS:
                severity = Severity.HIGH if loss.share > MOST_ROWS else Severity.MEDIUM
                command = f"dcmon source show {shell_argument(loss.source)} --org {shell_argument(org.name)}"
                subject = f"{org.name}/{loss.source}"
                sentence = _source_sentence(org, loss)
                yield Problem(ProblemName.SOURCE_LOSES_ROWS, severity, sentence, command, loss.since, subject)


def _source_sentence(org: OrganizationHealth, loss: SourceLoss) -> str:
    counts = f"{loss.quarantined:,} of {loss.received:,}"
    first = f"The first is in {loss.file}: {shortened(loss.detail, MAX_DETAIL_LENGTH)}"
    return (
        f"{loss.share:.0%} of the new rows of source {loss.source} in {org.name} were quarantined within a day"
        f" ({counts}): {', '.join(loss.reasons)}. {first}"
    )


def _check_organizations(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    """Of many organizations that can't be read, before a migration for example, one problem tells of all."""
    unavailable: dict[tuple[ProblemName, str], list[OrganizationHealth]] = {}
    for org in snapshot.organizations:
        if org.unavailable_reason is not None:
            name, command = _unavailability(org)
            # What PostgreSQL says is one reason, though the command for it names the organization.
            cause = org.unavailable_reason if name is ProblemName.ORGANIZATION_UNREADABLE else command
            unavailable.setdefault((name, cause), []).append(org)
    for (name, _), orgs in unavailable.items():
        can = "can't be read" if orgs[0].is_unreadable else "can't be opened"
        if len(orgs) > MOST_SINGLE_ORGANIZATIONS:
            names = some_of([org.name for org in orgs])
            sentence = f"{len(orgs):,} organizations {can} ({names}): {orgs[0].unavailable_reason}"
            yield Problem(name, Severity.HIGH, sentence, _command_for_all(orgs), _unavailable_since(snapshot, orgs[0]))
            continue
        for org in orgs:
            _, command = _unavailability(org)
            known = "" if org.is_counted or not org.is_unreadable else " Its problems and its alerts are not known."
            sentence = f"Organization {org.name} {can}: {org.unavailable_reason}{known}"
            yield Problem(name, Severity.HIGH, sentence, command, _unavailable_since(snapshot, org), org.name)


def _command_for_all(orgs: Sequence[OrganizationHealth]) -> str:
    """Return the command for several organizations with one reason: without a name, if each has one of its own."""
    commands = {_unavailability(org)[1] for org in orgs}
    return commands.pop() if len(commands) == 1 else "dcmon doctor"


def _unavailable_since(snapshot: HealthSnapshot, org: OrganizationHealth) -> datetime:
    """Return since when; of what the snapshot does not say, `with_known_start` takes it from the previous check."""
    return org.lock.since if org.lock is not None and org.lock.since is not None else snapshot.now


def _unavailability(org: OrganizationHealth) -> tuple[ProblemName, str]:
    """Return the name and the command of the problem of an organization that can't be opened or read."""
    if org.lock is not None:
        return ProblemName.TABLE_LOCKED, org.lock.command
    if org.is_unreadable:
        return ProblemName.ORGANIZATION_UNREADABLE, f"dcmon doctor --org {shell_argument(org.name)}"
    if org.is_schema_behind:
        return ProblemName.SCHEMA_BEHIND, "dcmon migrate"
    if org.is_schema_ahead:
        return ProblemName.SCHEMA_AHEAD, UPGRADE
    return ProblemName.LOCKED, "dcmon migrate status"


def _check_health_org(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    name = snapshot.health_org
    if name is not None and name not in (*snapshot.names, *(org.name for org in snapshot.organizations)):
        sentence = f"DCMON_HEALTH__ORG is {name!r}, and there is no such organization: problems are notified to none."
        command = "dcmon config show DCMON_HEALTH__ORG --origin"
        yield Problem(ProblemName.HEALTH_ORG_UNKNOWN, Severity.HIGH, sentence, command, snapshot.now)


def _check_postgres(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    usage, now = snapshot.postgres, snapshot.now
    for name, used, limit, setting in (
        ("connections", usage.connections, usage.max_connections, "max_connections"),
        ("locks", usage.locks, usage.max_locks, "max_locks_per_transaction"),
    ):
        if used > USAGE_LIMIT * limit:
            sentence = f"PostgreSQL has {used:,} of its {limit:,} {name} in use; raise {setting}."
            yield Problem(
                ProblemName.POSTGRESQL_FULL, Severity.HIGH, sentence, "psql -c 'table pg_stat_activity'", now, name
            )
    if usage.transaction_age > FREEZE_AGE_LIMIT:
        age = f"{usage.transaction_age:,}"
        sentence = f"PostgreSQL was not frozen for {age} transactions; at 2,000,000,000 it stops writing."
        yield Problem(ProblemName.WRAPAROUND, Severity.CRITICAL, sentence, "vacuumdb --freeze", now)
    if usage.idle_since is not None and now - usage.idle_since > LONG_TRANSACTION:
        sentence = f"A session (pid {usage.idle_pid}) is idle in a transaction since {format_moment(usage.idle_since)}."
        command = f"psql -c 'select pg_terminate_backend({usage.idle_pid})'"
        since = usage.idle_since + LONG_TRANSACTION
        yield Problem(ProblemName.LONG_TRANSACTION, Severity.MEDIUM, sentence, command, since)


def _check_disk(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    if snapshot.disk is not None and snapshot.disk.free_share < limits.disk:
        yield disk_problem(snapshot.disk, snapshot.now)


def disk_problem(disk: Disk, now: datetime) -> Problem:
    """Return the problem of a disk that is nearly full, with its path and its sizes."""
    if disk.inodes and disk.free_inodes / disk.inodes == disk.free_share:
        left = f"{disk.free_inodes:,} of {disk.inodes:,} inodes"
    else:
        left = f"{format_bytes(disk.free)} of {format_bytes(disk.total)}"
    sentence = f"The disk with the data directory {disk.path} has {left} ({disk.free_share:.1%}) left."
    # PostgreSQL needs some room to prune.
    is_full = disk.free_share < FULL_DISK
    command = f"du -xh -d 2 {shell_argument(disk.path)}" if is_full else "dcmon prune"
    return Problem(ProblemName.DISK_FULL, Severity.CRITICAL, sentence, command, now)


def _check_dead_mans_switch(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    run, lead = snapshot.runs.get(ScheduledJobName.PING), snapshot.runs.get(ScheduledJobName.LEAD)
    if not snapshot.has_ping_url or run is None or run.failed_at is None:
        return
    since = run.succeeded_at or (lead.started_at if lead is not None else run.failed_at)
    if run.failed_at >= since and snapshot.now - since > limits.heartbeat_timeout:
        sentence = f"The ping of DCMON_PING__URL fails: {run.message}"
        yield Problem(ProblemName.PING_FAILS, Severity.MEDIUM, sentence, SHOW_PING, since)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _verb(number: int, verb: str) -> str:
    return f"{verb}s" if number == 1 else verb


Check = Callable[[HealthSnapshot, Health], Iterator[Problem]]
CHECKS: Sequence[Check] = (
    process_checks.check_leader, process_checks.check_workers, process_checks.check_endpoint,
    process_checks.check_hanging, process_checks.check_stopped, process_checks.check_crashes,
    _check_prune, _check_evaluation, _check_rules, _check_notifications, _check_kafka, _check_parked,
    _check_dead_letters, _check_quarantine, _check_sources, _check_organizations, _check_postgres, _check_disk,
    _check_dead_mans_switch, _check_health_org,
    blind_spot_checks.check_receivers, blind_spot_checks.check_reachability, blind_spot_checks.check_pauses,
    blind_spot_checks.check_undelivered_alerts, blind_spot_checks.check_labels, blind_spot_checks.check_monitors,
)  # fmt: skip

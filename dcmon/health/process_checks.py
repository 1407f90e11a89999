"""Health checks of dcmon's processes: those that must run, hang, crash, or were stopped by a signal."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from dcmon.formatting import format_moment
from dcmon.health.problem import Problem, ProblemName
from dcmon.health.scheduler_runs import ScheduledJobName
from dcmon.health.snapshot import HealthSnapshot, ProcessHeartbeat, StoppedProcess
from dcmon.settings import Health
from dcmon.severity import Severity
from dcmon.states import ProcessKind

WORKER_TASKS: dict[str, str] = {
    ProcessKind.EVALUATE: "evaluates windows",
    ProcessKind.NOTIFY: "delivers notifications",
    ProcessKind.INGEST: "stores samples",
}
CRASH_COUNT, CRASH_PERIOD = 3, timedelta(hours=1)
NAMED_COMMAND = re.compile(r'"(dcmon [^"]+)"')  # in a message of dcmon
CLOCK_LIMIT = timedelta(minutes=5)  # a clock that did not run for longer does not run
START_SCHEDULER = "dcmon worker start scheduler"


def required_workers(snapshot: HealthSnapshot) -> Sequence[str]:
    """Return the kinds of workers of which at least one must run.

    An `ingest` worker must run only where Kafka is used.
    """
    kinds = (ProcessKind.EVALUATE, ProcessKind.NOTIFY)
    return kinds if snapshot.is_kafka_up is None else (*kinds, ProcessKind.INGEST)


def check_leader(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    clock = snapshot.runs.get(ScheduledJobName.CLOCK)
    running_since = snapshot.running_since(limits)
    since = max(clock.started_at if clock is not None else running_since, running_since)
    if not snapshot.has_leader and snapshot.now - since > limits.leader:
        sentence = "No scheduler leads: no window is made due by the clock, nothing is pruned or scanned."
        command = start_command(snapshot, ProcessKind.SCHEDULER)
        yield Problem(ProblemName.NO_LEADER, Severity.CRITICAL, sentence, command, since)
    elif snapshot.has_leader and snapshot.now - since > max(limits.leader, CLOCK_LIMIT):
        lead = snapshot.runs.get(ScheduledJobName.LEAD)
        place = "" if lead is None or not lead.message else f", on {lead.message},"
        pid = re.search(r"pid (\d+)", place)
        command = start_command(snapshot, ProcessKind.SCHEDULER)
        if pid is not None and command == START_SCHEDULER:  # a new scheduler does not lead while this one has the lock
            command = f"kill -9 {pid[1]}"
        sentence = f"The scheduler that leads{place} does not run its clock: without its process, another one leads."
        yield Problem(ProblemName.NO_LEADER, Severity.CRITICAL, sentence, command, since)


def check_workers(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    for kind in required_workers(snapshot):
        if snapshot.alive(kind, limits):
            continue
        last = max((process for process in snapshot.processes if process.kind == kind), key=_seen_at, default=None)
        since = max([snapshot.running_since(limits), *([_seen_at(last)] if last is not None else [])])
        if snapshot.now - since > limits.heartbeat_timeout:
            silent = "" if last is None or last.ended_at is not None else _silent(snapshot, last)
            sentence, command = f"No worker {WORKER_TASKS[kind]}.{silent}", start_command(snapshot, kind)
            yield Problem(ProblemName.NO_WORKER, Severity.CRITICAL, sentence, command, since, kind)


def _seen_at(heartbeat: ProcessHeartbeat) -> datetime:
    return heartbeat.seen_at


def _silent(snapshot: HealthSnapshot, last: ProcessHeartbeat) -> str:
    """Say which process sent the last heartbeat; on another machine it is not known if it is dead or only stopped."""
    process = f"{last.kind} on {last.host} (pid {last.pid})"
    if _stopped_pid(snapshot, last.kind) is not None:
        return f" A signal stopped {process}."
    if (last.host, last.pid) in snapshot.ended:
        return f" The process {process} has ended."
    return f" The last heartbeat of {process} was at {format_moment(last.seen_at)}: it was killed, hangs or is stopped."


def _stopped_pid(snapshot: HealthSnapshot, kind: str) -> int | None:
    return next((stopped.pid for stopped in snapshot.stopped if stopped.name == kind), None)


def start_command(snapshot: HealthSnapshot, kind: str) -> str:
    """Return what lets a worker of a kind work: one that a signal stopped goes on, else one is started."""
    pid = _stopped_pid(snapshot, kind)
    return f"dcmon worker start {kind}" if pid is None else f"kill -CONT {pid}"


def check_endpoint(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    endpoints = [process for process in snapshot.processes if process.kind == ProcessKind.SERVE]
    if not endpoints or snapshot.alive(ProcessKind.SERVE, limits):
        return
    last = max(endpoints, key=lambda process: process.seen_at)
    if last.ended_at is None:  # An endpoint that stopped normally is no problem.
        sentence = f"No endpoint takes samples: the last one, on {last.host}, sends no heartbeat."
        since = max(last.seen_at, snapshot.running_since(limits))
        yield Problem(ProblemName.NO_ENDPOINT, Severity.CRITICAL, sentence, "dcmon serve", since)


def check_hanging(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    for process in snapshot.alive(None, limits):
        if process.seen_at - process.polled_at > limits.poll_timeout:
            sentence = f"The {process.kind} worker on {process.host} (pid {process.pid}) runs, but does no work."
            subject = f"{process.kind} on {process.host}, pid {process.pid}"
            command = f"kill -9 {process.pid}"
            yield Problem(ProblemName.WORKER_HANGS, Severity.HIGH, sentence, command, process.polled_at, subject)


def check_stopped(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    for stopped in snapshot.stopped:
        yield stopped_problem(stopped, snapshot.now)


def stopped_problem(stopped: StoppedProcess, now: datetime) -> Problem:
    """Return the problem of a process that a signal stopped."""
    sentence = f"The process {stopped.name} on {stopped.host} (pid {stopped.pid}) is stopped by a signal (SIGSTOP)."
    subject, command = f"{stopped.name} on {stopped.host}, pid {stopped.pid}", f"kill -CONT {stopped.pid}"
    since = stopped.seen_at or now
    return Problem(ProblemName.PROCESS_STOPPED, Severity.CRITICAL, sentence, command, since, subject)


def check_crashes(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    for (kind, host), times in snapshot.crashes(CRASH_PERIOD, limits).items():
        if len(times) >= CRASH_COUNT:
            count = f"{len(times)} times within an hour, the last time at {format_moment(max(times))}"
            reason = snapshot.reasons_here.get((kind, host))
            fact = f"crashed or was killed {count}." if reason is None else f"ended {count}: {reason.rstrip('.')}."
            sentence = f"{kind.capitalize()} on {host} {fact}"
            typed = NAMED_COMMAND.search(reason or "")
            command, subject = f"dcmon logs {kind}" if typed is None else typed[1], f"{kind} on {host}"
            yield Problem(ProblemName.CRASHES, Severity.HIGH, sentence, command, min(times), subject)

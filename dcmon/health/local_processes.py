"""What this machine knows of dcmon's processes: which of those on it have ended, and which were stopped by a signal.

A heartbeat is old only after some seconds; the system's process table is never.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from dcmon.embedded import process
from dcmon.embedded.supervisor_state import SupervisorState
from dcmon.health.process_heartbeats import HOSTNAME, INTERVAL
from dcmon.health.snapshot import ProcessHeartbeat, StoppedProcess
from dcmon.states import LogLevel, ProcessKind

WRITTEN_BEFORE = timedelta(seconds=15)  # a process that fails ends so long after its message at most
NOTICED_AFTER = timedelta(seconds=1)
# How dcmon says why it ends: a worker whose job failed, and any command. What is unexpected is a bug, no message.
REASON = re.compile(r"(?:worker \w+ failed: |dcmon: (?!unexpected ))(?P<reason>.+)", re.DOTALL)
MISSED = timedelta(seconds=2 * INTERVAL)  # a process that lives has sent a heartbeat within this time


@dataclass(frozen=True)
class LocalProcesses:
    """`ended`: (host, pid) of processes with heartbeats that have ended. `stopped`: those that were stopped.

    `crashes`: when processes of the supervisor crashed, by (kind, host). `reasons`: why those ended that said why.
    """

    ended: frozenset[tuple[str, int]]
    stopped: Sequence[StoppedProcess]
    crashes: Mapping[tuple[str, str], Sequence[datetime]] = field(default_factory=dict)
    reasons: Mapping[tuple[str, str], str] = field(default_factory=dict)


def find(
    processes: Sequence[ProcessHeartbeat], local: SupervisorState | None, data_dir: Path, now: datetime
) -> LocalProcesses:
    """Look for the processes of this host in its process table; `data_dir` has the logs of a supervisor.

    A container can have the name of its host and numbers of its own: where no process of this host is in the process
    table, a number that is missing there counts only if the heartbeats are missing, too.
    """
    here = [process for process in processes if process.host == HOSTNAME and process.ended_at is None]
    is_visible = any(_is_dcmon(heartbeat.pid) for heartbeat in here)
    ended = frozenset(
        (heartbeat.host, heartbeat.pid)
        for heartbeat in here
        if not process.is_alive(heartbeat.pid) and (is_visible or now - heartbeat.seen_at > MISSED)
    )
    stopped = {stopped.pid: stopped for stopped in _stopped(here, local)}
    if local is None:
        return LocalProcesses(ended, list(stopped.values()))
    return LocalProcesses(ended, list(stopped.values()), _crashes(local), _reasons(local, data_dir))


def _crashes(local: SupervisorState) -> dict[tuple[str, str], list[datetime]]:
    """Return when children of a supervisor crashed; one of an older release did not write it."""
    return {
        (child["name"], HOSTNAME): [datetime.fromisoformat(time) for time in child["crashes"]]
        for child in local.children
        if child.get("crashes")
    }


def _reasons(local: SupervisorState, data_dir: Path) -> dict[tuple[str, str], str]:
    """Return why processes of dcmon ended last, where they ended by themselves and said why in their log."""
    known = dict[tuple[str, str], str]()
    for child in local.children:
        has_ended_itself = str(child["last_exit"]).startswith("exit code ")
        if child["name"] in tuple(ProcessKind) and child.get("crashes") and has_ended_itself:
            with suppress(OSError):  # the log may be unreadable here, or gone
                reason = _last_reason(data_dir, child["name"], datetime.fromisoformat(child["crashes"][-1]))
                known |= {(child["name"], HOSTNAME): reason} if reason else {}
    return known


def _last_reason(data_dir: Path, kind: str, ended_at: datetime) -> str | None:
    """Return the message with which a process ended; None if it has none, or a traceback."""
    from dcmon.embedded import log_files  # loaded only where something crashed

    with ExitStack() as stack:
        opened = log_files.open_log(data_dir, kind, stack)
        for entry in () if opened is None else opened.newest_first(ended_at - WRITTEN_BEFORE):
            is_of_end = ended_at - WRITTEN_BEFORE <= entry.time <= ended_at + NOTICED_AFTER
            if is_of_end and entry.level == LogLevel.ERROR:
                match = REASON.fullmatch(entry.message)
                return None if match is None or "exception" in entry.fields else " ".join(match["reason"].split())
    return None


def _stopped(here: Sequence[ProcessHeartbeat], local: SupervisorState | None) -> Iterator[StoppedProcess]:
    if local is not None:
        yield from stopped_by_supervisor_state(local)
    for heartbeat in here:
        if process.is_stopped(heartbeat.pid) and _is_dcmon(heartbeat.pid):
            yield StoppedProcess(heartbeat.kind, HOSTNAME, heartbeat.pid, heartbeat.seen_at)


def stopped_by_supervisor_state(local: SupervisorState) -> Iterator[StoppedProcess]:
    """Yield the processes of a supervisor, and itself, that were stopped; their heartbeats are not known here."""
    for name, pid in [("supervisor", local.pid), *((child["name"], child["pid"]) for child in local.children)]:
        if pid is not None and process.is_stopped(pid):
            yield StoppedProcess(name, HOSTNAME, pid, None)


def _is_dcmon(pid: int) -> bool:
    return process.is_alive(pid) and "dcmon" in process.command_line(pid)

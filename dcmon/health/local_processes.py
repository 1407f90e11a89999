"""What this machine knows of dcmon's processes: which of those on it have ended, and which were stopped by a signal.

A heartbeat is old only after some seconds; the system's process table is never.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dcmon.embedded import process
from dcmon.embedded.supervisor_state import SupervisorState
from dcmon.health.process_heartbeats import HOSTNAME, INTERVAL
from dcmon.health.snapshot import ProcessHeartbeat, StoppedProcess

MISSED = timedelta(seconds=2 * INTERVAL)  # a process that lives has sent a heartbeat within this time


@dataclass(frozen=True)
class LocalProcesses:
    """`ended`: (host, pid) of processes with heartbeats that have ended. `stopped`: those that were stopped.

    `crashes`: when processes of the supervisor crashed, by (kind, host).
    """

    ended: frozenset[tuple[str, int]]
    stopped: Sequence[StoppedProcess]
    crashes: Mapping[tuple[str, str], Sequence[datetime]] = field(default_factory=dict)


def find(processes: Sequence[ProcessHeartbeat], local: SupervisorState | None, now: datetime) -> LocalProcesses:
    """Look for the processes of this host in its process table.

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
    return LocalProcesses(ended, list(stopped.values()), {} if local is None else _crashes(local))


def _crashes(local: SupervisorState) -> dict[tuple[str, str], list[datetime]]:
    """Return when children of a supervisor crashed; one of an older release did not write it."""
    return {
        (child["name"], HOSTNAME): [datetime.fromisoformat(time) for time in child["crashes"]]
        for child in local.children
        if child.get("crashes")
    }


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

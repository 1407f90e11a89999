"""Process heartbeats: each process writes every few seconds that it is alive.

A heartbeat also has the time at which the loop of the process's job last polled.
They are information for operators and for dcmon.health.checks. Work is neither assigned nor taken over by heartbeats.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event
from types import TracebackType

from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db.tables.public import Worker

log = logging.getLogger(__name__)

INTERVAL = 5.0  # seconds
RETENTION = timedelta(days=1)
HOSTNAME = socket.gethostname()

UPSERT_HEARTBEAT = text("""
    insert into workers (id, kind, host, pid, polled_at) values (:id, :kind, :host, :pid, now() - :idle)
    on conflict (id) do update set seen_at = now(), polled_at = excluded.polled_at, ended_at = null
""")
UPDATE_END = text("update workers set ended_at = now(), seen_at = now() where id = any(:ids)")
# The newest process of each kind and host stays, so that a check knows since when a kind has not run.
DELETE_OLD = text("""
    delete from workers w where coalesce(w.ended_at, w.seen_at) < now() - :retention
       and exists (select 1 from workers n where (n.kind, n.host) = (w.kind, w.host) and n.seen_at > w.seen_at)
""")


class WatchedStopEvent(Event):
    """The stop event of one job, which records when the job's loop last checked it. A hanging job never checks it."""

    def __init__(self, stop: Event) -> None:
        super().__init__()
        self._stop = stop
        self._checked_at = time.monotonic()

    def is_set(self) -> bool:
        self._checked_at = time.monotonic()
        return self._stop.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        is_stopped = self._stop.wait(timeout)
        self._checked_at = time.monotonic()
        return is_stopped

    def set(self) -> None:
        self._stop.set()

    @property
    def idle(self) -> timedelta:
        """How long ago the job last checked the event."""
        return timedelta(seconds=time.monotonic() - self._checked_at)


@dataclass
class HeartbeatSender:
    """A context manager that writes the heartbeats of this process's jobs in its own thread. It never raises.

    `stop_events`: by the job's kind; None for a job without a loop that could hang.
    """

    engine: Engine
    stop_events: Mapping[str, WatchedStopEvent | None]
    _is_over: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self._ids = {kind: uuid.uuid4() for kind in self.stop_events}
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> "HeartbeatSender":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over.set()
        self._thread.join(INTERVAL)

    def _run(self) -> None:
        is_logged = False
        while not self._is_over.is_set():
            try:
                self._write()
                is_logged = False
            except Exception as error:  # Heartbeats are only information: a failed write must not stop the jobs.
                log.log(logging.DEBUG if is_logged else logging.INFO, "process heartbeat not written: %s", error)
                is_logged = True
            self._is_over.wait(INTERVAL)
        try:
            with db.public_session(self.engine) as session:
                session.execute(UPDATE_END, {"ids": list(self._ids.values())})
        except Exception as error:
            log.debug("end of the process not written: %s", error)

    def _write(self) -> None:
        with db.public_session(self.engine) as session:
            session.execute(
                text("set local synchronous_commit = off")
            )  # A lost heartbeat does no harm, and a flush is expensive.
            for kind, stop_event in self.stop_events.items():
                idle = stop_event.idle if stop_event is not None else timedelta()
                process = {"id": self._ids[kind], "kind": kind, "host": HOSTNAME, "pid": os.getpid()}
                session.execute(UPSERT_HEARTBEAT, {**process, "idle": idle})


def entries(session: Session) -> list[Worker]:
    """Return all recorded processes, by kind and start.

    These are processes with a heartbeat within a day, and the newest of each kind and host.
    """
    return list(session.scalars(select(Worker).order_by(Worker.kind, Worker.started_at)))


def delete_old(session: Session) -> None:
    """Delete processes that ended, or wrote their last heartbeat, more than a day ago."""
    session.execute(DELETE_OLD, {"retention": RETENTION})

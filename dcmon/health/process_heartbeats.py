"""Signs of life: each process says every few seconds that it is there, and when the loop of its job last went round.

They are hints for people and for dcmon.health.checks: no work is given or taken by them.
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

GIVEN_EVERY = 5.0  # seconds
KEPT = timedelta(days=1)
HOSTNAME = socket.gethostname()

GIVE = text("""
    insert into workers (id, kind, host, pid, turned_at) values (:id, :kind, :host, :pid, now() - :idle)
    on conflict (id) do update set seen_at = now(), turned_at = excluded.turned_at, ended_at = null
""")
# The last of each kind and host stays: since when nobody is there can be said a week later too.
FORGET = text("""
    delete from workers w where coalesce(w.ended_at, w.seen_at) < now() - :kept
       and exists (select 1 from workers n where (n.kind, n.host) = (w.kind, w.host) and n.seen_at > w.seen_at)
""")


class WatchedStopEvent(Event):
    """The stop of one job, which notes when the job's loop last asked for it: a job that asks no more hangs."""

    def __init__(self, stop: Event) -> None:
        super().__init__()
        self._stop = stop
        self._asked = time.monotonic()

    def is_set(self) -> bool:
        self._asked = time.monotonic()
        return self._stop.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        found = self._stop.wait(timeout)
        self._asked = time.monotonic()
        return found

    def set(self) -> None:
        self._stop.set()

    @property
    def idle(self) -> timedelta:
        """How long ago the job asked last."""
        return timedelta(seconds=time.monotonic() - self._asked)


@dataclass
class HeartbeatSender:
    """Gives the signs of this process's jobs from a thread of its own; a context manager. It never fails."""

    engine: Engine
    pulses: Mapping[str, WatchedStopEvent | None]
    _over: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self._ids = {kind: uuid.uuid4() for kind in self.pulses}
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> "HeartbeatSender":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(GIVEN_EVERY)

    def _run(self) -> None:
        said = False
        while not self._over.is_set():
            try:
                self._give()
                said = False
            except Exception as error:  # whatever it is: nobody stops working because this can't be said
                log.log(logging.DEBUG if said else logging.INFO, "no sign of life can be given: %s", error)
                said = True
            self._over.wait(GIVEN_EVERY)
        try:
            with db.public_session(self.engine) as session:
                _end(session, list(self._ids.values()))
        except Exception as error:
            log.debug("the end can't be said: %s", error)

    def _give(self) -> None:
        with db.public_session(self.engine) as session:
            session.execute(text("set local synchronous_commit = off"))
            for kind, pulse in self.pulses.items():
                idle = pulse.idle if pulse is not None else timedelta()
                here = {"id": self._ids[kind], "kind": kind, "host": HOSTNAME, "pid": os.getpid()}
                session.execute(GIVE, {**here, "idle": idle})


def _end(session: Session, ids: list[uuid.UUID]) -> None:
    session.execute(text("update workers set ended_at = now(), seen_at = now() where id = any(:ids)"), {"ids": ids})


def entries(session: Session) -> list[Worker]:
    """All processes that gave a sign lately, by kind and age, and the last of those that gave one before."""
    return list(session.scalars(select(Worker).order_by(Worker.kind, Worker.started_at)))


def delete_old(session: Session) -> None:
    """Forget processes that are long gone."""
    session.execute(FORGET, {"kept": KEPT})

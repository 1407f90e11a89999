"""Say whom a statement waits for: a person at a terminal would see a command that does nothing."""

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, event

PATIENCE = 3.0  # seconds: most waits are shorter, as a migration locks a table for one second at the longest
EVERY = 1.0  # seconds
AGAIN = 30.0  # seconds between two looks at one statement
# The oldest session that the given one waits for, and the table that it waits for; null for a lock of another kind.
HOLDER = """
select a.pid, coalesce(nullif(a.application_name, ''), 'unknown'), coalesce(a.state, 'unknown'), a.xact_start, (
    select n.nspname || '.' || c.relname
      from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
     where l.pid = %(pid)s and not l.granted limit 1
  )
from unnest(pg_blocking_pids(%(pid)s)) as blocking(pid) join pg_stat_activity a using (pid)
order by a.xact_start limit 1
"""
_QUICKLY = "-c statement_timeout=2s"


def announce(engine: Engine, say: Callable[[str], None]) -> None:
    """Say it once for each session that a statement of this engine waits for, after PATIENCE seconds."""
    watched = _Watched(engine, say)
    event.listen(engine, "before_cursor_execute", watched.begin)
    event.listen(engine, "after_cursor_execute", watched.end)
    event.listen(engine, "handle_error", lambda context: watched.forget(context.connection))


class _Watched:
    """The statements of an engine that run now, by connection: the process of PostgreSQL, and when to look at it."""

    def __init__(self, engine: Engine, say: Callable[[str], None]) -> None:
        self._engine, self._say = engine, say
        self._running: dict[int, tuple[int, float]] = {}
        self._said = set[int]()
        self._thread: threading.Thread | None = None

    def begin(self, connection: Connection, *_: Any) -> None:
        raw = connection.connection.driver_connection
        assert raw is not None
        self._running[id(connection)] = (raw.info.backend_pid, time.monotonic() + PATIENCE)
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, daemon=True, name="lock waits")
            self._thread.start()

    def end(self, connection: Connection, *_: Any) -> None:
        self._running.pop(id(connection), None)

    def forget(self, connection: Connection | None) -> None:
        if connection is not None:
            self.end(connection)

    def _watch(self) -> None:
        while True:
            time.sleep(EVERY)
            now = time.monotonic()
            for connection, (process, due) in list(self._running.items()):
                if due <= now:
                    self._look_at(process)
                    if self._running.get(connection) == (process, due):
                        self._running[connection] = process, now + AGAIN

    def _look_at(self, process: int) -> None:
        url = self._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=2, options=_QUICKLY) as connection:
                row = connection.execute(HOLDER, {"pid": process}).fetchone()
        except psycopg.Error:
            return  # the statement itself says what is wrong
        if row is not None and row[0] not in self._said:
            self._said.add(row[0])
            self._say(_sentence(*row))


def _sentence(holder: int, application: str, state: str, since: Any, table: str | None) -> str:
    held = f"locked table {table}" if table else "a lock that is needed"
    age = f", since {since:%Y-%m-%d %H:%M:%S %Z}" if since else ""
    blocker = f"session {holder} of PostgreSQL ({application}, {state}{age})"
    if table is None and application.startswith("dcmon "):
        return f"Waiting: {blocker} has {held}. It is dcmon itself: the wait is over when its work is done."
    return f'Waiting: {blocker} has {held}. In psql, "select pg_terminate_backend({holder})" would end it.'

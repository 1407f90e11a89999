"""Log what a process asks PostgreSQL: each statement with -vv, and their number with -v; never values of rows."""

import logging
from time import perf_counter
from typing import Any

from sqlalchemy import Connection, Engine, event

from dcmon.db.connections import address

LONGEST = 300  # characters of a statement in a line of the log: its beginning and its end
BEGINNING = 60
_STARTED = "statement_started"
log = logging.getLogger(__name__)


class StatementLog:
    """The number of statements of an engine, and the seconds that they took."""

    def __init__(self) -> None:
        self.statements, self.seconds = 0, 0.0

    def listen(self, engine: Engine) -> None:
        """Count the statements of an engine from now on; an engine of a process that logs less is left alone."""
        if log.isEnabledFor(logging.INFO):
            event.listen(engine, "before_cursor_execute", _start)
            event.listen(engine, "after_cursor_execute", self._count)

    def _count(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        seconds = perf_counter() - connection.info.pop(_STARTED, perf_counter())
        self.statements, self.seconds = self.statements + 1, self.seconds + seconds
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%.1f ms: %s", seconds * 1000, _one_line(statement))


def describe(engine: Engine) -> str:
    """Return the address, the database and the user of an engine, without the password."""
    return f"database {address(engine.url)}, user {engine.url.username}"


def _start(connection: Connection, *_: Any) -> None:
    connection.info[_STARTED] = perf_counter()


def _one_line(statement: str) -> str:
    line = " ".join(statement.split())
    return line if len(line) <= LONGEST else f"{line[:BEGINNING]} … {line[BEGINNING - LONGEST :]}"

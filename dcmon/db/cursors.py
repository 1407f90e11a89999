"""psycopg's own cursors in a session's transaction: COPY, and parameters and results in binary."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon.db.connections import CONNECTION_ERRORS, to_dcmon_error


@contextmanager
def cursor(session: Session, statement: str, name: str = "") -> Iterator[psycopg.Cursor[Any]]:
    """psycopg's own cursor in the session's transaction: for COPY, and for arrays in binary. With a name, the server's.

    Raises what statements raise: Unreachable, DBAPIError, …
    """
    held = session.connection()
    connection: psycopg.Connection[Any] = held.connection.driver_connection  # type: ignore[assignment]
    try:
        with connection.cursor(name, binary=True) if name else connection.cursor(binary=True) as opened:
            yield opened
    except psycopg.Error as error:
        is_lost = connection.closed or connection.broken or isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
        if isinstance(error, CONNECTION_ERRORS) and (said := to_dcmon_error(error, held.engine.url, is_lost)):
            if is_lost:
                held.invalidate(error)
            raise said from error
        raise DBAPIError.instance(statement, None, error, psycopg.Error, connection_invalidated=is_lost) from error


@contextmanager
def copy(session: Session, statement: str) -> Iterator[psycopg.Copy]:
    """COPY FROM STDIN inside the session's transaction."""
    with cursor(session, statement) as opened, opened.copy(statement) as copying:
        yield copying


def fetch(session: Session, statement: str, values: Mapping[str, Any]) -> list[Any]:
    """The rows of a statement whose parameters, %(name)b, and results travel in binary: arrays cost a third so."""
    with cursor(session, statement) as opened:
        return opened.execute(statement, values).fetchall()


def stream(session: Session, statement: str, values: Mapping[str, Any]) -> Iterator[Any]:
    """Like `fetch`, a row at a time: as much as this side has asked for is on its way, and no more."""
    with cursor(session, statement, "stream") as opened:
        opened.execute(statement, values)
        while (row := opened.fetchone()) is not None:
            yield row


def run(session: Session, statement: str, values: Mapping[str, Any]) -> int:
    """Like `fetch`, for a statement without rows; returns how many it changed."""
    with cursor(session, statement) as opened:
        return opened.execute(statement, values).rowcount


# Keys in an array are found in one walk over their index, from PostgreSQL 17 on at half of what `for_each` costs. Left
# to itself, PostgreSQL reads whole tables instead, see there.
LOOK_UP = "set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)"


def for_each(found: str) -> str:
    """A join that looks up each row by the index.

    Left to itself, PostgreSQL reads whole tables of up to some millions of rows for each batch: it takes the pages of
    an index to be on disk, one by one.
    """
    return f"cross join lateral ({found} offset 0)"


class Array(bytes):
    """An array as a parameter of `fetch` and `run`, in binary (storage.pg_binary makes them); `oid` is its type."""

    oid: int

    def __new__(cls, value: bytes, oid: int) -> "Array":
        made = super().__new__(cls, value)
        made.oid = oid
        return made


class _ArrayDumper(psycopg.adapt.Dumper):
    """The type is the value's own, so a dumper is made for each."""

    format = psycopg.pq.Format.BINARY

    def get_key(self, obj: Array, format: Any) -> Any:
        return self.cls, obj.oid

    def upgrade(self, obj: Array, format: Any) -> "_ArrayDumper":
        made = _ArrayDumper(self.cls)
        made.oid = obj.oid
        return made

    def dump(self, obj: Array) -> bytes:
        return bytes(obj)


psycopg.adapters.register_dumper(Array, _ArrayDumper)  # here, for a connection knows what was registered before it

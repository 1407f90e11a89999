"""Cursors of psycopg in a session's transaction, for COPY and for binary parameters and results."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon.db.connections import CONNECTION_ERRORS, remove_values, to_dcmon_error

FILTER = "filter_of_statements"  # in Session.info: a function that hides rows (visible_models)


@contextmanager
def cursor(session: Session, statement: str, name: str = "") -> Iterator[psycopg.Cursor[Any]]:
    """Open a cursor of psycopg in the session's transaction.

    With a name, it is a cursor on the server. Raises the same errors as a statement of the session: Unreachable,
    DBAPIError, ….
    """
    connection = session.connection()
    raw: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    try:
        with raw.cursor(name, binary=True) if name else raw.cursor(binary=True) as opened:
            yield opened
    except psycopg.Error as error:
        remove_values(error)
        is_lost = raw.closed or raw.broken or isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
        if isinstance(error, CONNECTION_ERRORS) and (
            translated := to_dcmon_error(error, connection.engine.url, is_lost)
        ):
            if is_lost:
                connection.invalidate(error)
            raise translated from error
        raise DBAPIError.instance(
            statement, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=is_lost
        ) from error


@contextmanager
def copy(session: Session, statement: str) -> Iterator[psycopg.Copy]:
    """Run COPY FROM STDIN in the session's transaction."""
    with cursor(session, statement) as opened, opened.copy(statement) as copying:
        yield copying


def fetch(session: Session, statement: str, values: Mapping[str, Any]) -> list[Any]:
    """Return the rows of a statement, with parameters and results in binary.

    A parameter is written %(name)b. Arrays in binary cost a third of arrays in text.
    """
    with cursor(session, statement) as opened:
        return opened.execute(_filtered(session, statement), values).fetchall()


def stream(session: Session, statement: str, values: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the rows of a statement one by one, with parameters as in `fetch`.

    The server sends a row only when it is requested.
    """
    with cursor(session, statement, "stream") as opened:
        opened.execute(_filtered(session, statement), values)
        while (row := opened.fetchone()) is not None:
            yield row


def run(session: Session, statement: str, values: Mapping[str, Any]) -> int:
    """Run a statement that returns no rows; return how many rows it changed.

    Parameters are written as in `fetch`.
    """
    with cursor(session, statement) as opened:
        return opened.execute(_filtered(session, statement), values).rowcount


def _filtered(session: Session, statement: str) -> str:
    return session.info[FILTER](statement) if FILTER in session.info else statement


# Settings with which PostgreSQL finds the keys of an array in one scan of the index. From PostgreSQL 17 on, this costs
# half of `for_each`. Without these settings the planner reads whole tables instead (see `for_each`).
LOOK_UP = "set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)"


def for_each(subquery: str) -> str:
    """Return a join that runs the subquery for each row, by an index.

    Without `offset 0` the planner reads a whole table, of up to some millions of rows, for each batch: it expects that
    the pages of the index must be read from disk.
    """
    return f"cross join lateral ({subquery} offset 0)"


class Array(bytes):
    """An array in binary, as a parameter of `fetch` and `run`.

    `oid` is the type of the array. storage.pg_binary encodes arrays.
    """

    oid: int

    def __new__(cls, value: bytes, oid: int) -> "Array":
        array = super().__new__(cls, value)
        array.oid = oid
        return array


class _ArrayDumper(psycopg.adapt.Dumper):
    """Sends an `Array` to the server, with one dumper for each type of array."""

    format = psycopg.pq.Format.BINARY

    def get_key(self, obj: Array, format: Any) -> Any:
        return self.cls, obj.oid

    def upgrade(self, obj: Array, format: Any) -> "_ArrayDumper":
        dumper = _ArrayDumper(self.cls)
        dumper.oid = obj.oid
        return dumper

    def dump(self, obj: Array) -> bytes:
        return bytes(obj)


# When this module is loaded, because a connection knows only dumpers that were registered before it was opened.
psycopg.adapters.register_dumper(Array, _ArrayDumper)

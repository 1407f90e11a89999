"""The door to PostgreSQL: sessions, tables, migrations, locks and the work queue."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import psycopg.sql
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, ProgrammingError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db import locks
from dcmon.db.locks import LockSpace

PACKAGE = Path(__file__).parent.parent
MIGRATIONS = next(d for d in (PACKAGE / "migrations", PACKAGE.parent / "migrations") if (d / "env.py").is_file())

CONNECT_SECONDS = 5
CONNECTION = {
    "prepare_threshold": None,
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "dcmon",
    # A server that is gone without a word is noticed after 25 seconds; the system's own default is two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
LOCK_NOT_AVAILABLE, UNDEFINED_TABLE = "55P03", "42P01"
AWAY = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
NO_SCHEMA = "no schema"
LARGEST_ID = 2**31 - 1


@dataclass(frozen=True)
class Organization:
    """What is needed to enter an organization: its id, name and PostgreSQL schema; how long its samples are kept."""

    id: int
    name: str
    schema: str
    retention: timedelta | None = None


@cache
def head(lineage: str) -> str:
    """The newest revision of a lineage, "0001": revisions are numbered, so the last file has it."""
    return max(path.name.split("_")[0] for path in (MIGRATIONS / lineage).glob("[0-9]*.py"))


def engine(url: str, *, pool_size: int = 5) -> Engine:
    """An engine on psycopg 3. Statements are not prepared: tables of one name differ from schema to schema.

    Raises Unreachable, DatabaseRefused or DiskFull from any use of it.
    """
    parsed = _psycopg(url)
    made = create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=20,
        pool_recycle=1800,
        pool_use_lifo=True,  # the connection used last knows the tables best
        pool_pre_ping=True,
        connect_args={name: value for name, value in CONNECTION.items() if name not in parsed.query},
    )
    event.listen(made, "handle_error", _translate)
    return made


def _psycopg(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        message = "DCMON_DATABASE_URL is no URL. It looks like postgresql://user:password@host:5432/database"
        raise errors.InvalidInput(message) from error
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise errors.InvalidInput(f"DCMON_DATABASE_URL names {parsed.get_backend_name()}; dcmon needs postgresql://")
    return parsed.set(drivername="postgresql+psycopg")


def _translate(context: ExceptionContext) -> errors.DcmonError | None:
    """Turn psycopg's connection and disk errors into dcmon's, and ids that can't be; the rest passes as it is."""
    original, url = context.original_exception, context.engine.url if context.engine else None
    if isinstance(original, psycopg.errors.NumericValueOutOfRange) and (beyond := _no_id(context)) is not None:
        return errors.NotFound(what="id", name=beyond)
    if not isinstance(original, AWAY) or url is None:
        return None
    if isinstance(original, psycopg.errors.ReadOnlySqlTransaction):
        context.is_disconnect = True  # a standby has taken the address, say: connections that are there lead nowhere
    return _in_words(original, url, context.is_disconnect)


def _no_id(context: ExceptionContext) -> int | None:
    """The number that is looked for and larger than any id: to look for it is no error, and there is no such row."""
    is_look = (context.statement or "").lstrip().lower().startswith("select")
    values = context.parameters.values() if is_look and isinstance(context.parameters, Mapping) else ()
    return next((each for each in values if isinstance(each, int) and not -LARGEST_ID <= each <= LARGEST_ID), None)


def _in_words(original: psycopg.Error, url: URL, is_disconnect: bool) -> errors.DcmonError | None:
    where, said = _where(url), _first(original)
    if isinstance(original, psycopg.errors.DiskFull):
        return errors.DiskFull(where=where)
    if re.search(
        r"password authentication failed|role .* does not exist|no password supplied|no pg_hba", str(original)
    ):
        return errors.DatabaseRefused(where=where, user=url.username or "")
    if isinstance(original, psycopg.errors.OutOfMemory):
        return errors.OutOfMemory(where=where, why=said)
    if is_disconnect or _is_away(original.sqlstate):
        return errors.Unreachable(what="PostgreSQL", where=where, why=said)
    return None


def _where(url: URL) -> str:
    return f"{url.host or 'the local socket'}:{url.port or 5432}/{url.database or ''}"


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _is_away(state: str | None) -> bool:
    """Whether a server can't be had: it ends, say. One that statement_timeout stopped (57014) is there."""
    return state is None or state.startswith(("08", "3D", "53", "57P"))


@contextmanager
def public_session(engine: Engine, *, snapshot: bool = False) -> Iterator[Session]:
    """A transaction in lineage "public", committed at the end; snapshot: all reads see one moment."""
    if snapshot:
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with Session(engine, expire_on_commit=False) as session, session.begin():
        enter_public(_connected(session, engine))
        yield session


def enter_public(connection: Connection) -> None:
    """Enter "public" for the transaction; raises when its revision is not this code's."""
    connection.execute(text("select set_config('search_path', 'public', true)"))
    _require_revision("public", "public", _entered(connection, "public"))


@contextmanager
def org_session(
    engine: Engine, org: Organization, *, snapshot: bool = False, wait: timedelta | None = None
) -> Iterator[Session]:
    """A transaction inside one organization's schema, committed at the end; snapshot: all reads see one moment.

    A transaction enters one organization, once, never inside a savepoint: ROLLBACK TO would restore another path.
    `wait` is the longest wait for any lock in it; None: as long as it takes.
    Raises OrganizationNotFound when its schema is gone, SchemaOutOfDate or SchemaTooNew, Locked.
    """
    level = "REPEATABLE READ" if snapshot else "READ COMMITTED"
    with Session(engine.execution_options(isolation_level=level), expire_on_commit=False) as session, session.begin():
        connection = _connected(session, engine)
        if wait is not None:
            longest = {"longest": f"{wait.total_seconds():.3f}s"}
            connection.execute(text("select set_config('lock_timeout', :longest, true)"), longest)
        enter(connection, org)
        yield session


def _connected(session: Session, engine: Engine) -> Connection:
    """The session's connection. Raises Unreachable when others of this process hold all that there may be."""
    try:
        return session.connection()
    except NoConnectionLeft as error:
        why = "all connections that this process may have are in use"
        raise errors.Unreachable(what="PostgreSQL", where=_where(engine.url), why=why) from error


@contextmanager
def peeking(engine: Engine) -> Iterator[Callable[[Organization, str], Any]]:
    """A way to look into one organization after the other, by one statement and one round trip each; for hints only.

    What it finds is no more than a hint: neither the lock is held nor the revision looked at. It gives the statement's
    row; None for an organization that can't be looked into now.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        raw: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]

        def peek(org: Organization, statement: str) -> Any:
            path = psycopg.sql.Identifier(org.schema).as_string(raw)
            before = f"begin read only; set local lock_timeout = '1s'; set local search_path = {path}"
            try:
                found = raw.execute(f"{before}; {statement}; commit".encode())
                for _ in range(3):
                    found.nextset()
                return found.fetchone()
            except psycopg.Error as error:
                if raw.closed or raw.broken:
                    raise errors.Unreachable(what="PostgreSQL", where=_where(engine.url), why=_first(error)) from error
                raw.execute("rollback")
                return None

        yield peek


def enter(connection: Connection, org: Organization) -> None:
    """Enter the organization's schema for this transaction and hold the organization's lock shared.

    Raises OrganizationNotFound, SchemaOutOfDate, or Locked while it is migrated or deleted.
    """
    lock = locks.call(LockSpace.ORGANIZATION, ":id", shared=True)
    try:
        connection.execute(
            text(f"select set_config('search_path', quote_ident(:schema), true), {lock}"),
            {"schema": org.schema, "id": org.id},
        )
    except DBAPIError as error:
        if sqlstate(error) != LOCK_NOT_AVAILABLE:
            raise
        raise errors.Locked(f"Organization {org.name!r} is migrated or deleted just now.") from error
    found = _entered(connection, org.schema)
    if found == NO_SCHEMA:
        raise errors.OrganizationNotFound(name=org.name)
    _require_revision("org", org.schema, found)


def revision(connection: Connection, schema: str) -> str | None:
    """The revision that a schema is at; None when it was never migrated."""
    table = f"{connection.dialect.identifier_preparer.quote(schema)}.alembic_version"
    if connection.scalar(text("select to_regclass(:table)"), {"table": table}) is None:
        return None
    found: str | None = connection.scalar(text(f"select version_num from {table}"))
    return found


def _entered(connection: Connection, schema: str) -> str | None:
    """The revision of the schema that the search path leads to, in one statement: each transaction begins with it."""
    try:
        row = connection.execute(text("select version_num, current_schema() from alembic_version")).first()
    except ProgrammingError as error:
        if sqlstate(error) != UNDEFINED_TABLE:
            raise
        with connection.engine.connect() as other:  # this transaction can do no more
            is_there = other.scalar(text("select to_regnamespace(quote_ident(:schema))"), {"schema": schema})
        return None if is_there else NO_SCHEMA
    return None if row is None else row[0] if row[1] == schema else NO_SCHEMA


def _require_revision(lineage: str, schema: str, found: str | None) -> None:
    wanted = head(lineage)
    if found is None or found < wanted:
        raise errors.SchemaOutOfDate(schema=schema, found=found or "nothing", wanted=wanted)
    if found > wanted:
        raise errors.SchemaTooNew(schema=schema, found=found)


def sqlstate(error: DBAPIError) -> str | None:
    """PostgreSQL's code of an error: 40P01 for a deadlock."""
    return getattr(error.orig, "sqlstate", None)


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
        if isinstance(error, AWAY) and (said := _in_words(error, held.engine.url, is_lost)):
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

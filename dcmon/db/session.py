"""Transactions that enter exactly one schema: "public", or that of one organization."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
import psycopg.sql
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft
from sqlalchemy.orm import Session

from dcmon import authors, errors
from dcmon.db import locks, object_limits
from dcmon.db.connections import SCHEMAS, address, first_line, sqlstate
from dcmon.db.locks import LockSpace
from dcmon.db.object_limits import ObjectLimits

PACKAGE = Path(__file__).parent.parent
MIGRATIONS = next(d for d in (PACKAGE / "migrations", PACKAGE.parent / "migrations") if (d / "env.py").is_file())

LOCK_NOT_AVAILABLE, UNDEFINED_TABLE = "55P03", "42P01"
ROLE_ERRORS = ("22023", "42501")  # the role does not exist; the connecting role may not set it
NO_SCHEMA = "no schema"
# Schemas that a connection peeks into. PostgreSQL keeps 0.5 MB of each until the connection ends: 1.1 GB of 2,000.
MOST_PEEKED = 400
PEEK_WAIT = timedelta(seconds=1)  # for each lock
# The owner of the schema is the organization's role (dcmon.db.roles). Like the search path, it is set until the
# transaction ends, so a connection of the pool never carries it over.
OWNER = "coalesce((select pg_get_userbyid(nspowner) from pg_namespace where nspname = {schema}), 'none')"
SET_BOTH = "set_config('search_path', quote_ident({schema}), true), {lock}, set_config('role', {role}, true) as role"
_REMAINING = "set_config('dcmon.author', :author, true), set_config('dcmon.limits', :limits, true), " + locks.call(
    LockSpace.ORGANIZATION, ":id", shared=True
)
ENTER = text(f"select {SET_BOTH.format(schema=':schema', lock=_REMAINING, role=OWNER.format(schema=':schema'))}")
ENTER_AS = text(f"select {SET_BOTH.format(schema=':schema', lock=_REMAINING, role=':role')}")
IN_USE = text("""
    select to_regnamespace(quote_ident(:schema)) is not null and not exists (
        select from public.organizations where schema_name = :schema and deleted_at is not null)
""")
# The roles by schema: to look one up costs 50 µs of a transaction's 160. A role is never given to another schema.
_KNOWN_ROLES: WeakKeyDictionary[Engine, dict[str, str]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Organization:
    """An organization: its id, name, PostgreSQL schema and retention.

    `retention` is how long samples are kept; None: for ever. `object_limits`: how many objects it may have; None: they
    are not held, because this value was made without them.
    """

    id: int
    name: str
    schema: str
    retention: timedelta | None = None
    object_limits: ObjectLimits | None = None


@cache
def head(lineage: str) -> str:
    """Return the newest revision of a lineage, for example "0001".

    It is the number in the name of the lineage's last file.
    """
    return max(path.name.split("_")[0] for path in (MIGRATIONS / lineage).glob("[0-9]*.py"))


@contextmanager
def public_session(engine: Engine, *, snapshot: bool = False) -> Iterator[Session]:
    """Open a transaction in "public", committed at the end.

    `snapshot`: all reads in the transaction see the same state.
    """
    with Session(engine, expire_on_commit=False) as session, session.begin():
        enter_public(_connected(session, engine, snapshot=snapshot))
        yield session


def enter_public(connection: Connection) -> None:
    """Enter "public" for the transaction. Raises SchemaOutOfDate or SchemaTooNew."""
    connection.execute(
        text("select set_config('search_path', 'public', true), set_config('dcmon.author', :author, true)"),
        {"author": authors.encoded()},
    )
    _require_revision("public", "public", _entered(connection, "public"))


@contextmanager
def org_session(
    engine: Engine,
    org: Organization,
    *,
    snapshot: bool = False,
    wait: timedelta | None = None,
    member: int | None = None,
) -> Iterator[Session]:
    """Open a transaction in one organization's schema, committed at the end.

    A transaction enters one organization, once, and never in a savepoint: ROLLBACK TO would restore the former search
    path. `snapshot`: all reads in the transaction see the same state. `wait`: the longest wait for each lock; None:
    without limit. `member`: the id of the user whose models alone are visible; None: all are. Raises
    OrganizationNotFound when the schema is deleted, SchemaOutOfDate, SchemaTooNew or Locked.
    """
    with Session(engine, expire_on_commit=False) as session, session.begin():
        connection = _connected(session, engine, snapshot=snapshot)
        if wait is not None:
            longest = {"longest": f"{wait.total_seconds():.3f}s"}
            connection.execute(text("select set_config('lock_timeout', :longest, true)"), longest)
        enter(connection, org)
        if member is not None:
            from dcmon.db import visible_models  # loads all tables

            visible_models.restrict(session, org.schema, member)
        yield session


def _connected(session: Session, engine: Engine, *, snapshot: bool) -> Connection:
    """Return the session's connection, in a transaction of its isolation level.

    Raises Unreachable when the pool has none left.
    """
    level = "REPEATABLE READ" if snapshot else "READ COMMITTED"
    try:
        return session.connection(execution_options={"isolation_level": level})
    except NoConnectionLeft as error:
        reason = "all connections that this process may have are in use"
        raise errors.Unreachable(what="PostgreSQL", where=address(engine.url), reason=reason) from error


@contextmanager
def peeking(engine: Engine) -> Iterator[Callable[..., Any]]:
    """Yield a function that runs a statement in an organization and returns its row.

    It takes one round trip. Use the row only as a hint, because the function neither holds the organization's lock nor
    checks the schema's revision. It raises Unavailable if the organization can't be read now: for example, because one
    of its tables was locked for longer than `wait`.
    """
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def peek(org: Organization, statement: str, wait: timedelta = PEEK_WAIT) -> Any:
        nonlocal connection
        connection = _with_room(connection, org.schema)
        raw: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        schema = psycopg.sql.Literal(org.schema).as_string(raw)
        entering = SET_BOTH.format(schema=schema, lock="null", role=OWNER.format(schema=schema))
        before = f"begin read only; set local lock_timeout = '{wait.total_seconds():.3f}s'; select {entering}"
        try:
            results = raw.execute(f"{before}; {statement}; commit".encode())
            for _ in range(3):
                results.nextset()
            return results.fetchone()
        except psycopg.Error as error:
            if raw.closed or raw.broken:
                raise errors.Unreachable(
                    what="PostgreSQL", where=address(engine.url), reason=first_line(error)
                ) from error
            raw.execute("rollback")
            raise errors.Unavailable(first_line(error)) from error

    try:
        yield peek
    finally:
        connection.close()


def _with_room(connection: Connection, schema: str) -> Connection:
    """Return the connection, or another one in its place if it has peeked into as many schemas as it may."""
    peeked: set[str] = connection.info.setdefault(SCHEMAS, set())
    if schema not in peeked and len(peeked) >= MOST_PEEKED:
        engine = connection.engine
        connection.invalidate()
        connection.close()
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        peeked = connection.info.setdefault(SCHEMAS, set())
    peeked.add(schema)
    return connection


def enter(connection: Connection, org: Organization) -> None:
    """Enter the organization's schema and role for this transaction, and hold the organization's lock shared.

    Raises OrganizationNotFound, SchemaOutOfDate, SchemaTooNew, RoleUnusable, or Locked while the organization is
    migrated or deleted.
    """
    known = _KNOWN_ROLES.setdefault(connection.engine, {})
    connection.info.setdefault(SCHEMAS, set()).add(org.schema)
    values = {
        "schema": org.schema,
        "id": org.id,
        "role": known.get(org.schema),
        "author": authors.encoded(),
        "limits": object_limits.encoded(org.id, org.name, org.object_limits),
    }
    try:
        role = connection.execute(ENTER_AS if values["role"] else ENTER, values).one().role
    except DBAPIError as error:
        known.pop(org.schema, None)
        if sqlstate(error) in ROLE_ERRORS:
            raise _role_error(connection, org, error) from error
        if sqlstate(error) != LOCK_NOT_AVAILABLE:
            raise
        raise errors.Locked(
            f"Organization {org.name!r} is being migrated or deleted. Try again later;"
            ' "dcmon migrate status" shows the schemas.'
        ) from error
    if is_role_of(role, org):  # only such a role is known: later, another one may give the schema to its own role
        known[org.schema] = role
    current = _entered(connection, org.schema)
    if current is None or current == NO_SCHEMA:
        known.pop(org.schema, None)
    if current == NO_SCHEMA:
        raise errors.OrganizationNotFound(name=org.name)
    _require_revision("org", org.schema, current)


def forget_role(engine: Engine, schema: str) -> None:
    """Forget which role owned a schema that is created again: in a copy of a database, its name may differ."""
    _KNOWN_ROLES.get(engine, {}).pop(schema, None)


def is_role_of(role: str, org: Organization) -> bool:
    """Return True if a role of PostgreSQL is one that dcmon made for the organization."""
    prefix, _, number = role.partition("_org_")
    return prefix.startswith("dcmon_") and prefix[6:].isdigit() and number == str(org.id)


def revision(connection: Connection, schema: str) -> str | None:
    """Return a schema's revision; None when it was never migrated."""
    table = f"{connection.dialect.identifier_preparer.quote(schema)}.alembic_version"
    if connection.scalar(text("select to_regclass(:table)"), {"table": table}) is None:
        return None
    current: str | None = connection.scalar(text(f"select version_num from {table}"))
    return current


def _entered(connection: Connection, schema: str) -> str | None:
    """Return the revision of the schema in the search path; NO_SCHEMA if it is deleted.

    One statement reads both, because each transaction begins with this check.
    """
    try:
        row = connection.execute(text("select version_num, current_schema() from alembic_version")).first()
    except ProgrammingError as error:
        if sqlstate(error) != UNDEFINED_TABLE:
            raise
        # A database that was never migrated has no list of organizations in "public".
        return None if schema == "public" or _is_in_use(connection, schema) else NO_SCHEMA
    return None if row is None else row[0] if row[1] == schema else NO_SCHEMA


def _is_in_use(connection: Connection, schema: str) -> bool:
    """Return False if a schema does not exist, or if the deletion of its organization has begun."""
    with connection.engine.connect() as second:  # the error has aborted this transaction
        return bool(second.scalar(IN_USE, {"schema": schema}))


def _role_error(connection: Connection, org: Organization, error: DBAPIError) -> errors.DcmonError:
    """Return why the organization's role can't be entered: it was deleted, or this connection may not use it."""
    if not _is_in_use(connection, org.schema):
        return errors.OrganizationNotFound(name=org.name)
    return errors.RoleUnusable(org=org.name, schema=org.schema, reason=first_line(error.orig or error))


def _require_revision(lineage: str, schema: str, current: str | None) -> None:
    newest = head(lineage)
    if current is None or current < newest:
        raise errors.SchemaOutOfDate(schema=schema, found=current or "nothing", wanted=newest)
    if current > newest:
        raise errors.SchemaTooNew(schema=schema, found=current)

"""The door to PostgreSQL: engines, sessions that enter exactly one schema, and errors in words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from dcmon import errors

PACKAGE = Path(__file__).parent
MIGRATIONS = next(d for d in (PACKAGE / "migrations", PACKAGE.parent / "migrations") if (d / "env.py").is_file())

GATE = 1  # advisory lock space: who works in an organization holds its gate shared, migration and deletion exclusively


@dataclass(frozen=True)
class Organization:
    """What is needed to enter an organization: its id, name and PostgreSQL schema."""

    id: int
    name: str
    schema: str


def head(lineage: str) -> str:
    """The newest revision of a lineage, "0001": revisions are numbered, so the last file has it."""
    return max(path.name.split("_")[0] for path in (MIGRATIONS / lineage).glob("[0-9]*.py"))


def engine(url: str, *, pool_size: int = 5) -> Engine:
    """An engine on psycopg 3. Statements are not prepared: tables of one name differ from schema to schema.

    Raises Unreachable, DatabaseRefused or DiskFull from any use of it.
    """
    made = create_engine(
        _psycopg(url),
        pool_size=pool_size,
        max_overflow=20,
        pool_recycle=1800,
        pool_pre_ping=True,
        connect_args={"prepare_threshold": None, "connect_timeout": 5, "application_name": "dcmon"},
    )
    event.listen(made, "handle_error", _translate)
    return made


def _psycopg(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        message = "DCMON_DATABASE_URL is no URL. It looks like postgresql://user:password@host:5432/database"
        raise errors.InvalidInput(message) from error
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise errors.InvalidInput(f"DCMON_DATABASE_URL names {parsed.get_backend_name()}; dcmon needs postgresql://")
    return parsed.set(drivername="postgresql+psycopg")


def _translate(context: ExceptionContext) -> errors.DcmonError | None:
    """Turn psycopg's connection and disk errors into dcmon's; everything else passes as it is."""
    original, url = context.original_exception, context.engine.url if context.engine else None
    if not isinstance(original, psycopg.OperationalError) or url is None:
        return None
    where = f"{url.host or 'the local socket'}:{url.port or 5432}/{url.database or ''}"
    said = (str(original).strip() or type(original).__name__).splitlines()[0]
    if isinstance(original, psycopg.errors.DiskFull):
        return errors.DiskFull(where=where)
    if re.search(
        r"password authentication failed|role .* does not exist|no password supplied|no pg_hba", str(original)
    ):
        return errors.DatabaseRefused(where=where, user=url.username or "")
    if original.sqlstate is None or context.is_disconnect or original.sqlstate[:2] in ("08", "57", "3D", "53"):
        return errors.Unreachable(what="PostgreSQL", where=where, why=said)
    return None


@contextmanager
def public_session(engine: Engine) -> Iterator[Session]:
    """A transaction in lineage "public", committed at the end."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        enter_public(session.connection())
        yield session


def enter_public(connection: Connection) -> None:
    """Enter "public" for the transaction; raises when its revision is not this code's."""
    connection.execute(text("select set_config('search_path', 'public', true)"))
    _require_revision(connection, "public", "public")


@contextmanager
def org_session(engine: Engine, org: Organization, *, snapshot: bool = False) -> Iterator[Session]:
    """A transaction inside one organization's schema, committed at the end; snapshot: all reads see one moment.

    A transaction enters one organization, once, never inside a savepoint: ROLLBACK TO would restore another path.
    Raises OrganizationNotFound when its schema is gone, SchemaOutOfDate or SchemaTooNew.
    """
    level = "REPEATABLE READ" if snapshot else "READ COMMITTED"
    with Session(engine.execution_options(isolation_level=level), expire_on_commit=False) as session, session.begin():
        enter(session.connection(), org)
        yield session


def enter(connection: Connection, org: Organization) -> None:
    """Enter the organization's schema for this transaction and hold its gate shared."""
    connection.execute(
        text("select set_config('search_path', quote_ident(:schema), true), pg_advisory_xact_lock_shared(:gate, :id)"),
        {"schema": org.schema, "gate": GATE, "id": org.id},
    )
    if connection.scalar(text("select current_schema()")) != org.schema:
        raise errors.OrganizationNotFound(name=org.name)
    _require_revision(connection, "org", org.schema)


def revision(connection: Connection, schema: str) -> str | None:
    """The revision that a schema is at; None when it was never migrated."""
    table = f"{connection.dialect.identifier_preparer.quote(schema)}.alembic_version"
    if connection.scalar(text("select to_regclass(:table)"), {"table": table}) is None:
        return None
    found: str | None = connection.scalar(text(f"select version_num from {table}"))
    return found


def _require_revision(connection: Connection, lineage: str, schema: str) -> None:
    found, wanted = revision(connection, schema), head(lineage)
    if found is None or found < wanted:
        raise errors.SchemaOutOfDate(schema=schema, found=found or "nothing", wanted=wanted)
    if found > wanted:
        raise errors.SchemaTooNew(schema=schema, found=found)


def driver(session: Session) -> "psycopg.Connection[tuple[object, ...]]":
    """psycopg's own connection under a session, inside the same transaction: for COPY."""
    connection: psycopg.Connection[tuple[object, ...]] = session.connection().connection.driver_connection  # type: ignore[assignment]
    return connection

"""Faults of the PostgreSQL server: its version, clock, locks, long statements, and how it is kept."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from dcmon import errors
from dcmon.db import sql
from dcmon.doctor.faults import Fact, Part, fault
from dcmon.doctor.installation import Installation
from dcmon.formatting import count_of, format_bytes, shell_argument
from dcmon.health.current_health import database_argument
from dcmon.health.problem import ProblemName
from dcmon.severity import Severity

# With one of these findings, no part that needs the database is examined.
BLOCKING = (
    "nothing-runs", ProblemName.POSTGRESQL_REFUSES.code, "database-url-unusable",
    ProblemName.POSTGRESQL_HANGS.code, ProblemName.POSTGRESQL_UNREACHABLE.code, ProblemName.PROCESS_STOPPED.code,
    ProblemName.DISK_FULL.code, ProblemName.TABLE_LOCKED.code,
)  # fmt: skip
OLDEST_VERSION = 14  # older ones get no security updates
CLOCK_LIMIT = timedelta(seconds=5)
LOCK_SECONDS, STATEMENT_HOURS = 30, 1
SLOT_BYTES = 1_000_000_000
DEAD_ROWS, DEAD_SHARE = 100_000, 0.5  # of a table

SQL = sql.read(__name__)


@fault("nothing-runs", "dcmon does not run here", Part.POSTGRESQL, Severity.CRITICAL)
def nothing_runs(installation: Installation) -> Iterator[Fact]:
    """No database is set, and the embedded one does not run."""
    try:
        _ = installation.database_url
    except errors.NothingRuns:
        yield Fact(
            f"No PostgreSQL runs in {installation.known.data_dir}, and DCMON_DATABASE_URL is not set.", "dcmon up"
        )


@fault("database-url-unusable", "DCMON_DATABASE_URL can't be used", Part.POSTGRESQL, Severity.CRITICAL)
def unusable_url(installation: Installation) -> Iterator[Fact]:
    """It is no URL, or one of another database than PostgreSQL."""
    try:
        _ = installation.engine
    except errors.InvalidInput as error:
        yield Fact(str(error), "dcmon config show DCMON_DATABASE_URL --origin")
    except errors.NothingRuns:
        pass


@fault("postgresql-old", "PostgreSQL is too old", Part.POSTGRESQL, Severity.MEDIUM)
def old_version(installation: Installation) -> Iterator[Fact]:
    """dcmon is tested with PostgreSQL 14 and newer."""
    for row in _rows(installation, "version"):
        if row.number // 10_000 < OLDEST_VERSION:
            sentence = f"The server is PostgreSQL {row.version}; dcmon needs {OLDEST_VERSION} or newer."
            yield Fact(sentence, psql(installation, "show server_version"))


@fault("postgresql-read-only", "The database can't be written", Part.POSTGRESQL, Severity.CRITICAL)
def read_only(installation: Installation) -> Iterator[Fact]:
    """The URL leads to a standby, or transactions are read-only by default."""
    for row in _rows(installation, "version"):
        if row.is_standby:
            yield Fact("The server is a standby: it only reads.", "dcmon config show DCMON_DATABASE_URL --origin")
        elif row.is_read_only:
            command = psql(installation, "alter database current_database reset default_transaction_read_only")
            sentence = f"default_transaction_read_only is on in database {row.database}: dcmon can store nothing."
            yield Fact(sentence, command.replace("current_database", row.database))


@fault("database-not-utf8", "The database does not store every text", Part.POSTGRESQL, Severity.HIGH)
def other_encoding(installation: Installation) -> Iterator[Fact]:
    """Only a database in UTF8 can store every name and value that a service sends."""
    for row in _rows(installation, "version"):
        if row.encoding != "UTF8":
            sentence = f"Database {row.database} has the encoding {row.encoding}."
            yield Fact(sentence, psql(installation, "create database dcmon_utf8 encoding utf8 template template0"))


@fault("clock-skew", "The clocks of this machine and of PostgreSQL differ", Part.POSTGRESQL, Severity.HIGH)
def clock_skew(installation: Installation) -> Iterator[Fact]:
    """Windows become due by PostgreSQL's clock, and rows have the times of the services."""
    before = now()
    for row in _rows(installation, "clock"):
        middle = before + (now() - before) / 2
        if abs(row.at - middle) > CLOCK_LIMIT:
            seconds = (middle - row.at).total_seconds()
            direction = "ahead of" if seconds > 0 else "behind"
            sentence = (
                f"This machine is {abs(seconds):,.0f} s {direction} PostgreSQL, where it is {row.at:%H:%M:%S} UTC."
            )
            yield Fact(sentence, "timedatectl status")


def now() -> datetime:
    """Return the time of this machine's clock."""
    return datetime.now(UTC)


@fault("locks-waiting", "Sessions wait for locks", Part.POSTGRESQL, Severity.HIGH)
def waiting_locks(installation: Installation) -> Iterator[Fact]:
    """A session of dcmon or of a person holds a lock, and others wait for it."""
    for row in _rows(installation, "waiting", seconds=LOCK_SECONDS):
        held = f"session {row.blocker} ({row.application or 'unknown'}, {row.state}) holds it"
        sentence = f"{count_of(row.count, 'session')} wait for a lock for {row.seconds:,.0f} s; {held}."
        yield Fact(sentence, psql(installation, f"select pg_terminate_backend({row.blocker})"), since=row.since)


@fault("statement-long", "A statement runs for hours", Part.POSTGRESQL, Severity.MEDIUM)
def long_statements(installation: Installation) -> Iterator[Fact]:
    """It holds back the vacuum of all tables; dcmon's own statements take seconds."""
    for row in _rows(installation, "long_statements", hours=STATEMENT_HOURS):
        sentence = f"Session {row.pid} ({row.application or 'unknown'}) runs a statement: {row.beginning}"
        yield Fact(sentence, psql(installation, f"select pg_cancel_backend({row.pid})"), since=row.since)


@fault("prepared-transaction", "A prepared transaction is not ended", Part.POSTGRESQL, Severity.HIGH)
def prepared(installation: Installation) -> Iterator[Fact]:
    """dcmon prepares none. It holds locks, and holds back the vacuum, also after a restart."""
    for row in _rows(installation, "prepared"):
        sentence = f"Prepared transaction {row.name} of {row.owner} is open."
        yield Fact(sentence, psql(installation, f"rollback prepared {literal(row.name)}"), since=row.since)


@fault("replication-slot", "A replication slot keeps old WAL", Part.POSTGRESQL, Severity.HIGH)
def replication_slots(installation: Installation) -> Iterator[Fact]:
    """A slot without a consumer lets the WAL grow until the disk is full."""
    for row in _rows(installation, "slots", size=SLOT_BYTES):
        sentence = f"Slot {row.name} has no consumer, and keeps {format_bytes(int(row.size))} of WAL."
        yield Fact(sentence, psql(installation, f"select pg_drop_replication_slot({literal(row.name)})"))


@fault("autovacuum-off", "Autovacuum is off", Part.POSTGRESQL, Severity.HIGH)
def autovacuum(installation: Installation) -> Iterator[Fact]:
    """Without it, tables grow without end, and PostgreSQL stops writing after two thousand million transactions."""
    for row in _rows(installation, "autovacuum"):
        if row.is_off:
            sentence = "The server has autovacuum or track_counts off."
            yield Fact(sentence, psql(installation, "alter system reset autovacuum"))
        if row.tables:
            names = ", ".join(row.tables[:3])
            sentence = f"Autovacuum is off for {count_of(len(row.tables), 'table')}: {names}."
            yield Fact(sentence, psql(installation, f"alter table {row.tables[0]} reset (autovacuum_enabled)"))


@fault("table-bloated", "A table is mostly dead rows", Part.POSTGRESQL, Severity.MEDIUM)
def bloat(installation: Installation) -> Iterator[Fact]:
    """Autovacuum does not keep up, or a long transaction holds it back."""
    for row in _rows(installation, "bloat", dead_rows=DEAD_ROWS, dead_share=DEAD_SHARE):
        sentence = f"Table {row.name} has {row.dead:,} dead rows beside {row.live:,} live ones."
        yield Fact(sentence, psql(installation, f"vacuum {row.name}"))


def _rows(installation: Installation, statement: str, **values: Any) -> list[Any]:
    """Run a statement; without a connection there are no rows, and the fault of the connection is the finding."""
    if installation.connection_error is not None:
        return []
    with installation.engine.connect() as connection:
        return list(connection.execute(text(SQL.statement(statement)), values))


def psql(installation: Installation, statement: str) -> str:
    """Return the command that runs a statement in dcmon's database."""
    return f"psql {database_argument(installation.known)} -c {shell_argument(statement)}"


def literal(name: str) -> str:
    """Quote a name as a text of SQL, without apostrophes if it can be: the shell needs them."""
    return f"$${name}$$" if "$" not in name else "'" + name.replace("'", "''") + "'"

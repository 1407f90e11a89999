"""Faults of the schemas: halves of organizations, roles, indexes, and processes of other releases."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import text

from dcmon import db, errors
from dcmon.db import sql
from dcmon.doctor.faults import Fact, Part, fault
from dcmon.doctor.installation import Installation
from dcmon.doctor.postgresql_faults import psql
from dcmon.formatting import count_of, shell_argument
from dcmon.health.problem import UPGRADE
from dcmon.severity import Severity
from dcmon.tenancy import failed_login_counts, missing_roles

SQL = sql.read(__name__)
BLOCKING = ("schema-public-behind", "schema-public-ahead")  # with one of these, no organization is examined
FAILED_LOGINS = 100  # within a day


@fault("schema-public-behind", "The schema public is behind this release", Part.SCHEMAS, Severity.CRITICAL)
def public_behind(installation: Installation) -> Iterator[Fact]:
    """Nothing works until it is migrated."""
    try:
        with db.public_session(installation.engine):
            pass
    except errors.SchemaOutOfDate as error:
        yield Fact(str(error), "dcmon migrate")
    except errors.DcmonError:
        pass


@fault("schema-public-ahead", "The schema public is ahead of this release", Part.SCHEMAS, Severity.CRITICAL)
def public_ahead(installation: Installation) -> Iterator[Fact]:
    """A newer dcmon has migrated it: this one can't use it."""
    try:
        with db.public_session(installation.engine):
            pass
    except errors.SchemaTooNew as error:
        yield Fact(str(error), UPGRADE)
    except errors.DcmonError:
        pass


@fault("organization-half-deleted", "An organization is half deleted", Part.SCHEMAS, Severity.MEDIUM)
def half_deleted(installation: Installation) -> Iterator[Fact]:
    """Its deletion was interrupted: its schema still takes room. The next migration or prune finishes it."""
    for row in _rows(installation, "half_deleted"):
        sentence = (
            f"Organization {row.name} was deleted on {row.deleted_at:%Y-%m-%d %H:%M}; schema {row.schema} is left."
        )
        yield Fact(sentence, "dcmon migrate", since=row.deleted_at)


@fault("schema-without-organization", "A schema belongs to no organization", Part.SCHEMAS, Severity.MEDIUM)
def schema_without_organization(installation: Installation) -> Iterator[Fact]:
    """It was restored, or its row was deleted by hand; look into it before you drop it."""
    for row in _rows(installation, "without_organization"):
        tables = count_of(row.tables, "table")
        sentence = f"Schema {row.schema} has {tables} of dcmon, and no organization has it."
        yield Fact(sentence, psql(installation, f"\\dt+ {row.schema}.*"))


@fault("organization-without-schema", "An organization has no schema", Part.SCHEMAS, Severity.HIGH)
def organization_without_schema(installation: Installation) -> Iterator[Fact]:
    """Its creation was interrupted, or its schema was dropped by hand."""
    for row in _rows(installation, "without_schema"):
        sentence = f"Organization {row.name} has schema {row.schema}, which does not exist."
        yield Fact(sentence, f"dcmon org delete {shell_argument(row.name)}", row.name)


@fault("role-missing", "Organizations have no role of their own", Part.SCHEMAS, Severity.MEDIUM)
def missing_role(installation: Installation) -> Iterator[Fact]:
    """The role is the second wall between organizations."""
    try:
        missing = missing_roles.read(installation.engine)
    except errors.DcmonError:
        return
    if missing.organizations:
        sentence = f"{count_of(missing.organizations, 'organization')} without a role of PostgreSQL of its own."
        yield Fact(sentence, "dcmon migrate roles")


@fault("index-missing", "A table of samples has lost an index", Part.SCHEMAS, Severity.HIGH)
def missing_index(installation: Installation) -> Iterator[Fact]:
    """Each evaluation then reads the whole table."""
    for row in _rows(installation, "missing_indexes"):
        command = f'create index on "{row.schema}".{row.name} ({row.columns})'
        yield Fact(f"Table {row.schema}.{row.name} has no index on ({row.columns}).", psql(installation, command))


@fault("index-invalid", "An index is invalid", Part.SCHEMAS, Severity.MEDIUM)
def invalid_index(installation: Installation) -> Iterator[Fact]:
    """A build was interrupted: it is kept up to date, and never read."""
    for row in _rows(installation, "invalid_indexes"):
        yield Fact(f"Index {row.name} is invalid.", psql(installation, f"reindex index {row.name}"))


@fault("releases-mixed", "Processes of several releases run at once", Part.SCHEMAS, Severity.MEDIUM)
def mixed_releases(installation: Installation) -> Iterator[Fact]:
    """During an upgrade that is so for a moment; afterwards, a process was forgotten."""
    rows = _rows(installation, "applications")
    if len(rows) > 1:
        listed = ", ".join(f"{row.application} ({count_of(row.count, 'connection')})" for row in rows)
        statement = "select pid, application_name, client_addr, backend_start from pg_stat_activity"
        yield Fact(f"Connected to PostgreSQL are {listed}.", psql(installation, statement))


@fault("failed-logins", "Many log-ins failed", Part.SCHEMAS, Severity.MEDIUM)
def failed_logins(installation: Installation) -> Iterator[Fact]:
    """Somebody guesses tokens, or a service has an expired one."""
    try:
        with db.public_session(installation.engine) as session:
            count = failed_login_counts.last_day(session)
    except errors.DcmonError:
        return
    if count > FAILED_LOGINS:
        yield Fact(f"{count:,} log-ins failed in the last 24 hours.", "dcmon logs serve --grep 401")


def _rows(installation: Installation, statement: str) -> list[Any]:
    """Run a statement on public; without its tables there are no rows: the revision is then the finding."""
    try:
        with db.public_session(installation.engine) as session:
            return list(session.execute(text(SQL.statement(statement))))
    except (errors.SchemaOutOfDate, errors.SchemaTooNew):
        return []

"""The revisions of many schemas, with few statements: one round trip for each of 2,000 organizations takes seconds."""

from collections.abc import Sequence

import psycopg.sql
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from dcmon.db.connections import sqlstate
from dcmon.db.session import UNDEFINED_TABLE, revision

AT_ONCE = 100  # schemas of a statement, which locks a table and an index of each
UNDEFINED_SCHEMA = "3F000"
MIGRATED = text(
    "select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relname = 'alembic_version'"
)


def of_schemas(engine: Engine, schemas: Sequence[str]) -> dict[str, str | None]:
    """Return the revisions by schema; None for one that was never migrated, or does not exist."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        migrated = set(connection.scalars(MIGRATED))
    known = [schema for schema in schemas if schema in migrated]
    revisions: dict[str, str | None] = dict.fromkeys(schemas)
    for first in range(0, len(known), AT_ONCE):
        revisions |= _read(engine, known[first : first + AT_ONCE])
    return revisions


def _read(engine: Engine, schemas: Sequence[str]) -> dict[str, str | None]:
    """Return the revisions of a few schemas that exist, in a transaction that holds their locks only for a moment."""
    statement = " union all ".join(map(_select, schemas))
    try:
        with engine.connect() as connection:  # no autocommit: the engine's limit of waits for locks is of transactions
            return {row[0]: row[1] for row in connection.exec_driver_sql(statement)}
    except ProgrammingError as error:
        if sqlstate(error) not in (UNDEFINED_TABLE, UNDEFINED_SCHEMA):
            raise
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return {schema: revision(connection, schema) for schema in schemas}  # one of them was deleted meanwhile


def _select(schema: str) -> str:
    name, table = psycopg.sql.Literal(schema).as_string(), psycopg.sql.Identifier(schema, "alembic_version").as_string()
    return f"select {name}, (select version_num from {table})".replace("%", "%%")

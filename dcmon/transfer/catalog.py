"""The tables and columns that exist in a schema, and the sums over a table's rows."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.db import sql

COLUMNS = text("""
    select a.attname from pg_attribute a
     where a.attrelid = cast(:table as regclass) and a.attnum > 0 and not a.attisdropped order by a.attnum
""")
SEQUENCES = text("select sequencename, last_value from pg_sequences where schemaname = current_schema() order by 1")


class RowSum(NamedTuple):
    """The number of a table's rows, and a checksum of them that does not depend on their order."""

    rows: int
    checksum: str


def columns(session: Session, table: str) -> list[str]:
    """Return the columns of a table, in order."""
    return list(session.scalars(COLUMNS, {"table": table}))


def sequences(session: Session) -> Mapping[str, int]:
    """Return the last values of the schema's sequences that were used."""
    return {name: last for name, last in session.execute(SEQUENCES) if last is not None}


def set_sequences(session: Session, values: Mapping[str, int]) -> None:
    """Let sequences continue after these values; those that do not exist any more are left out."""
    known = {name for name, _ in session.execute(SEQUENCES)}
    for name in known & values.keys():
        session.execute(text("select setval(cast(:name as regclass), :last)"), {"name": name, "last": values[name]})


def sum_rows(session: Session, table: str, names: Sequence[str], where: str = "") -> RowSum:
    """Count a table's rows, and compute the checksum of some columns.

    PostgreSQL reads the table once. The checksum is the sum of a hash of the text of each row.
    """
    subquery = f"select {joined(names)} from {sql.identifier(table)}{where}"
    statement = f"select count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) from ({subquery}) t"
    rows, checksum = session.connection().exec_driver_sql(statement.replace("%", "%%")).one()
    return RowSum(rows, str(checksum))


def joined(names: Sequence[str]) -> str:
    """Return a list of columns as SQL."""
    return ", ".join(map(sql.identifier, names))

"""Write many rows in one statement.

SQLAlchemy sends an UPDATE of many objects as one statement for each object. These functions send the values as arrays,
so that a statement has the same text for any number of rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import FromClause, Table, bindparam, column, func, inspect, select
from sqlalchemy import insert as insert_into
from sqlalchemy import update as update_of
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.exc import StaleDataError

POSITION = "bulk_position"


def insert(session: Session, entity: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that have the same columns, in this order."""
    if rows:
        session.connection().execute(_insert(_table(entity), list(rows[0])), _parameters(list(rows[0]), rows))


def insert_numbered(session: Session, entity: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Insert rows that have the same columns, and return their new ids in the same order."""
    if not rows:
        return []
    table = _table(entity)
    statement = _insert(table, list(rows[0])).returning(table.c.id)
    # The rows are inserted in order and take the next numbers of a sequence, so their ids grow.
    return sorted(session.connection().scalars(statement, _parameters(list(rows[0]), rows)))


def update(session: Session, objects: Sequence[DeclarativeBase]) -> None:
    """Write the changed attributes of stored objects of one table, which have the key `id`.

    The caller has locked the rows, or rows that guard them: an attribute that changed in one object is written for all.
    Raises StaleDataError if a row does not exist any more.
    """
    names = sorted({name for stored in objects for name in changed_attributes(stored)})
    if not names:
        return
    table, columns = _table(type(objects[0])), ["id", *names]
    rows = [{name: getattr(stored, name) for name in columns} for stored in objects]
    given = _given(table, columns)
    statement = (
        update_of(table).where(table.c.id == given.c.id).values({table.c[name]: given.c[name] for name in names})
    )
    if session.connection().execute(statement, _parameters(columns, rows)).rowcount != len(objects):
        raise StaleDataError(f"Not all of {len(objects)} rows of {table.name} exist.")
    for stored, row in zip(objects, rows, strict=True):
        for name in names:
            set_committed_value(stored, name, row[name])


def changed_attributes(stored: DeclarativeBase) -> list[str]:
    """Return the names of an object's attributes that differ from its row, without a query."""
    state = inspect(stored)
    return [
        attribute.key for attribute in state.mapper.column_attrs if state.attrs[attribute.key].history.has_changes()
    ]


def _insert(table: Table, names: Sequence[str]) -> Any:
    given = _given(table, names)
    ordered = select(*[given.c[name] for name in names]).order_by(given.c[POSITION])
    return insert_into(table).from_select(names, ordered, include_defaults=False)


def _given(table: Table, names: Sequence[str]) -> FromClause:
    """Return the rows that are given as arrays, as a table."""
    parameters = [bindparam(f"of_{name}", type_=ARRAY(table.c[name].type, dimensions=1)) for name in names]
    columns = [column(name, table.c[name].type) for name in names]
    values = func.unnest(*parameters).table_valued(*columns, with_ordinality=POSITION, name="given")
    return values.render_derived()


def _parameters(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {f"of_{name}": [row[name] for row in rows] for name in names}


def _table(entity: type[DeclarativeBase]) -> Table:
    table = entity.__table__
    assert isinstance(table, Table)
    return table

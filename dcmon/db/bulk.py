"""Write many rows in one statement.

SQLAlchemy sends an UPDATE of many objects as one statement for each object. These functions send the values as arrays,
so that a statement has the same text for any number of rows.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import JSON, ColumnElement, FromClause, Table, bindparam, case, column, func, inspect, select
from sqlalchemy import insert as insert_into
from sqlalchemy import update as update_of
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Session, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.exc import StaleDataError

POSITION = "position_given"


def insert(session: Session, entity: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that have the same columns, in this order."""
    if rows:
        session.connection().execute(_insert(table_of(entity), tuple(rows[0])), parameters(rows))


def insert_numbered(session: Session, entity: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Insert rows that have the same columns, and return their new ids in the same order."""
    if not rows:
        return []
    table = table_of(entity)
    # The rows are inserted in order and take the next numbers of a sequence, so their ids grow.
    statement = _insert(table, tuple(rows[0]), returns_ids=True)
    return sorted(session.connection().scalars(statement, parameters(rows)))


def insert_objects(session: Session, objects: Sequence[Any]) -> None:
    """Insert new objects of one table, which have a value for the same columns; then the session has them, with ids.

    It costs a third of a flush of the session.
    """
    if not objects:
        return
    keys = [attribute.key for attribute in inspect(type(objects[0])).column_attrs if attribute.key in vars(objects[0])]
    rows = [{key: getattr(new, key) for key in keys} for new in objects]
    for new, new_id in zip(objects, insert_numbered(session, type(objects[0]), rows), strict=True):
        set_committed_value(new, "id", new_id)
        make_transient_to_detached(new)
    session.add_all(objects)


def update(session: Session, objects: Sequence[DeclarativeBase]) -> None:
    """Write the changed attributes of stored objects of one table, which have the key `id`.

    The caller has locked the rows, or rows that guard them: an attribute that changed in one object is written for all.
    Raises StaleDataError if a row does not exist any more.
    """
    names = changed_names(objects)
    if not names:
        return
    table = table_of(type(objects[0]))
    rows = rows_of(objects, ["id", *names])
    given = given_columns(table, ["id", *names])
    statement = (
        update_of(table).where(table.c.id == given.c.id).values({table.c[name]: given.c[name] for name in names})
    )
    updated = session.connection().execute(statement, parameters(rows)).rowcount
    accept_update(objects, rows, updated)


def changed_names(objects: Sequence[DeclarativeBase]) -> list[str]:
    """Return the names of the attributes that differ from the row in any of the objects, sorted."""
    return sorted({name for stored in objects for name in changed_attributes(stored)})


def rows_of(objects: Sequence[DeclarativeBase], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return these attributes of each object."""
    return [{name: getattr(stored, name) for name in names} for stored in objects]


def accept_update(objects: Sequence[DeclarativeBase], rows: Sequence[Mapping[str, Any]], updated: int) -> None:
    """Mark attributes as stored after an UPDATE of `updated` rows. Raises StaleDataError if a row does not exist."""
    if updated != len(objects):
        raise StaleDataError(f"Not all of {len(objects)} rows of {table_of(type(objects[0])).name} exist.")
    for stored, row in zip(objects, rows, strict=True):
        for name, value in row.items():
            set_committed_value(stored, name, value)


def changed_attributes(stored: DeclarativeBase) -> list[str]:
    """Return the names of an object's attributes that differ from its row, without a query."""
    state = inspect(stored)
    return [
        attribute.key for attribute in state.mapper.column_attrs if state.attrs[attribute.key].history.has_changes()
    ]


@cache
def _insert(table: Table, names: tuple[str, ...], *, returns_ids: bool = False) -> Any:
    """Return the statement; it is built once, because that costs more than to run it."""
    given = given_columns(table, names)
    ordered = select(*[given.c[name] for name in names]).order_by(given.c[POSITION])
    statement = insert_into(table).from_select(names, ordered, include_defaults=False)
    return statement.returning(table.c.id) if returns_ids else statement


def given_rows(types: Mapping[str, Any], prefix: str = "of") -> FromClause:
    """Return rows that a statement gets as arrays, as a table with these columns and POSITION, which counts from 1.

    `types`: the type of each column. `prefix`: of the parameters, which `parameters` makes: another one for each such
    table of a statement.
    """
    values = func.unnest(*[_given_array(f"{prefix}_{name}", kind) for name, kind in types.items()])
    columns = [column(name, kind) for name, kind in types.items()]
    return values.table_valued(*columns, with_ordinality=POSITION, name=f"given_{prefix}").render_derived()


def _given_array(name: str, kind: Any) -> ColumnElement[Any]:
    """Return the array of a column's values, of which the parameter `name` is a list."""
    if not isinstance(kind, JSON):
        return bindparam(name, type_=ARRAY(kind, dimensions=1))
    # As one document, because to quote each value as the element of an array costs more than to write it as JSON.
    element = func.json_array_elements(bindparam(name, type_=JSON())).column_valued("element")
    value = case((func.json_typeof(element) == "null", None), else_=element)
    return func.array(select(value).scalar_subquery(), type_=ARRAY(kind))


def parameters(rows: Sequence[Mapping[str, Any]], prefix: str = "of") -> dict[str, list[Any]]:
    """Return the parameters of a statement with `given_rows`. All rows have the same columns; there is at least one."""
    return {f"{prefix}_{name}": [row[name] for row in rows] for name in rows[0]}


def given_columns(table: Table, names: Sequence[str], prefix: str = "of") -> FromClause:
    """Return given rows of some columns of a table."""
    return given_rows({name: table.c[name].type for name in names}, prefix)


def table_of(entity: type[DeclarativeBase]) -> Table:
    table = entity.__table__
    assert isinstance(table, Table)
    return table

"""Write all changes of one table, and rows of another table that refer to it, in one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    FromClause,
    Integer,
    Select,
    Table,
    any_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.orm.attributes import set_committed_value

from dcmon.db import bulk

NEW = "new"  # the column of a line that has the position of its new object


@dataclass
class TableChanges:
    """Changes of objects of one table, which have the key `id`, and new rows of another table that refer to them.

    `stored`: objects that have a row; their changed attributes are written. `new`: objects without a row: all their
    attributes but `id` are inserted. `deleted`: ids of rows. `lines`: the object that each row of `line_entity` refers
    to by its column `foreign_key`, and the row's other columns.
    """

    entity: type[DeclarativeBase]
    line_entity: type[DeclarativeBase]
    foreign_key: str
    stored: Sequence[Any] = ()
    new: Sequence[Any] = ()
    deleted: Sequence[int] = ()
    lines: Sequence[tuple[Any, Mapping[str, Any]]] = field(default_factory=list)

    def write(self, session: Session) -> None:
        """Write the changes; new objects get their ids, in their order.

        The caller has locked the rows, or rows that guard them. Raises StaleDataError if a stored object has no row.
        """
        shape = self._shape()
        if not (shape.changed or shape.inserted or shape.has_deleted or shape.lines):
            return
        updated_rows = bulk.rows_of(self.stored, ["id", *shape.changed]) if shape.changed else []
        values: dict[str, Any] = {"deleted": list(self.deleted)} if shape.has_deleted else {}
        added, lines = bulk.rows_of(self.new, shape.inserted), self._line_rows()
        for prefix, rows in [("stored", updated_rows), ("added", added), ("line", lines)]:
            values |= bulk.parameters(rows, prefix) if rows else {}
        updated, new_ids = session.connection().execute(_statement(shape), values).one()
        if shape.changed:
            bulk.accept_update(self.stored, updated_rows, updated)
        for new, new_id in zip(self.new, sorted(new_ids), strict=True):
            set_committed_value(new, "id", new_id)

    def _shape(self) -> "_Shape":
        table = bulk.table_of(self.entity)
        inserted = [column.key for column in table.columns if column.key != "id"] if self.new else []
        line_columns: Mapping[str, Any] = self.lines[0][1] if self.lines else {}
        return _Shape(
            table, bulk.table_of(self.line_entity), self.foreign_key, tuple(bulk.changed_names(self.stored)),
            tuple(inserted), tuple(line_columns), bool(self.deleted),
        )  # fmt: skip

    def _line_rows(self) -> list[dict[str, Any]]:
        positions = {id(new): position for position, new in enumerate(self.new, start=1)}
        return [{self.foreign_key: it.id, NEW: positions.get(id(it)), **columns} for it, columns in self.lines]


class _Shape(NamedTuple):
    """What a statement depends on, besides the values: tables and columns. `lines`: without the foreign key."""

    table: Table
    line_table: Table
    foreign_key: str
    changed: tuple[str, ...]
    inserted: tuple[str, ...]
    lines: tuple[str, ...]
    has_deleted: bool


@cache
def _statement(shape: _Shape) -> Select[Any]:
    """Return the statement, which returns how many rows were updated, and the ids of the new rows.

    It is built once, because that costs more than to run it. Its parts see the tables as they were before it, and
    foreign keys are checked at its end: so a line may refer to a row that the same statement inserts.
    """
    updated, inserted = _updated(shape), _inserted(shape)
    count: Any = literal(0) if updated is None else select(func.count()).select_from(updated).scalar_subquery()
    ids: Any = array([], type_=Integer)
    if inserted is not None:
        ids = func.array(select(inserted.c.id).scalar_subquery(), type_=ARRAY(Integer))
    statement = select(count, ids)
    if shape.has_deleted:
        is_deleted = shape.table.c.id == any_(bindparam("deleted", type_=ARRAY(Integer)))
        statement = statement.add_cte(delete(shape.table).where(is_deleted).returning(shape.table.c.id).cte("deleted"))
    return statement if not shape.lines else statement.add_cte(_lines(shape, inserted))


def _updated(shape: _Shape) -> CTE | None:
    if not shape.changed:
        return None
    table, given = shape.table, bulk.given_columns(shape.table, ("id", *shape.changed), "stored")
    statement = update(table).where(table.c.id == given.c.id)
    return (
        statement.values({table.c[name]: given.c[name] for name in shape.changed}).returning(table.c.id).cte("updated")
    )


def _inserted(shape: _Shape) -> CTE | None:
    """Return the insertion of the new rows: in order, so that their ids grow."""
    if not shape.inserted:
        return None
    given = bulk.given_columns(shape.table, shape.inserted, "added")
    ordered = select(*[given.c[name] for name in shape.inserted]).order_by(given.c[bulk.POSITION])
    statement = insert(shape.table).from_select(list(shape.inserted), ordered, include_defaults=False)
    return statement.returning(shape.table.c.id).cte("inserted")


def _lines(shape: _Shape, inserted: CTE | None) -> CTE:
    """Return the insertion of the rows that refer to stored or new objects."""
    types = {name: shape.line_table.c[name].type for name in shape.lines}
    given = bulk.given_rows({shape.foreign_key: Integer(), NEW: Integer(), **types}, "line")
    object_id: Any = given.c[shape.foreign_key]
    source: FromClause = given
    if inserted is not None:
        position = func.row_number().over(order_by=inserted.c.id).label("position")
        numbered = select(inserted.c.id, position).subquery("numbered")
        object_id = func.coalesce(object_id, numbered.c.id)
        source = given.outerjoin(numbered, numbered.c.position == given.c[NEW])
    columns = [given.c[name] for name in shape.lines]
    rows = select(object_id, *columns).select_from(source).order_by(given.c[bulk.POSITION])
    statement = insert(shape.line_table).from_select([shape.foreign_key, *shape.lines], rows, include_defaults=False)
    return statement.returning(shape.line_table.c.id).cte("lines")

"""Hold a transaction to the models that a user is a member of: rows of other models are not found by any statement.

Every table of the lineage "org" that leads to a model, by its column model_id or by foreign keys, is filtered: by a
common table expression with the name of the table, which hides it, or, in changes, locking reads and grouped queries of
the ORM, by a filter for each of its classes: a common table expression has no rows to lock or change, and no key. Only
the target of an INSERT, UPDATE or DELETE that is written as text is not filtered.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache, partial
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, event, select
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, with_loader_criteria

from dcmon.db.cursors import FILTER
from dcmon.db.tables.org import Model

FILTERED, USER = "is_filtered", "user_of_visible_models"
TABLES = Model.metadata.tables
MODELS, MEMBERS = TABLES["models"], TABLES["model_members"]
WITH = re.compile(r"\s*with\s+(recursive\s+)?", re.IGNORECASE)
TARGET = re.compile(r"\b(?:insert\s+into|update|delete\s+from|merge\s+into)\s+(?:only\s+)?\"?(\w+)", re.IGNORECASE)
LOCK = re.compile(r"\bfor\s+(?:(?:no\s+key\s+)?update|(?:key\s+)?share)\b", re.IGNORECASE)


def restrict(session: Session, schema: str, user_id: int) -> None:
    """Hide the rows of all models that a user is no member of, until the session's transaction ends."""
    connection = session.connection()
    session.info[USER] = user_id
    session.info[FILTER] = partial(filtered_text, schema=schema, user_id=user_id)
    event.listen(session, "do_orm_execute", _filter_orm_statement)
    event.listen(connection, "before_cursor_execute", _filterer(schema, user_id), retval=True)


@lru_cache(1000)
def filtered_text(statement: str, schema: str, user_id: int) -> str:
    """Put common table expressions before a statement that hide the tables of other models.

    Raises RuntimeError for a statement that locks rows: PostgreSQL would lock none of a common table expression.
    """
    words, targets = set(re.findall(r"\w+", statement)), set(TARGET.findall(statement))
    hidden = [name for name in _links() if name in words and name not in targets]
    if not hidden:
        return statement
    if LOCK.search(statement):
        raise RuntimeError(
            f"This statement of a member would lock no rows of {hidden}: write it as a query of the ORM."
        )
    expressions = ", ".join(
        f'{name} as not materialized (select * from "{schema}".{name} where {_condition(name, schema, user_id)})'
        for name in hidden
    )
    started = WITH.match(statement)
    if started is None:
        return f"with {expressions} {statement}"
    return f"with {started[1] or ''}{expressions}, {statement[started.end() :]}"


def _filterer(schema: str, user_id: int) -> Any:
    def before_cursor_execute(
        connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        is_filtered = context is not None and context.execution_options.get(FILTERED)
        return statement if is_filtered else filtered_text(statement, schema, user_id), parameters

    return before_cursor_execute


def _filter_orm_statement(state: ORMExecuteState) -> None:
    if not state.is_orm_statement or state.is_insert:
        return
    if isinstance(state.statement, Select) and not _needs_tables(state.statement):
        return  # as text: the filter of a class is not applied rightly to an alias of a lateral subquery
    state.statement = state.statement.options(*_filters(state.session.info[USER]))  # type: ignore[attr-defined]
    state.update_execution_options(**{FILTERED: True})


def _needs_tables(statement: Select[Any]) -> bool:
    """True for a query that locks rows, or that may group by a primary key and select other columns of the table."""
    return statement._for_update_arg is not None or bool(statement._group_by_clauses)


@lru_cache(1000)
def _filters(user_id: int) -> Sequence[Any]:
    """Return the filters of all classes of the ORM whose tables lead to a model."""
    return [
        with_loader_criteria(mapper.class_, _clause(_attribute(mapper, link), name, user_id), include_aliases=True)
        for name, link in _links().items()
        for mapper in Model.registry.mappers
        if mapper.local_table is TABLES[name]
    ]


def _attribute(mapper: Mapper[Any], column: Column[Any]) -> Any:
    return getattr(mapper.class_, mapper.get_property_by_column(column).key)


def _clause(column: Any, table_name: str, user_id: int) -> ColumnElement[bool]:
    parent = _parent(table_name)
    if parent is None:
        own = select(MEMBERS.c.model_id).where(MEMBERS.c.user_id == user_id)
        return column.in_(own)  # type: ignore[no-any-return]
    visible = select(parent.c.id).where(_clause(parent.c[_links()[parent.name].name], parent.name, user_id))
    return column.in_(visible)  # type: ignore[no-any-return]


def _condition(table_name: str, schema: str, user_id: int) -> str:
    """Return the filter of a table as SQL. Its tables are named with their schema, so that nothing hides them."""
    column, parent = _links()[table_name].name, _parent(table_name)
    if parent is None:
        return f'{column} in (select model_id from "{schema}".{MEMBERS.name} where user_id = {int(user_id)})'
    return f'{column} in (select id from "{schema}".{parent.name} where {_condition(parent.name, schema, user_id)})'


def _parent(table_name: str) -> Table | None:
    """Return the table that the link of a table refers to; None: the link is the id of a model."""
    link = _links()[table_name]
    if table_name == MODELS.name or link.name == "model_id":
        return None
    (key,) = link.foreign_keys
    return key.column.table


@cache
def _links() -> Mapping[str, Column[Any]]:
    """Return the column of each table by which its rows lead to a model."""
    links: dict[str, Column[Any]] = {MODELS.name: MODELS.c.id}
    tables = list(TABLES.values())
    links |= {table.name: table.c.model_id for table in tables if "model_id" in table.c}
    while more := {
        table.name: link for table in tables if table.name not in links and (link := _link(table, links)) is not None
    }:
        links |= more
    return links


def _link(table: Table, links: Mapping[str, Column[Any]]) -> "Column[Any] | None":
    """Return the column of a table that refers to a table with a link, else None. It can't be null if possible."""
    candidates = [column for column in table.c for key in column.foreign_keys if key.column.table.name in links]
    return min(candidates, key=lambda column: bool(column.nullable), default=None)

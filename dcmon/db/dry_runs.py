"""Dry runs: connections on which each transaction runs to its end and is rolled back, and counts of what it changed."""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakSet

from sqlalchemy import Connection, Engine, event

from dcmon.db import connections

# How often rows were inserted, updated and deleted by the transactions of this connection since the server last
# published its statistics: it counts them one by one, also those that a foreign key deletes.
_COUNTS = """
select oid, oid::regclass::text, relname, pg_stat_get_xact_tuples_inserted(oid), pg_stat_get_xact_tuples_updated(oid),
  pg_stat_get_xact_tuples_deleted(oid)
from pg_class where relkind = 'r' and relnamespace <> 'pg_catalog'::regnamespace and (
  pg_stat_get_xact_tuples_inserted(oid) > 0 or pg_stat_get_xact_tuples_updated(oid) > 0
  or pg_stat_get_xact_tuples_deleted(oid) > 0)
"""
# Rows that this transaction has written: a row that it updated twice is one. Savepoints have higher numbers.
_WRITTEN = "select count(*) from {table} where xmin::text::bigint >= pg_current_xact_id()::text::bigint % 4294967296"
_ALERT_CHANGES = "select kind, count(*) from alert_changes where at = now() group by kind"
_BEFORE = "dcmon.counts_before"
_ENGINES = WeakSet[Engine]()  # of dry runs

ADDED, CHANGED, REMOVED = "added", "changed", "removed"
Change = tuple[str, str]


class Effects:
    """How many rows the transactions of a dry run would have changed, by table and kind of change.

    The kinds are ADDED, CHANGED and REMOVED; the changes of alerts have those of states.AlertChangeKind.
    """

    def __init__(self) -> None:
        self.counts = Counter[Change]()

    def count(self, table: str, kind: str) -> int:
        """Return how many rows of a table would have been changed in this way."""
        return self.counts[table, kind]


def engine(url: str, effects: Effects) -> Engine:
    """Return an engine that rolls back each transaction in place of its commit, and adds its changes to `effects`.

    Deferred constraints are checked first, so that a dry run fails where the change itself would fail. A transaction
    does not see what an earlier one of the same dry run would have changed.
    """
    result = connections.engine(url)

    def begin(connection: Connection) -> None:
        driver_connection: Any = connection.connection
        with driver_connection.cursor() as cursor:
            connection.info[_BEFORE] = _operations(cursor)

    def roll_back(connection: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("set constraints all immediate")
            effects.counts.update(_changes(cursor, connection.info.get(_BEFORE, {})))
        connection.rollback()

    event.listen(result, "begin", begin)
    result.dialect.do_commit = roll_back  # type: ignore[method-assign, assignment]  # all commits of SQLAlchemy pass here
    _ENGINES.add(result)
    return result


def is_dry(engine: Engine) -> bool:
    """Return True if transactions of an engine are rolled back. A statement in AUTOCOMMIT would not be."""
    return engine in _ENGINES


class _Operations(NamedTuple):
    """How often rows of a table were inserted, updated and deleted. `name`: with its schema, if it needs one."""

    name: str
    table: str
    added: int
    changed: int
    removed: int


def _operations(cursor: Any) -> dict[int, _Operations]:
    """Return the operations by the oid of the table."""
    return {oid: _Operations(*counts) for oid, *counts in cursor.execute(_COUNTS).fetchall()}


def _changes(cursor: Any, before: Mapping[int, _Operations]) -> Counter[Change]:
    """Return how many rows of each table this transaction has changed."""
    counts = Counter[Change]()
    for oid, (name, table, *numbers) in _operations(cursor).items():
        earlier = before.get(oid, _Operations(name, table, 0, 0, 0))
        added, changed, removed = (now - then for now, then in zip(numbers, earlier[2:], strict=True))
        if changed and table in _tables():
            written = cursor.execute(_WRITTEN.format(table=name)).fetchone()[0]
            changed = max(0, min(changed, written - added))
        counts.update({(table, ADDED): added, (table, CHANGED): changed, (table, REMOVED): removed})
    if counts["alert_changes", ADDED]:
        counts.update({("alert_changes", kind): number for kind, number in _alert_changes(cursor)})
    return +counts


@cache
def _tables() -> frozenset[str]:
    """Return the tables of both lineages; others hold rows, and may be too large to look at each."""
    from dcmon.db.tables import Org, Public

    return frozenset((*Org.metadata.tables, *Public.metadata.tables))


def _alert_changes(cursor: Any) -> list[tuple[str, int]]:
    """Return the changes of alerts in this transaction; none where the schema of no organization is entered."""
    if cursor.execute("select to_regclass('alert_changes')").fetchone()[0] is None:
        return []
    rows: list[tuple[str, int]] = cursor.execute(_ALERT_CHANGES).fetchall()
    return rows

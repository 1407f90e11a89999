"""The log of changes: triggers that write an entry for each changed row of the tables with a `Logged`.

The triggers are not in revisions, because each of them names all columns of its table: they are detached before a
schema is migrated and attached after it, from the tables in the code. So no route, command, job or new column can be
forgotten. The log is the table audit_log of each organization; that of "public" has an entry's organization in org_id.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.orm import DeclarativeBase

from dcmon.db import sql
from dcmon.db.tables import Logged, Public

SQL = sql.read(__name__)
YOUNGEST_PRUNED = 30  # days: younger entries can't be deleted
FUNCTIONS = ("mask_logged", "record_change", "refuse_change_of_log", "record_pruned_log", "prune_audit_log")
# In "public", an entry has an organization: that of its row, or the row itself. A member's name is an e-mail.
OF_PUBLIC = {
    "org_column": "org_id,",
    "org_value": "coalesce(whole ->> 'org_id', whole ->> 'id')::int,",
    "naming": "if tg_table_name = 'members' then select email into object_name from users"
    " where id = (whole ->> 'user_id')::int; end if;",
    "pruned_org": "org_id,",
    "pruned_group": "group by org_id",
}
OF_ORGANIZATION = dict.fromkeys(OF_PUBLIC, "")


def attach(connection: Connection, base: type[DeclarativeBase], schema: str) -> None:
    """Create the functions of the log and the triggers of all tables of a lineage, in the schema that is entered."""
    quote = connection.dialect.identifier_preparer.quote
    fragments = OF_PUBLIC if base is Public else OF_ORGANIZATION
    statements = list[str]()
    for name in FUNCTIONS:
        statements.append(SQL.statement(name, schema=quote(schema), youngest=YOUNGEST_PRUNED, **fragments))
        # PostgreSQL lets every role call a new function. Roles of organizations would prune the log of all others, or
        # write into it with a trigger of their own; triggers that exist need no right.
        statements.append(f"revoke execute on function {name} from public")
    statements.append(SQL.statement("protect"))
    statements += [_trigger(table, logged, quote) for table, logged in logged_tables(base).items()]
    _run(connection, statements)


def detach(connection: Connection) -> None:
    """Drop the triggers of the schema that is entered: they would stop a revision that drops a column."""
    attached = connection.exec_driver_sql(SQL.statement("attached")).all()
    _run(connection, [f"drop trigger {row.name} on {row.table_name}" for row in attached])


def logged_tables(base: type[DeclarativeBase]) -> dict[Table, Logged]:
    """Return the tables of a lineage whose changes are recorded."""
    classes = [mapper.class_ for mapper in base.registry.mappers]
    return {table.__table__: table.__logged__ for table in classes if table.__logged__ is not None}


def _trigger(table: Table, logged: Logged, quote: Any) -> str:
    """Return the trigger of a table. It does not fire when only columns of state are updated, so these cost nothing."""
    columns = ", ".join(quote(column.name) for column in table.columns if column.name not in logged.state)
    events = f"insert or delete or update of {columns}" if logged.action is None else "insert"
    condition = f"when ({logged.condition})" if logged.condition else ""
    how = json.dumps({name: value for name, value in asdict(logged).items() if name != "condition"})
    literal = "'" + how.replace("'", "''") + "'"
    return SQL.statement("attach", events=events, table=quote(table.name), condition=condition, how=literal)


def _run(connection: Connection, statements: Sequence[str]) -> None:
    """Run statements in one round trip: writers of the organization wait for all of them."""
    if statements:
        # the driver reads % as the begin of a parameter
        connection.exec_driver_sql(";\n".join(statements).replace("%", "%%"))

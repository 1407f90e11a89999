"""What a debug bundle has of PostgreSQL: server, settings, locks, sizes, revisions, problems and receivers.

Each part has a connection of its own with short limits, so that a locked table or a hung server costs one part.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from dcmon.db import CONNECT_SECONDS

if TYPE_CHECKING:
    from dcmon.app import App

STATEMENT_SECONDS = 8
SERVER = """
select version() as version, current_database() as database, current_user as "user",
       pg_postmaster_start_time() as started_at, pg_is_in_recovery() as is_standby,
       pg_database_size(current_database()) as bytes, now() as now,
       (select age(datfrozenxid) from pg_database where datname = current_database()) as transactions_since_freeze
"""
DATABASE = """
select numbackends, xact_commit, xact_rollback, blks_read, blks_hit, tup_returned, tup_inserted, tup_updated,
       tup_deleted, conflicts, temp_files, temp_bytes, deadlocks, stats_reset
  from pg_stat_database where datname = current_database()
"""
SETTINGS = """
select name, setting, unit, source, pending_restart from pg_settings
 where source not in ('default', 'override') or name in ('server_version', 'max_connections', 'shared_buffers',
       'work_mem', 'max_locks_per_transaction', 'max_wal_size', 'TimeZone', 'autovacuum')
 order by name
"""
SESSIONS = """
select pid, usename as "user", application_name, client_addr::text, state, wait_event_type, wait_event,
       backend_start, xact_start, query_start, state_change, pg_blocking_pids(pid) as blocked_by, query
  from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
 order by xact_start nulls last limit 500
"""
LOCKS = """
select l.pid, l.locktype, l.mode, l.granted, l.waitstart, n.nspname as schema, c.relname as relation
  from pg_locks l left join pg_class c on c.oid = l.relation and l.database = (
       select oid from pg_database where datname = current_database())
  left join pg_namespace n on n.oid = c.relnamespace
 where l.pid <> pg_backend_pid()
 order by l.granted, l.pid limit 500
"""
SCHEMAS = """
select n.nspname as schema, count(*) as tables, sum(pg_total_relation_size(c.oid)) as bytes,
       sum(greatest(c.reltuples, 0))::bigint as estimated_rows
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'm') and (n.nspname = 'public' or n.nspname like 'org\\_%')
 group by 1 order by bytes desc limit 2000
"""
TABLES = """
select n.nspname as schema, c.relname as name, pg_total_relation_size(c.oid) as bytes,
       pg_indexes_size(c.oid) as index_bytes, greatest(c.reltuples, 0)::bigint as estimated_rows,
       s.n_dead_tup as dead_rows, s.last_autovacuum, s.last_autoanalyze,
       age(c.relfrozenxid) as transactions_since_freeze
  from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_stat_user_tables s on s.relid = c.oid
 where c.relkind in ('r', 'm') and (n.nspname = 'public' or n.nspname like 'org\\_%')
 order by bytes desc limit 500
"""
ORGANIZATIONS = "select id, name, schema_name, created_at, deleted_at from organizations order by id limit 2000"
WITH_REVISIONS = """
select n.nspname as schema from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relname = 'alembic_version' and c.relkind = 'r' order by 1 limit 2000
"""
RECEIVERS = """
select w.name, w.kind, w.severities, w.is_active, w.paused_at, w.paused_until, w.paused_because, w.not_before,
       w.created_at, n.waiting, n.dead, n.last_delivery,
       (select last_error from notifications o where o.webhook_id = w.id and o.tried_at is not null
         order by o.tried_at desc limit 1) as last_error
  from webhooks w left join lateral (
       select count(*) filter (where delivered_at is null and dead_at is null) as waiting,
              count(*) filter (where dead_at is not null and not is_superseded) as dead,
              max(delivered_at) as last_delivery
         from notifications where webhook_id = w.id) n on true
 order by w.id limit 200
"""
COUNTS = (
    "work_queue", "workers", "dead_letters", "parked_messages", "problems", "scheduler_runs", "members",
    "organizations",
)  # fmt: skip
MOST_ORGS_WITH_RECEIVERS = 200
# A constant in a statement may be a value of a row, or a password.
CONSTANT = re.compile(r"\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'", re.DOTALL)


class Connection:
    """A read-only connection with limits."""

    def __init__(self, connection: "psycopg.Connection[DictRow]") -> None:
        self._connection = connection

    def rows(self, statement: str | sql.Composed, **values: object) -> list[dict[str, Any]]:
        """Return the rows of a statement. Raises psycopg.Error."""
        query = statement.encode() if isinstance(statement, str) else statement
        return self._connection.execute(query, values or None).fetchall()

    def enter(self, schema: str) -> None:
        """Let names of tables mean those of an organization's schema."""
        self._connection.execute(sql.SQL("set search_path to {}, public").format(sql.Identifier(schema)))


@contextmanager
def connect(app: "App") -> Iterator[Connection]:
    """Connect to the database of the settings. Raises DcmonError or psycopg.Error."""
    url = app.database_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(
        url, connect_timeout=CONNECT_SECONDS, autocommit=True, row_factory=dict_row, prepare_threshold=None
    ) as connection:
        for name, value in (("statement_timeout", STATEMENT_SECONDS), ("lock_timeout", STATEMENT_SECONDS / 2)):
            connection.execute(f"set {name} = {int(value * 1000)}".encode())
        connection.execute(b"set default_transaction_read_only = on")
        yield Connection(connection)


def server(app: "App") -> dict[str, Any]:
    """Return what the server is and does: version, size, settings that were set, statistics."""
    with connect(app) as connection:
        return {
            "server": connection.rows(SERVER)[0],
            "statistics": connection.rows(DATABASE),
            "settings": connection.rows(SETTINGS),
        }


def sessions_and_locks(app: "App") -> dict[str, Any]:
    """Return the sessions with their statements, without constants, and the locks."""
    with connect(app) as connection:
        sessions, locks = connection.rows(SESSIONS), connection.rows(LOCKS)
    for session in sessions:
        session["query"] = CONSTANT.sub("'…'", session["query"] or "")[:2000]
    return {"sessions": sessions, "locks": locks}


def tables(app: "App") -> dict[str, Any]:
    """Return the sizes of schemas and of the largest tables, and the counts of the shared tables."""
    with connect(app) as connection:
        counts = {name: connection.rows(f"select count(*) as n from public.{name}")[0]["n"] for name in COUNTS}
        return {"counts": counts, "schemas": connection.rows(SCHEMAS), "largest_tables": connection.rows(TABLES)}


def revisions(app: "App") -> dict[str, Any]:
    """Return the organizations and the revision of each schema."""
    from dcmon import db

    with connect(app) as connection:
        schemas = [row["schema"] for row in connection.rows(WITH_REVISIONS)]
        stored = [_revision(connection, schema) for schema in schemas]
        orgs = connection.rows(ORGANIZATIONS)
    return {"newest": {lineage: db.head(lineage) for lineage in ("public", "org")}, "schemas": stored, "orgs": orgs}


def _revision(connection: Connection, schema: str) -> dict[str, Any]:
    statement = sql.SQL("select version_num from {}.alembic_version").format(sql.Identifier(schema))
    return {"schema": schema, "revision": [row["version_num"] for row in connection.rows(statement)]}


def problems(app: "App") -> dict[str, Any]:
    """Return the stored problems of dcmon itself, the processes with their heartbeats, and the scheduler's jobs."""
    with connect(app) as connection:
        return {
            "problems": connection.rows("select * from problems order by since"),
            "processes": connection.rows("select * from workers order by seen_at desc limit 500"),
            "scheduler_runs": connection.rows("select * from scheduler_runs order by name"),
            "work_queue": connection.rows("select * from work_queue where due_at < now() order by due_at limit 500"),
        }


def receivers(app: "App") -> dict[str, Any]:
    """Return the receivers of organizations, without their addresses, and how their deliveries go."""
    listed: dict[str, Any] = {}
    with connect(app) as connection:
        for org in connection.rows(ORGANIZATIONS)[:MOST_ORGS_WITH_RECEIVERS]:
            if org["deleted_at"] is None:
                connection.enter(org["schema_name"])
                listed[org["name"]] = connection.rows(RECEIVERS)
    return listed

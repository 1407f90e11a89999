"""Tables that a session of PostgreSQL has locked, so that no other session can read them."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Engine, text

from dcmon.health.snapshot import TableLock

SECONDS = 3.0  # a migration holds such a lock for less

# Who reads a table also waits behind a session that only waits to have it alone: what that one waits for is named.
# A prepared transaction has no session. Of sessions of other users, PostgreSQL may not show since when they are open.
LOCKS = text("""
    select distinct on (n.nspname, c.relname)
           n.nspname as schema, c.relname as table, holder.pid, a.application_name as application, a.state,
           a.xact_start as since, l.granted as is_granted
      from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
     cross join lateral (select case when l.granted then l.pid else (pg_blocking_pids(l.pid))[1] end as pid) holder
      left join pg_stat_activity a on a.pid = holder.pid
     where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock' and c.relkind in ('r', 'p')
       and l.database = (select oid from pg_database where datname = current_database())
       and l.pid is distinct from pg_backend_pid()
       and (n.nspname = 'public' or c.relname = any(cast(:tables as name[])))
       and coalesce(a.xact_start < clock_timestamp() - make_interval(secs => :seconds), true)
     order by n.nspname, c.relname, l.granted desc, a.xact_start
""")


def find(engine: Engine, tables: Iterable[str] = (), seconds: float | None = None) -> Sequence[TableLock]:
    """Return the locked tables of "public", and those of `tables` in any schema, the one locked longest first.

    `seconds`: how long they are locked at least, SECONDS by default. It reads none of dcmon's tables.
    """
    with engine.connect() as connection:
        rows = connection.execute(LOCKS, {"tables": list(tables), "seconds": SECONDS if seconds is None else seconds})
        locks = [TableLock(**row._mapping) for row in rows]
    return sorted(locks, key=lambda lock: (lock.since is None, lock.since, lock.table))

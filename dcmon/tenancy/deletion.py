"""Delete organizations: completely, also when a deletion was interrupted.

The first transaction of a deletion ends all access and marks the organization's row as being deleted. The next ones
drop the tables, some at once, because PostgreSQL's memory for locks may not suffice for all of them. The last one drops
the schema and deletes the row. After an interruption, the row says what is left to do.
"""

import logging
from datetime import UTC, datetime

from sqlalchemy import Engine, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, locks, roles
from dcmon.db.locks import LockSpace
from dcmon.db.tables.public import Organization as OrganizationRow
from dcmon.tenancy import organizations

log = logging.getLogger(__name__)

# What refers to an organization. Its row goes last, and with it all that is left.
OWNED = ("tokens", "invitations", "members", "work_queue", "parked_messages")
TABLES_IN_USE = "A backup, an export or a prune uses its tables: the scheduler drops them later."
TABLES_AT_ONCE = 20  # each takes 12 to 40 locks; by default, all transactions of a server share 6,400
# Without its revision, no transaction enters the schema any more. Partitions go first: to drop their table, or
# one that they refer to, takes the locks of all of them.
TABLES = text("""
    select quote_ident(nspname) || '.' || quote_ident(relname)
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where nspname = :schema and relkind in ('r', 'p')
     order by relname <> 'alembic_version', not relispartition, relkind = 'p', c.oid
     limit :limit
""")


def delete(engine: Engine, org: Organization) -> None:
    """Delete an organization, or finish its deletion.

    Its tables stay while a backup or an export reads them, which would lose them in the middle: `finish_all`, which the
    scheduler calls, drops them later.
    """
    with db.public_session(engine) as session:
        mark(session, org)
    try:
        _finish(engine, org)
    except errors.Locked:
        log.warning("Organization %s is deleted. %s", org.name, TABLES_IN_USE)


def mark(session: Session, org: Organization) -> None:
    """Mark an organization as being deleted: no token works any more, and no command, request or job finds it."""
    session.execute(
        update(OrganizationRow)
        .where(OrganizationRow.id == org.id, OrganizationRow.deleted_at.is_(None))
        .values(deleted_at=datetime.now(UTC))
    )
    for table in OWNED:
        session.execute(text(f"delete from {table} where org_id = :id"), {"id": org.id})


def unfinished(session: Session) -> list[Organization]:
    """Return the organizations whose deletion is not finished, by id."""
    marked = select(OrganizationRow).where(OrganizationRow.deleted_at.is_not(None)).order_by(OrganizationRow.id)
    return [organizations.entry(row) for row in session.scalars(marked)]


def find(session: Session, name: str) -> Organization | None:
    """Return the organization of that name if its deletion is not finished."""
    return next((org for org in unfinished(session) if org.name == name), None)


def finish_all(engine: Engine) -> list[str]:
    """Finish interrupted deletions; return the names. One that can't be finished now is left for the next call."""
    with db.public_session(engine) as session:
        waiting = unfinished(session)
    finished = []
    for org in waiting:
        try:
            _finish(engine, org)
        except (errors.DcmonError, SQLAlchemyError) as error:
            reason = str(error).splitlines()[0]
            log.warning("the deletion of organization %s is not finished: %s", org.name, reason)
        else:
            log.info("the deletion of organization %s is finished", org.name)
            finished.append(org.name)
    return finished


def _finish(engine: Engine, org: Organization) -> None:
    with locks.exclusive(engine, LockSpace.PRUNE, org.id, refusal=TABLES_IN_USE):
        drop_tables(engine, org)
        with db.public_session(engine) as session:
            drop(session, org)


def drop_tables(engine: Engine, org: Organization) -> None:
    """Drop the tables of the schema, some in each transaction, which waits until no other one works in the schema."""
    while _drop_some(engine, org):
        pass


def _drop_some(engine: Engine, org: Organization) -> bool:
    with db.public_session(engine) as session:
        locks.acquire(session, LockSpace.ORGANIZATION, org.id)
        names = session.scalars(TABLES, {"schema": org.schema, "limit": TABLES_AT_ONCE}).all()
        for name in names:
            session.connection().exec_driver_sql(f"drop table {name} cascade".replace("%", "%%"))
    return bool(names)


def drop(session: Session, org: Organization) -> None:
    """Drop what is left of the schema, and the role, and delete the row. It waits until no transaction works there."""
    locks.acquire(session, LockSpace.ORGANIZATION, org.id)
    connection = session.connection()
    role = roles.owner(connection, org.schema)
    quoted = connection.dialect.identifier_preparer.quote(org.schema)
    session.execute(text(f"drop schema if exists {quoted} cascade"))
    roles.drop(connection, org, role)
    session.execute(text("delete from organizations where id = :id"), {"id": org.id})

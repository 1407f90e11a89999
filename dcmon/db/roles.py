"""A role of PostgreSQL for each organization: the second wall between organizations.

The role owns the organization's schema with all that is in it, and may read nothing of another organization. A
transaction in an organization runs as the owner of the schema (`dcmon.db.session.enter`), so a statement that names
another schema fails. dcmon's own role, which connects, is a member of all these roles. All databases of a server share
the names of roles, so a name has the oid of its database. docs/security.md describes the walls.
"""

from collections.abc import Sequence
from typing import Any

from psycopg.sql import Literal
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from dcmon.db import locks, sql
from dcmon.db.connections import sqlstate
from dcmon.db.locks import LockSpace
from dcmon.db.session import Organization, is_role_of

SQL = sql.read(__name__)
SERVER = text(SQL.statement("server"))
MAY_SET = text(SQL.statement("may_set_role", owner="cast(:role as name)"))
WITHOUT = text(SQL.statement("without", owner="n.nspowner"))
PUBLIC_LOCK = 0  # the number of the lock of schema "public" in the space of migrations
NOT_ALLOWED = "42501"
DEPENDENT_OBJECTS = "2BP01"
# What transactions in an organization read and use in "public": ingestion.offsets and storage.sample_tables.
GRANTS = (
    "grant usage on schema public to {group}",
    "grant select on public.committed_offsets to {group}",
    "grant usage on sequence public.relation_numbers to {group}",
)


def create_group(connection: Connection) -> bool:
    """Create the group of all organizations' roles, which may read the few things in "public" that they need.

    Returns False if the connection's role may not do that. The lock of migrations of "public" is held until the
    transaction ends.
    """
    locks.acquire(connection, LockSpace.MIGRATION, PUBLIC_LOCK)
    server = _server(connection)
    create = [] if server.has_group else [f"create role {_group(server)} nologin"]
    return _is_allowed(connection, *create, *[grant.format(group=_group(server)) for grant in GRANTS])


def create(connection: Connection, org: Organization) -> bool:
    """Give the organization's schema, with all that is in it, to a role of its own; it can be repeated.

    Returns False, and changes nothing, if the role does not exist and the connection's role may not create roles. The
    transaction holds the organization's lock exclusively.
    """
    server = _server(connection, org.id)
    if not server.has_group and not create_group(connection):
        return False
    role = _own_role(connection, org) or f"dcmon_{server.database}_org_{org.id}"
    exists = connection.scalar(text("select exists (select from pg_roles where rolname = :role)"), {"role": role})
    statements = [] if exists else [f"create role {role} nologin in role {_group(server)}"]
    if not exists or not connection.scalar(MAY_SET, {"role": role}):
        statements.append(_membership(connection, role, server))
    quote = connection.dialect.identifier_preparer.quote
    statements += [
        f"alter schema {quote(org.schema)} owner to {role}",
        SQL.statement("give_objects", schema=Literal(org.schema).as_string(), role=Literal(role).as_string()),
        # What a process of an older release creates now, which does not enter the role, can at least be used.
        f"alter default privileges in schema {quote(org.schema)} grant all on tables to {role}",
        f"alter default privileges in schema {quote(org.schema)} grant all on sequences to {role}",
    ]
    return _is_allowed(connection, *statements)


def without(connection: Connection) -> list[Organization]:
    """Return the organizations whose schema, or something in it, does not belong to a role of their own."""
    return [Organization(*row) for row in connection.execute(WITHOUT)]


def statements(connection: Connection, organizations: Sequence[Organization]) -> list[str]:
    """Return the SQL with which an administrator of PostgreSQL creates the missing roles of organizations."""
    if not organizations:
        return []
    server = _server(connection)
    lines = [] if server.has_group else [f"create role {_group(server)} nologin;"]
    for org in organizations:
        role, has_role = f"dcmon_{server.database}_org_{org.id}", _server(connection, org.id).has_role
        lines += [] if has_role else [f"create role {role} nologin in role {_group(server)};"]
        lines.append(f"{_membership(connection, role, server)};")
    return lines


def owner(connection: Connection, schema: str) -> str | None:
    """Return the role that owns a schema; None if the schema does not exist."""
    statement = text("select pg_get_userbyid(nspowner) from pg_namespace where nspname = :schema")
    name: str | None = connection.scalar(statement, {"schema": schema})
    return name


def drop(connection: Connection, org: Organization, role: str | None) -> None:
    """Drop the role of a deleted organization; `role` owned its schema.

    The role stays if it may not be dropped, or if it owns a schema in another database: a copy of a database shares its
    roles.
    """
    if role is not None and is_role_of(role, org):
        _is_allowed(connection, f"drop role if exists {role}")


def _own_role(connection: Connection, org: Organization) -> str | None:
    """Return the role that owns the schema already, if it is one of this organization."""
    role = owner(connection, org.schema)
    return role if role is not None and is_role_of(role, org) else None


def _server(connection: Connection, org_id: int = 0) -> Any:
    return connection.execute(SERVER, {"id": str(org_id)}).one()


def _group(server: Any) -> str:
    return f"dcmon_{server.database}_orgs"


def _membership(connection: Connection, role: str, server: Any) -> str:
    """Return the statement with which the connection's role gets all rights of the role and may set it."""
    options = " with inherit true, set true" if server.has_options else ""
    return f"grant {role} to {connection.dialect.identifier_preparer.quote(server.name)}{options}"


def _is_allowed(connection: Connection, *statements: str) -> bool:
    """Run statements; return False, with their changes undone, if one is not allowed."""
    try:
        with connection.begin_nested():
            for statement in statements:
                connection.exec_driver_sql(statement)
    except DBAPIError as error:
        if sqlstate(error) not in (NOT_ALLOWED, DEPENDENT_OBJECTS):
            raise
        return False
    return True

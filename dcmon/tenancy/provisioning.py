"""Create and delete organizations with their schemas, and migrate all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.db import Organization, migrations, roles
from dcmon.db.migrations import MigrationState
from dcmon.tenancy import organizations, tokens


@dataclass(frozen=True)
class Provisioned:
    """A new organization and its first token."""

    organization: Organization
    token: str


def create_organization(engine: Engine, name: str, owner: str) -> Provisioned:
    """Create an organization with its owner, first token and schema.

    After an error, nothing of the organization remains. If a crash leaves it without a schema, migrate_all creates the
    schema. Raises Conflict when the name is taken.
    """
    with db.public_session(engine) as session:
        org, user = organizations.create(session, name, owner)
    try:
        migrations.upgrade_org(engine, org)
    except BaseException:
        delete_organization(engine, org)
        raise
    with db.public_session(engine) as session:
        return Provisioned(org, tokens.create(session, org.id, user.id, "first"))


def delete_organization(engine: Engine, org: Organization) -> None:
    """Delete an organization in "public", then its schema.

    These are two transactions, because a transaction never writes two lineages.
    """
    with db.public_session(engine) as session:
        organizations.delete(session, org)
    with db.public_session(engine) as session:
        organizations.drop_schema(session, org)


def contents(engine: Engine, org: Organization) -> dict[str, Any]:
    """Count an organization's models, versions, samples and alerts."""
    with db.org_session(engine, org) as session:
        counts = session.execute(
            text(
                "select (select count(*) from models) as models, (select count(*) from versions) as versions,"
                " (select coalesce(sum(n), 0) from quarter_hours) as samples, (select count(*) from alerts) as alerts"
            )
        ).one()
        return {key: int(value) for key, value in counts._mapping.items()}


def migration_states(engine: Engine) -> list[migrations.SchemaState]:
    """Return the state of "public" and of every organization's schema."""
    return migrations.states(engine, _organizations(engine))


def migrate_all(engine: Engine, *, dry_run: bool = False) -> list[dict[str, Any]]:
    """Upgrade "public", then every organization.

    After an interruption, run it again to continue. Raises SchemaTooNew, before any change, when a schema is ahead of
    this code.
    """
    ahead = [state for state in migration_states(engine) if state.state == MigrationState.AHEAD]
    if ahead:
        raise errors.SchemaTooNew(schema=ahead[0].schema, found=ahead[0].current)
    before = migration_states(engine)
    if not dry_run:
        migrations.upgrade_public(engine)
        before += migrations.states(engine, _organizations(engine))[len(before) :]
        for org in _organizations(engine):
            if any(state.schema == org.schema and state.state != MigrationState.CURRENT for state in before):
                migrations.upgrade_org(engine, org)
        _create_roles(engine)
    return [_step(state, dry_run) for state in before]


def _create_roles(engine: Engine) -> None:
    """Give each organization that has none a role; stop at the first that is not allowed."""
    with engine.connect() as connection:
        organizations = roles.without(connection)
    for org in organizations:
        if not migrations.create_role(engine, org):
            return


def _step(state: migrations.SchemaState, dry_run: bool) -> dict[str, Any]:
    is_current = state.state == MigrationState.CURRENT
    outcome = MigrationState.CURRENT.value if is_current else "to migrate" if dry_run else "migrated"
    return {"lineage": state.lineage, "schema": state.schema, "from": state.current, "to": state.head, "state": outcome}


def _organizations(engine: Engine) -> Sequence[Organization]:
    """Return all organizations, at each revision of "public"; an empty list before the first migration."""
    with engine.connect() as connection:
        if db.revision(connection, "public") is None:
            return []
        rows = connection.execute(text("select id, name, schema_name from public.organizations order by id"))
        return [Organization(*row) for row in rows]

"""Create organizations with their schemas."""

from dataclasses import dataclass

from sqlalchemy import Engine, text

from dcmon import db
from dcmon.db import Organization, migrations
from dcmon.tenancy import deletion, organizations, tokens


@dataclass(frozen=True)
class Provisioned:
    """A new organization and its first token."""

    organization: Organization
    token: str


def create_organization(engine: Engine, name: str, owner: str) -> Provisioned:
    """Create an organization with its owner, first token and schema.

    After an error, nothing of the organization remains. If a crash leaves it without a schema,
    schema_migration.migrate creates it. Raises Conflict when the name is taken.
    """
    with db.public_session(engine) as session:
        org, user = organizations.create(session, name, owner)
    try:
        migrations.upgrade_org(engine, org)
    except BaseException:
        deletion.delete(engine, org)
        raise
    with db.public_session(engine) as session:
        return Provisioned(org, tokens.create(session, org.id, user.id, "first"))


def check_new_organization(engine: Engine, name: str, owner: str) -> None:
    """Create an organization without a schema, for a dry run. Raises Conflict when the name is taken."""
    with db.public_session(engine) as session:
        org, user = organizations.create(session, name, owner)
        tokens.create(session, org.id, user.id, "first")


OF_SCHEMA = text("""
    select (select count(*) from models) as models, (select count(*) from versions) as versions,
           (select coalesce(sum(n), 0) from quarter_hours) as samples, (select count(*) from results) as results,
           (select count(*) from monitors) as monitors, (select count(*) from alert_rules) as rules,
           (select count(*) from alerts) as alerts, (select count(*) from alerts where state = 'firing') as open,
           (select count(*) from webhooks) as receivers
""")
RELATIONS = text("select relation from versions")
OF_PUBLIC = text("""
    select (select count(*) from members where org_id = :id) as members,
           (select count(*) from tokens where org_id = :id and revoked_at is null) as tokens
""")


def contents(engine: Engine, org: Organization) -> dict[str, int]:
    """Count what an organization has, and how many of its alerts are open. Tokens that are revoked do not count."""
    with db.org_session(engine, org) as session:
        counts = {**session.execute(OF_SCHEMA).one()._mapping}
        references = [f"select count(*) from reference_{number}" for number in session.scalars(RELATIONS)]
        counts["reference_rows"] = sum(session.scalar(text(query)) or 0 for query in references)
    with db.public_session(engine) as session:
        counts |= session.execute(OF_PUBLIC, {"id": org.id}).one()._mapping
    return {key: int(value) for key, value in counts.items()}

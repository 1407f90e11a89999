"""Organizations: each has a row in "public" and a PostgreSQL schema of its own."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db import Organization as Entry
from dcmon.db import locks
from dcmon.db.locks import LockSpace
from dcmon.db.tables.public import Member, Organization, User
from dcmon.tenancy import retention

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}")


@dataclass(frozen=True)
class Owner:
    """The first member of an organization."""

    id: int
    email: str


def create(session: Session, name: str, owner_email: str) -> tuple[Entry, Owner]:
    """Insert an organization and its owner (a user of that e-mail may exist). Its schema is made by db.migrations.

    Raises Conflict when the name is taken, InvalidInput when it can't be a name.
    """
    if not NAME.fullmatch(name):
        raise errors.InvalidInput(
            f"{name!r} can't name an organization: 1 to 63 letters, digits, blanks and _.-, a letter or digit first."
        )
    if "@" not in owner_email:
        raise errors.InvalidInput(f"{owner_email!r} is no e-mail address.")
    locks.acquire(session, LockSpace.ORGANIZATION_NAMES, 0)
    if session.scalar(select(Organization.id).where(Organization.name == name)):
        raise errors.Conflict(f'There is an organization {name!r} already; "dcmon org show {name}" shows it.')
    org = Organization(name=name, schema_name="pending")
    session.add(org)
    session.flush()
    org.schema_name = f"org_{org.id}"
    user = session.scalar(select(User).where(User.email == owner_email)) or User(email=owner_email)
    session.add(user)
    session.flush()
    session.add(Member(org_id=org.id, user_id=user.id, role="owner"))
    session.flush()
    return entry(org), Owner(user.id, user.email)


def entries(session: Session) -> list[Entry]:
    """All organizations that live, by id."""
    rows = session.scalars(select(Organization).where(Organization.deleted_at.is_(None)).order_by(Organization.id))
    return [entry(org) for org in rows]


def find(session: Session, name: str) -> Entry:
    """The organization of that name. Raises OrganizationNotFound."""
    org = session.scalar(select(Organization).where(Organization.name == name, Organization.deleted_at.is_(None)))
    if org is None:
        raise errors.OrganizationNotFound(what="organization", name=name)
    return entry(org)


def by_id(session: Session, org_id: int) -> Entry | None:
    """The organization of that id, or None when it is gone."""
    org = session.get(Organization, org_id)
    return None if org is None or org.deleted_at else entry(org)


def newest_id(session: Session) -> int:
    """The largest id that an organization has had, of those that are gone too."""
    found: int = session.scalar(text("select last_value from organizations_id_seq"))
    return found


def choose(session: Session, name: str | None) -> Entry:
    """The named organization, or the only one there is. Raises OrganizationNotFound; InvalidInput without a name."""
    if name is not None:
        return find(session, name)
    there = entries(session)
    if not there:
        raise errors.OrganizationNotFound(
            'There is no organization yet. "dcmon org create NAME --owner EMAIL" makes one.'
        )
    if len(there) > 1:
        names = ", ".join(entry.name for entry in there[:5])
        raise errors.InvalidInput(
            f"There are {len(there)} organizations ({names} …): say which with --org or DCMON_ORG."
        )
    return there[0]


def owner(session: Session, org_id: int) -> Owner:
    """The owner of an organization. Raises NotFound when it has none."""
    statement = select(User).join(Member, Member.user_id == User.id)
    user = session.scalars(statement.where(Member.org_id == org_id, Member.role == "owner").order_by(User.id)).first()
    if user is None:
        raise errors.NotFound(what="owner of organization", name=org_id)
    return Owner(user.id, user.email)


def member(session: Session, org_id: int, email: str) -> Owner:
    """The member of an organization with that e-mail. Raises NotFound."""
    statement = select(User).join(Member, Member.user_id == User.id)
    user = session.scalar(statement.where(Member.org_id == org_id, User.email == email))
    if user is None:
        raise errors.NotFound(what="member with e-mail", name=email)
    return Owner(user.id, user.email)


def delete(session: Session, org: Entry) -> None:
    """Take the organization's row, members, tokens and hints out of "public"; its schema is dropped by drop_schema."""
    session.execute(text("delete from work_queue where org_id = :id"), {"id": org.id})
    session.execute(text("delete from parked_messages where org_id = :id"), {"id": org.id})
    session.execute(text("delete from organizations where id = :id"), {"id": org.id})


def drop_schema(session: Session, org: Entry) -> None:
    """Drop the organization's schema with everything in it, once nobody works in it."""
    locks.acquire(session, LockSpace.ORGANIZATION, org.id)
    quoted = session.connection().dialect.identifier_preparer.quote(org.schema)
    session.execute(text(f"drop schema if exists {quoted} cascade"))


def terms(session: Session, org: Entry) -> tuple[timedelta | None, timedelta | None]:
    """How long samples are kept, and how long results and alerts. None is for ever."""
    row = session.get_one(Organization, org.id)
    return row.retention, row.results_retention


def set_terms(session: Session, org: Entry, samples: timedelta | None, results: timedelta | None) -> None:
    """Keep samples so long, results and alerts so long; what is older goes with the next prune. Raises InvalidInput."""
    retention.require_longer(samples, results)
    row = session.get_one(Organization, org.id)
    row.retention, row.results_retention = samples, results
    session.flush()


def describe(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Organizations as rows for an output."""
    return [asdict(entry) for entry in entries]


def entry(org: Organization) -> Entry:
    """An organization as the rest of dcmon knows it, without its session."""
    return Entry(org.id, org.name, org.schema_name, org.retention)

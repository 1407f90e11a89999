"""Organizations: each has a row in "public" and a PostgreSQL schema of its own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db import Organization, locks, object_limits
from dcmon.db.locks import LockSpace
from dcmon.db.object_limits import ObjectLimits
from dcmon.db.tables.public import Member, User
from dcmon.db.tables.public import Organization as OrganizationRow
from dcmon.formatting import some_of
from dcmon.states import DefaultSet
from dcmon.tenancy import members, retention

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}")


class SeveralOrganizations(errors.InvalidInput):
    """There are {number} organizations ({names}): choose one with --org or DCMON_ORG."""


@dataclass(frozen=True)
class Owner:
    """The first member of an organization."""

    id: int
    email: str


class NewOrganization(NamedTuple):
    """An organization that was just inserted, and its owner."""

    organization: Organization
    owner: Owner


class RetentionTerms(NamedTuple):
    """How long samples are kept, and how long results and alerts. None: for ever."""

    samples: timedelta | None
    results: timedelta | None


def create(session: Session, name: str, owner_email: str) -> NewOrganization:
    """Insert an organization and its owner.

    A user with that e-mail address may exist. db.migrations creates the schema. Raises Conflict when the name is taken,
    InvalidInput when it can't be a name, OrganizationNotFound while one of that name is being deleted.
    """
    require_name(name)
    members.require_email(owner_email)
    require_free_name(session, name)
    org = OrganizationRow(name=name, schema_name="pending")
    session.add(org)
    session.flush()
    org.schema_name = f"org_{org.id}"
    user = session.scalar(select(User).where(User.email == owner_email)) or User(email=owner_email)
    session.add(user)
    session.flush()
    session.add(Member(org_id=org.id, user_id=user.id, role="owner"))
    session.flush()
    return NewOrganization(entry(org), Owner(user.id, user.email))


def require_name(name: str) -> None:
    """Check that a text can name an organization. Raises InvalidInput."""
    if not NAME.fullmatch(name):
        raise errors.InvalidInput(
            f"{name!r} can't name an organization: 1 to 63 letters, digits, blanks and _.-, a letter or digit first."
        )


def require_free_name(session: Session, name: str) -> None:
    """Check that no organization has a name; until the transaction ends, no other one can get it. Raises Conflict."""
    # One creation at a time: two transactions could both find the name free. The unique index would then refuse one of
    # them with PostgreSQL's own error instead of Conflict.
    locks.acquire(session, LockSpace.ORGANIZATION_NAMES, 0)
    require_not_marked(session, name)
    if session.scalar(select(OrganizationRow.id).where(OrganizationRow.name == name)):
        raise errors.Conflict(f'Organization {name!r} already exists; "dcmon org show {name}" shows it.')


def rename(session: Session, org: Organization, name: str) -> None:
    """Give an organization another name; its id and schema stay. Raises Conflict or InvalidInput."""
    require_name(name)
    if name != org.name:
        require_free_name(session, name)
    session.get_one(OrganizationRow, org.id).name = name
    session.flush()


def entries(session: Session) -> list[Organization]:
    """Return all organizations that are not deleted, by id."""
    rows = session.scalars(
        select(OrganizationRow).where(OrganizationRow.deleted_at.is_(None)).order_by(OrganizationRow.id)
    )
    return [entry(org) for org in rows]


def find(session: Session, name: str) -> Organization:
    """Return the organization of that name. Raises OrganizationNotFound."""
    org = session.scalar(
        select(OrganizationRow).where(OrganizationRow.name == name, OrganizationRow.deleted_at.is_(None))
    )
    if org is None:
        require_not_marked(session, name)
        raise errors.OrganizationNotFound(name=name, known=(other.name for other in entries(session)))
    return entry(org)


def require_not_marked(session: Session, name: str) -> None:
    """Raise OrganizationNotFound if the deletion of the organization of that name is not finished."""
    if session.scalar(select(OrganizationRow.deleted_at).where(OrganizationRow.name == name)) is not None:
        raise errors.OrganizationNotFound(
            f'Organization {name!r} is being deleted. If that was interrupted, "dcmon org delete {name}" finishes it.'
        )


def by_id(session: Session, org_id: int) -> Organization | None:
    """Return the organization of that id; None when it is deleted."""
    org = session.get(OrganizationRow, org_id)
    return None if org is None or org.deleted_at else entry(org)


def newest_id(session: Session) -> int:
    """Return the largest id of an organization so far, also of deleted ones."""
    newest: int = session.scalar(text("select last_value from organizations_id_seq"))
    return newest


def choose(session: Session, name: str | None) -> Organization:
    """Return the named organization; without a name, the only one.

    Raises OrganizationNotFound, or SeveralOrganizations when there are several and no name is given.
    """
    if name is not None:
        return find(session, name)
    existing = entries(session)
    if not existing:
        raise errors.OrganizationNotFound(
            'There is no organization yet. "dcmon org create NAME --owner EMAIL" creates one.'
        )
    if len(existing) > 1:
        names = some_of([entry.name for entry in existing], 5)
        raise SeveralOrganizations(number=len(existing), names=names)
    return existing[0]


def owner(session: Session, org_id: int) -> Owner:
    """Return the owner of an organization. Raises NotFound when it has none."""
    statement = select(User).join(Member, Member.user_id == User.id)
    user = session.scalars(statement.where(Member.org_id == org_id, Member.role == "owner").order_by(User.id)).first()
    if user is None:
        raise errors.NotFound(what="owner of organization", name=org_id)
    return Owner(user.id, user.email)


def member(session: Session, org_id: int, email: str) -> Owner:
    """Return the member of an organization with that e-mail. Raises NotFound."""
    statement = select(User).join(Member, Member.user_id == User.id)
    user = session.scalar(statement.where(Member.org_id == org_id, User.email == email))
    if user is None:
        emails = select(User.email).join(Member, Member.user_id == User.id).where(Member.org_id == org_id)
        raise errors.MemberNotFound(name=email, known=session.scalars(emails))
    return Owner(user.id, user.email)


def terms(session: Session, org: Organization) -> RetentionTerms:
    """Return the retention terms of an organization."""
    row = session.get_one(OrganizationRow, org.id)
    return RetentionTerms(row.retention, row.results_retention)


def set_terms(session: Session, org: Organization, samples: timedelta | None, results: timedelta | None) -> None:
    """Set how long samples, results and alerts are kept. Raises InvalidInput.

    The next prune deletes older rows.
    """
    retention.require_longer(samples, results)
    row = session.get_one(OrganizationRow, org.id)
    row.retention, row.results_retention = samples, results
    session.flush()


def default_monitors(session: Session, org: Organization) -> DefaultSet:
    """Return which default monitors new models of an organization get."""
    return DefaultSet(session.get_one(OrganizationRow, org.id).default_monitors)


def set_default_monitors(session: Session, org: Organization, defaults: DefaultSet) -> None:
    """Set which default monitors new models of an organization get; existing models do not change."""
    session.get_one(OrganizationRow, org.id).default_monitors = defaults
    session.flush()


def has_model_membership(session: Session, org_id: int) -> bool:
    """Return whether members see only the models that they are members of."""
    return session.get_one(OrganizationRow, org_id).model_membership


def set_model_membership(session: Session, org_id: int, is_restricted: bool) -> None:
    """Show models to all members of an organization, or to their own members and administrators only."""
    session.get_one(OrganizationRow, org_id).model_membership = is_restricted
    session.flush()


def describe(entries: Sequence[Organization]) -> list[dict[str, Any]]:
    """Return organizations as rows for an output."""
    return [{"name": org.name, "id": org.id, "schema": org.schema, "retention": org.retention} for org in entries]


def entry(org: OrganizationRow) -> Organization:
    """Convert an organization's row to the value that the rest of dcmon uses."""
    limits = ObjectLimits(**{name: getattr(org, name) for name in object_limits.NAMES})
    return Organization(org.id, org.name, org.schema_name, org.retention, limits)

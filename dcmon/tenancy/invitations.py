"""Invitations: a code that makes the invited person a member once, with a first token."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.public import Invitation, Member, Organization, User
from dcmon.tenancy import members, tokens
from dcmon.tenancy.permissions import Role

MAX_LIVE = 100  # of an organization
DEFAULT_LIFETIME, MAX_LIFETIME = timedelta(days=7), timedelta(days=90)


@dataclass(frozen=True)
class Invited:
    """A new invitation. `code` is not stored and not shown again."""

    email: str
    role: Role
    code: str
    expires_at: datetime


@dataclass(frozen=True)
class Accepted:
    """A new member with a first token, whose text is not stored."""

    organization: str
    email: str
    role: Role
    token: str


def invite(
    session: Session, org_id: int, inviter: str, emails: Sequence[str], role: Role, lifetime: timedelta | None = None
) -> list[Invited]:
    """Invite people, all or none.

    Raises InvalidInput, or Conflict when one is a member or has a live invitation, or there are too many of them.
    """
    lifetime = lifetime if lifetime is not None else DEFAULT_LIFETIME
    if not timedelta(minutes=1) <= lifetime <= MAX_LIFETIME:
        raise errors.InvalidInput(f"An invitation lasts from one minute to {MAX_LIFETIME.days} days.")
    session.execute(select(Organization.id).where(Organization.id == org_id).with_for_update(key_share=True))
    session.execute(delete(Invitation).where(Invitation.org_id == org_id, Invitation.expires_at <= func.now()))
    addresses = list(dict.fromkeys(emails))
    for email in addresses:
        _require_not_invited(session, org_id, email)
    live = session.scalar(select(func.count()).select_from(Invitation).where(Invitation.org_id == org_id)) or 0
    if live + len(addresses) > MAX_LIVE:
        raise errors.Conflict(f"An organization has at most {MAX_LIVE} live invitations. Withdraw some, or wait.")
    return [_add(session, org_id, inviter, email, role, lifetime) for email in addresses]


def hold_to(session: Session, org_id: int, emails: Sequence[str], highest: Role) -> None:
    """Hold the first tokens of invited people to the role of the inviter, also if they get a higher one."""
    live = update(Invitation).where(Invitation.org_id == org_id, Invitation.email.in_(emails))
    session.execute(live.values(highest_role=None if highest == Role.OWNER else highest))


def entries(session: Session, org_id: int) -> Sequence[Invitation]:
    """Return the live invitations of an organization, newest first."""
    statement = select(Invitation).where(Invitation.org_id == org_id, Invitation.expires_at > func.now())
    return session.scalars(statement.order_by(Invitation.id.desc())).all()


def require(session: Session, org_id: int, email: str) -> None:
    """Check that a person is invited. Raises NotFound."""
    invited = select(Invitation.id).where(Invitation.org_id == org_id, Invitation.email == email)
    if session.scalar(invited.limit(1)) is None:
        raise errors.NotFound(what="invitation of", name=email)


def withdraw(session: Session, org_id: int, email: str) -> None:
    """Withdraw an invitation. Raises NotFound."""
    live = delete(Invitation).where(Invitation.org_id == org_id, Invitation.email == email)
    if session.scalar(live.returning(Invitation.id)) is None:
        raise errors.NotFound(what="invitation of", name=email)


def accept(session: Session, code: str, full_name: str | None = None) -> Accepted:
    """Make the invited person a member, once. Raises NotAuthenticated for a code that is unknown, used or expired."""
    taken = delete(Invitation).where(Invitation.digest == _digest(code)).returning(Invitation)
    invitation = session.scalar(taken)
    if invitation is None or invitation.expires_at <= datetime.now(UTC):
        raise errors.NotAuthenticated(
            "The code of the invitation is unknown, used or expired. Ask who invited you for a new one."
        )
    if full_name is not None:
        members.require_name(full_name)
    org = session.get_one(Organization, invitation.org_id)
    role = Role(invitation.role)
    user_id = members.add(session, org.id, invitation.email, role, full_name)
    token = tokens.create(session, org.id, user_id, "first")
    tokens.hold_to(session, org.id, token, None if invitation.highest_role is None else Role(invitation.highest_role))
    return Accepted(org.name, invitation.email, role, token)


def _require_not_invited(session: Session, org_id: int, email: str) -> None:
    members.require_email(email)
    is_member = select(Member.user_id).join(User, User.id == Member.user_id)
    if session.scalar(is_member.where(Member.org_id == org_id, User.email == email)) is not None:
        raise errors.Conflict(f"{email!r} is a member of the organization already.")
    if session.scalar(select(Invitation.id).where(Invitation.org_id == org_id, Invitation.email == email)):
        raise errors.Conflict(f"{email!r} has a live invitation already. Withdraw it first to invite again.")


def _add(session: Session, org_id: int, inviter: str, email: str, role: Role, lifetime: timedelta) -> Invited:
    code, expires_at = "inv_" + secrets.token_urlsafe(32), datetime.now(UTC) + lifetime
    session.add(
        Invitation(
            org_id=org_id, email=email, role=role, digest=_digest(code), invited_by=inviter, expires_at=expires_at
        )
    )
    session.flush()
    return Invited(email, role, code, expires_at)


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode(errors="surrogateescape")).digest()

"""Members of organizations: users and their roles. Each organization keeps at least one owner."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.public import Member, Organization, Token, User
from dcmon.tenancy.permissions import Role

MAX_EMAIL_LENGTH = 254  # RFC 5321
EMAIL = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[^\s@<>,;:\"()\[\]\\]{1,189}")  # one address, in a header too
ORDER = list(Role)


@dataclass(frozen=True)
class MemberView:
    """A member as lists show it. `last_used_at`: the last use of one of the member's tokens; None: never."""

    email: str
    id: int
    full_name: str | None
    role: Role
    created_at: datetime
    last_used_at: datetime | None


def entries(session: Session, org_id: int) -> list[MemberView]:
    """Return the members of an organization: owners first, then by role and id."""
    return sorted(_views(session, Member.org_id == org_id), key=lambda member: ORDER.index(member.role))


def get(session: Session, org_id: int, user_id: int) -> MemberView:
    """Return a member by the user's id. Raises NotFound."""
    matches = _views(session, Member.org_id == org_id, Member.user_id == user_id)
    if not matches:
        raise errors.NotFound(what="member with id", name=user_id)
    return matches[0]


def require(session: Session, org_id: int, user_ids: Collection[int]) -> None:
    """Check that all users are members of the organization. Raises NotFound."""
    known = set(session.scalars(select(Member.user_id).where(Member.org_id == org_id, Member.user_id.in_(user_ids))))
    for user_id in user_ids:
        if user_id not in known:
            raise errors.NotFound(what="member with id", name=user_id)


def administrators(session: Session, org_id: int) -> list[int]:
    """Return the ids of the users that are owners or admins of an organization."""
    roles = [role for role in Role if role.sees_all_models]
    return list(session.scalars(select(Member.user_id).where(Member.org_id == org_id, Member.role.in_(roles))))


def add(session: Session, org_id: int, email: str, role: Role, full_name: str | None = None) -> int:
    """Make the person with an e-mail address a member, and return the user's id.

    Raises Conflict when the person is a member already, InvalidInput when it is no address.
    """
    require_email(email)
    _lock(session, org_id)
    user = session.scalar(select(User).where(User.email == email))
    if user is None:
        user = User(email=email, full_name=full_name)
        session.add(user)
        session.flush()
    elif session.get(Member, (org_id, user.id)) is not None:
        raise errors.Conflict(f'{email!r} is a member of the organization already; "dcmon member list" shows the role.')
    session.add(Member(org_id=org_id, user_id=user.id, role=role))
    session.flush()
    return user.id


def set_role(session: Session, org_id: int, user_id: int, role: Role) -> None:
    """Give a member another role, at once for all tokens. Raises NotFound, or Conflict for the last owner."""
    member = _locked(session, org_id, user_id)
    if role != Role.OWNER:
        _require_other_owner(session, member, "give another member the role owner first")
    member.role = role
    session.flush()


def raise_role(session: Session, org_id: int, user_id: int, role: Role) -> None:
    """Give a member another role if it has more permissions than the present one. Raises NotFound."""
    member = _locked(session, org_id, user_id)
    member.role = min(Role(member.role), role, key=ORDER.index)
    session.flush()


def require_removable(session: Session, org_id: int, user_id: int) -> None:
    """Check that a member can be removed. Raises NotFound, or Conflict for the last owner."""
    member = _locked(session, org_id, user_id)
    _require_other_owner(session, member, "give another member the role owner first, or delete the organization")


def remove(session: Session, org_id: int, user_id: int) -> None:
    """Remove a member with all tokens for the organization. Raises NotFound, or Conflict for the last owner.

    A person who is invited again has neither the former role nor the former tokens.
    """
    member = _locked(session, org_id, user_id)
    _require_other_owner(session, member, "give another member the role owner first, or delete the organization")
    for token in session.scalars(select(Token).where(Token.org_id == org_id, Token.user_id == user_id)):
        session.delete(token)
    session.delete(member)
    session.flush()


def set_full_name(session: Session, user_id: int, full_name: str) -> None:
    """Set the name of a user. Raises InvalidInput or NotFound."""
    require_name(full_name)
    user = session.get(User, user_id)
    if user is None:
        raise errors.NotFound(what="user with id", name=user_id)
    user.full_name = full_name
    session.flush()


def delete_user_without_organization(session: Session, user_id: int) -> None:
    """Delete a user who is no member of any organization."""
    user = session.get(User, user_id)
    if user is not None and not organizations(session, user_id):
        session.delete(user)
        session.flush()


def require_name(full_name: str) -> None:
    """Check the name of a person. Raises InvalidInput."""
    if not 1 <= len(full_name.strip()) <= 100 or not full_name.isprintable():
        raise errors.InvalidInput("A person's name has 1 to 100 printable characters.")


def require_email(email: str) -> None:
    """Check that a text can be an e-mail address. Raises InvalidInput."""
    if not EMAIL.fullmatch(email) or not email.isprintable() or len(email) > MAX_EMAIL_LENGTH:
        raise errors.InvalidInput(f"{email[:60]!r} is not an e-mail address.")


def organizations(session: Session, user_id: int) -> Sequence[int]:
    """Return the ids of the organizations that a user is a member of."""
    return session.scalars(select(Member.org_id).where(Member.user_id == user_id)).all()


def _views(session: Session, *conditions: ColumnElement[bool]) -> list[MemberView]:
    """Return the members that meet conditions, by the user's id."""
    used = select(func.max(Token.last_used_at)).where(Token.org_id == Member.org_id, Token.user_id == User.id)
    statement = select(User, Member.role, used.scalar_subquery()).join(Member, Member.user_id == User.id)
    return [
        MemberView(user.email, user.id, user.full_name, Role(role), user.created_at, last_used_at)
        for user, role, last_used_at in session.execute(statement.where(*conditions).order_by(User.id))
    ]


def _lock(session: Session, org_id: int) -> None:
    """Let one transaction at a time change the members: two could each remove one of two owners."""
    session.execute(select(Organization.id).where(Organization.id == org_id).with_for_update(key_share=True))


def _locked(session: Session, org_id: int, user_id: int) -> Member:
    _lock(session, org_id)
    member = session.get(Member, (org_id, user_id), populate_existing=True)
    if member is None:
        raise errors.NotFound(what="member with id", name=user_id)
    return member


def _require_other_owner(session: Session, member: Member, advice: str) -> None:
    others = select(func.count()).select_from(Member)
    others = others.where(Member.org_id == member.org_id, Member.user_id != member.user_id, Member.role == Role.OWNER)
    if member.role == Role.OWNER and not session.scalar(others):
        raise errors.Conflict(f"This member is the last owner of the organization: {advice}.")

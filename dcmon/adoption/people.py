"""The users of an organization of the old system, with their roles and API tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.adoption.old_database import PUBLIC, OldDatabase, OldOrganization
from dcmon.adoption.summary import Summary
from dcmon.db import Organization
from dcmon.db.tables.public import User
from dcmon.tenancy import imported_tokens, members
from dcmon.tenancy.imported_tokens import Outcome
from dcmon.tenancy.permissions import Role

NO_OWNER = "owner@localhost"
UNUSABLE = 'its hash is not of bcrypt, or has a cost above 12: "dcmon token create" creates a new token'


@dataclass(frozen=True)
class Person:
    """A user of the old system. `token_hash`: bcrypt of the API token's secret; None: the user has no token."""

    id: int
    email: str
    full_name: str | None
    role: Role
    token_hash: str | None = None


def read(old: OldDatabase, org: OldOrganization) -> list[Person]:
    """Return the users of an organization. One of them is its owner: an organization here always has one."""
    where = f"where organization_id = {org.id:d}"
    users = old.rows("public", "users", PUBLIC["users"], where)
    roles: dict[int, set[str]] = {}
    for row in old.rows("public", "roles", PUBLIC["roles"]):
        roles.setdefault(row["user_id"], set()).add(str(row["role"]).lower())
    people = [
        Person(row["id"], row["email"], row["full_name"], _role(roles.get(row["id"], set())), row["api_secret_hash"])
        for row in users
    ]
    if any(person.role is Role.OWNER for person in people):
        return people
    if not people:
        return [Person(0, NO_OWNER, None, Role.OWNER)]
    first = next((person for person in people if person.role is Role.ADMIN), people[0])
    owner = Person(first.id, first.email, first.full_name, Role.OWNER, first.token_hash)
    return [owner if person is first else person for person in people]


def create_users(engine: Engine, people: Sequence[Person]) -> None:
    """Create the users that do not exist yet. They may do nothing before `add` makes them members."""
    with db.public_session(engine) as session:
        known = set(session.scalars(select(User.email).where(User.email.in_([person.email for person in people]))))
        for person in people:
            if person.email not in known:
                session.add(User(email=person.email, full_name=person.full_name))


def ids(engine: Engine, people: Sequence[Person]) -> dict[int, int]:
    """Return the new ids of users by their old ids."""
    with db.public_session(engine) as session:
        emails = [person.email for person in people]
        rows = session.execute(select(User.email, User.id).where(User.email.in_(emails)))
        by_email = {email: user_id for email, user_id in rows}  # noqa: C416 - rows are no tuples for mypy
    return {person.id: by_email[person.email] for person in people if person.email in by_email}


def add(session: Session, org: Organization, people: Sequence[Person]) -> dict[str, str]:
    """Make users members, with their tokens, which work unchanged.

    Returns why tokens are not taken, by the e-mail addresses of their users.
    """
    for person in people:
        members.add(session, org.id, person.email, person.role, person.full_name)
    having = [person for person in people if _is_usable(person)]
    lines = [f"{person.email},{person.token_hash}" for person in having]
    # The first line could be the names of columns; a comment before it makes sure that it is not.
    imported = imported_tokens.import_lines(session, org.id, ["# tokens", *lines], Role.MEMBER)
    return {
        person.email: str(outcome.remark)
        for person, outcome in zip(having, imported, strict=True)
        if outcome.outcome is not Outcome.IMPORTED
    }


def count(people: Sequence[Person], refused: Mapping[str, str], summary: Summary) -> None:
    """Count users and tokens. `refused`: what `add` returns."""
    of_old = [person for person in people if person.id]
    summary.add("users", adopted=len(of_old))
    summary.add("tokens")
    for person in of_old:
        reason = None if _is_usable(person) else UNUSABLE
        if (reason := refused.get(person.email, reason)) is not None and person.token_hash:
            summary.add("tokens", left=1, reason=f"{person.email}: {reason}")
        else:
            summary.add("tokens", adopted=int(bool(person.token_hash)))


def _is_usable(person: Person) -> bool:
    return bool(person.token_hash) and imported_tokens.HASH.fullmatch(str(person.token_hash)) is not None


def _role(names: set[str]) -> Role:
    return Role.OWNER if "owner" in names else Role.ADMIN if "admin" in names else Role.MEMBER

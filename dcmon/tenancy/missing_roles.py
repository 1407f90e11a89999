"""Organizations whose schema has no role of its own, which is the second wall between organizations."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db import roles


@dataclass(frozen=True)
class MissingRoles:
    """How many organizations have no role, the SQL that creates the roles, and the role that dcmon connects as."""

    organizations: int
    statements: Sequence[str]
    connecting_role: str


def read(engine: Engine, chosen: Set[int] | None = None) -> MissingRoles:
    """Return the organizations without a role of their own, which is the second wall between organizations.

    `chosen`: the ids of those that are looked at; None: all.
    """
    with engine.connect() as connection:
        if db.revision(connection, "public") is None:
            return MissingRoles(0, [], "")
        organizations = [org for org in roles.without(connection) if chosen is None or org.id in chosen]
        statements = roles.statements(connection, organizations)
        return MissingRoles(len(organizations), statements, str(connection.scalar(text("select current_user"))))


def count(session: Session) -> int:
    """Return how many organizations have no role of their own."""
    return len(roles.without(session.connection()))

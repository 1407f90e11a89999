"""The ids that the users of a file have in this database."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from dcmon import db, errors


@dataclass
class UserIds:
    """Ids by e-mail address. `new`: the addresses whose users do not exist yet, with the ids that they will have."""

    known: dict[str, int] = field(default_factory=dict)
    new: dict[str, int] = field(default_factory=dict)

    def read(self, engine: Engine, table: str) -> None:
        """Read the ids of a table of users."""
        with db.public_session(engine) as session:
            self.known |= dict(session.execute(text(f"select email, id from {table}")).all())

    def reserve(self, engine: Engine, emails: Iterable[str]) -> None:
        """Find the ids of users; those that do not exist get one that no other user will have."""
        missing = sorted(set(emails) - self.known.keys() - self.new.keys())
        with db.public_session(engine) as session:
            statement = text("select email, id from users where email = any(:emails)")
            self.known |= dict(session.execute(statement, {"emails": missing}).all())
            for email in missing:
                if email not in self.known:
                    self.new[email] = session.execute(text("select nextval('users_id_seq')")).scalar_one()

    def id_of(self, email: str) -> int:
        """Return a user's id; 0, which no user has, for a user who was deleted."""
        return self.known.get(email) or self.new.get(email, 0)

    def insert_new(self, session: Session, names: dict[str, str | None]) -> None:
        """Insert the users that do not exist yet. `names`: their full names by address. Raises Conflict."""
        insert = text(
            "insert into users (id, email, full_name) values (:id, :email, :name) on conflict (email) do nothing"
        )
        for email, user_id in self.new.items():
            values = {"id": user_id, "email": email, "name": names.get(email)}
            if not session.execute(insert, values).rowcount:  # type: ignore[attr-defined]
                raise errors.Conflict(f"User {email!r} was created meanwhile. Repeat the command.")

"""Read a file of an organization to its end and count what it would store here, without storing anything."""

from dataclasses import dataclass

from sqlalchemy import Engine, text

from dcmon import db
from dcmon.transfer.contents import OrganizationDocument
from dcmon.transfer.untrusted import Finder, Inactive
from dcmon.transfer.writer import Summary


@dataclass(frozen=True)
class Preview:
    """What an import would store. `new_users`: who do not exist here yet; `inactive`: what it would leave inactive.

    `tokens_left_out`: how many tokens have prefixes that are in use here.
    """

    name: str
    summary: Summary
    new_users: int
    tokens_left_out: int
    inactive: Inactive


class Counter(Finder):
    """Counts the users and tokens of a file."""

    def __init__(self) -> None:
        super().__init__()
        self.emails, self.prefixes = set[str](), set[str]()

    def begin_organization(self, scope: str, document: OrganizationDocument) -> None:
        """Note whom the organization has."""
        self.emails |= {row["email"] for row in (*document.members, *document.tokens)}
        self.prefixes |= {row["prefix"] for row in document.tokens}

    def preview(self, engine: Engine, name: str, summary: Summary) -> Preview:
        """Compare what the file has with the database. `summary`: of the file that was read."""
        with db.public_session(engine) as session:
            known = text("select count(*) from users where email = any(:emails)")
            users = session.execute(known, {"emails": [*self.emails]}).scalar_one()
            taken = text("select count(*) from tokens where prefix = any(:prefixes)")
            left_out = session.execute(taken, {"prefixes": [*self.prefixes]}).scalar_one()
        return Preview(name, summary, len(self.emails) - users, left_out, self.found)

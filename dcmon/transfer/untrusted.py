"""What would run or be read here because the file of an organization says so: it is imported inactive.

A command receiver runs any program, and a source reads paths of this server, or buckets with the keys of its process.
The author of the file chose them, so a person who may do so here lets each of them begin.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import Engine, text

from dcmon import db
from dcmon.db import Organization
from dcmon.states import ReceiverKind
from dcmon.transfer import copy_text
from dcmon.transfer.catalog import RowSum
from dcmon.transfer.contents import TableHead
from dcmon.transfer.reader import OnlyCheck

REASON = "It was imported from a file. Resume it if you trust its command."
PAUSE = text("""
    update webhooks set paused_at = now(), paused_until = null, paused_because = :reason where kind = :kind
    returning name
""")
STOP = text("update sources set is_active = false where not is_of_path returning name")
Row = dict[str, copy_text.Field]


@dataclass
class Inactive:
    """The names of the command receivers and sources that an import leaves inactive."""

    receivers: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)


def make_inactive(engine: Engine, org: Organization) -> Inactive:
    """Pause the command receivers and stop the sources of an organization whose schema is complete."""
    with db.org_session(engine, org) as session:
        receivers = session.scalars(PAUSE, {"reason": REASON, "kind": ReceiverKind.COMMAND}).all()
        return Inactive(sorted(receivers), sorted(session.scalars(STOP)))


class Finder(OnlyCheck):
    """Reads a file to its end, and finds what an import would leave inactive."""

    def __init__(self) -> None:
        self.found = Inactive()

    def table(self, scope: str, head: TableHead, lines: Iterator[bytes]) -> RowSum | None:
        """Find names in the rows of two tables."""
        names, is_chosen = self._choice(head)
        for part in lines:
            for line in part.splitlines() if is_chosen is not None else ():
                row = dict(zip(head.columns, map(copy_text.decode, line.split(b"\t")), strict=False))
                if is_chosen is not None and is_chosen(row):
                    names.append((row.get("name") or b"").decode(errors="replace"))
        return None

    def _choice(self, head: TableHead) -> tuple[list[str], Callable[[Row], bool] | None]:
        """Return the list that names of a table belong to, and which rows are chosen; None: none."""
        if head.run_time is None and head.table == "webhooks":
            return self.found.receivers, lambda row: row.get("kind") == ReceiverKind.COMMAND.encode()
        if head.run_time is None and head.table == "sources":
            return self.found.sources, lambda row: row.get("is_of_path") != b"t"
        return [], None

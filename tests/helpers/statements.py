"""Count the statements that PostgreSQL gets, and list them by the function that sends them."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

PACKAGE = Path(__file__).parents[2] / "dcmon"
# A transaction enters the schema of its organization with these two statements (dcmon.db.session.enter).
PING = ";"  # the pool's test of a connection
LAST_USE = "update tokens set last_used_at"  # once a minute: a slow test sends it twice
ENTERING = ("select set_config('search_path'", "select version_num, current_schema()")


@dataclass(frozen=True)
class Statement:
    """A statement, and the function of dcmon that sent it, as "alerting/judging.py: judge_results"."""

    sql: str
    sent_by: str

    def __str__(self) -> str:
        return f"{self.sent_by}: {' '.join(self.sql.split())}"


@dataclass
class Recorded:
    """The statements of a block, in order.

    Not counted: BEGIN and COMMIT, the pool's test of a connection before a transaction, the two statements with which a
    transaction enters its organization, and the time of a token's last use. Savepoints are counted, and a statement
    that is sent for many sets of parameters counts once for each set.
    """

    statements: list[Statement] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.statements)

    def __str__(self) -> str:
        return "\n".join(f"{number}. {str(line)[:300]}" for number, line in enumerate(self.statements, 1))

    @property
    def by_sender(self) -> Counter[str]:
        return Counter(statement.sent_by for statement in self.statements)

    def add(self, query: Any, count: int = 1) -> None:
        sql = query.decode() if isinstance(query, bytes) else str(query)
        if not sql.startswith((*ENTERING, PING, LAST_USE)):
            self.statements += [Statement(sql, _sender())] * count


def _sender() -> str:
    """Return the innermost function of dcmon on the stack, without the package db."""
    frame = sys._getframe(2)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE) and not path.is_relative_to(PACKAGE / "db"):
            return f"{path.relative_to(PACKAGE)}: {frame.f_code.co_name}"
        frame = frame.f_back
    return "?"


@contextmanager
def recorded_statements() -> Iterator[Recorded]:
    """Record the statements that this process sends in a block, on all its connections.

    They are recorded at the driver, because rows are read by cursors that SQLAlchemy doesn't see.
    """
    recorded, execute, executemany = Recorded(), psycopg.Cursor.execute, psycopg.Cursor.executemany

    def recording_execute(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        recorded.add(query)
        return execute(self, query, *arguments, **options)

    def recording_executemany(self: Any, query: Any, parameters: Sequence[Any], **options: Any) -> Any:
        recorded.add(query, len(parameters))
        return executemany(self, query, parameters, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(psycopg.Cursor, "execute", recording_execute)
        patched.setattr(psycopg.Cursor, "executemany", recording_executemany)
        yield recorded

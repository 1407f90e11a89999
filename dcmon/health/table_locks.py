"""Sessions that have locked a table which all organizations share: nothing of dcmon can be read then."""

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dcmon import errors
from dcmon.health import current_health, locked_tables
from dcmon.health.problem import Problem, ProblemName
from dcmon.settings import Settings
from dcmon.severity import Severity


def find(engine: Engine, settings: Settings) -> list[Problem]:
    """Return who holds such a lock, the oldest first. It reads none of dcmon's tables, and never raises."""
    try:
        return [current_health.runnable(problem, settings) for problem in _problems(engine)]
    except (DBAPIError, errors.DcmonError):
        return []


def _problems(engine: Engine) -> Iterator[Problem]:
    """Yield one problem for each session: it may have locked several tables."""
    sessions = set[int | None]()
    for lock in locked_tables.find(engine):
        if lock.pid not in sessions:
            sessions.add(lock.pid)
            sentence = f"{lock.sentence}: all that reads it waits."
            since = lock.since or datetime.now(UTC)
            yield Problem(ProblemName.TABLE_LOCKED, Severity.CRITICAL, sentence, lock.command, since)

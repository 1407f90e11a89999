"""The stored problems of dcmon itself, with their start and their last notification.

They are stored from one health check to the next.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon.db.tables.public import KnownProblem
from dcmon.health.problem import Problem, ProblemKey
from dcmon.severity import Severity


@dataclass(frozen=True)
class ProblemChanges:
    """Problems that receivers are notified of: started, ongoing and resolved ones."""

    started: Sequence[Problem] = ()
    ongoing: Sequence[Problem] = ()
    resolved: Sequence[Problem] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.started or self.ongoing or self.resolved)


def entries(session: Session) -> list[Problem]:
    """Return the problems of the last health check, the most severe first."""
    return sorted(map(_problem, session.scalars(select(KnownProblem))), key=lambda problem: problem.rank)


def notified(session: Session) -> list[Problem]:
    """Return the problems that receivers were notified of, the most severe first."""
    rows = session.scalars(select(KnownProblem).where(KnownProblem.notified_at.is_not(None)))
    return sorted(map(_problem, rows), key=lambda problem: problem.rank)


def store(session: Session, current_problems: Sequence[Problem], now: datetime, grace: timedelta) -> ProblemChanges:
    """Store the problems of a health check; return the changes to notify receivers of.

    A problem counts as started after `grace`, because an organization that is migrated is locked for a second. Of the
    problems that are over, those that were not notified are deleted at once; others stay until `delete_problems`.
    """
    for problem in sorted(
        current_problems, key=lambda problem: problem.key
    ):  # always in the same order, so that two writers can't deadlock
        values = {"severity": problem.severity, "sentence": problem.sentence, "command": problem.command}
        statement = insert(KnownProblem).values(
            name=problem.name, subject=problem.subject, since=problem.since, **values
        )
        session.execute(statement.on_conflict_do_update(index_elements=["name", "subject"], set_=values))
    current_keys = {problem.key for problem in current_problems}
    rows = session.scalars(select(KnownProblem).order_by(KnownProblem.name, KnownProblem.subject)).all()
    over = [row for row in rows if ProblemKey(row.name, row.subject) not in current_keys]
    lasting = [row for row in rows if ProblemKey(row.name, row.subject) in current_keys]
    delete_problems(session, [_problem(row) for row in over if row.notified_at is None])
    return ProblemChanges(
        [_problem(row) for row in lasting if row.notified_at is None and now - row.since >= grace],
        [_problem(row) for row in lasting if row.notified_at is not None],
        [_problem(row) for row in over if row.notified_at is not None],
    )


def _problem(row: KnownProblem) -> Problem:
    return Problem(row.name, Severity(row.severity), row.sentence, row.command, row.since, row.subject)


def mark_notified(session: Session, problems: Iterable[Problem], now: datetime) -> None:
    """Record that receivers were notified of these problems."""
    for problem in problems:
        key = (KnownProblem.name == problem.name, KnownProblem.subject == problem.subject)
        session.execute(update(KnownProblem).where(*key).values(notified_at=now))


def delete_problems(session: Session, problems: Iterable[Problem]) -> None:
    """Delete problems that are over."""
    for problem in problems:
        session.execute(
            delete(KnownProblem).where(KnownProblem.name == problem.name, KnownProblem.subject == problem.subject)
        )

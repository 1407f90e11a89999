"""The known problems of dcmon itself, kept between health checks: since when they last, and if receivers know them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon.db.tables.public import KnownProblem
from dcmon.health.checks import Problem
from dcmon.severity import Severity


@dataclass(frozen=True)
class ProblemChanges:
    """What receivers are notified of: problems that started, last since an earlier notification, or are over."""

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


def store(session: Session, found: Sequence[Problem], now: datetime, grace: timedelta) -> ProblemChanges:
    """Store the problems that a health check found; return what receivers are to be notified of.

    A problem counts as started after `grace`, because an organization that is migrated is locked for a second. One that
    is over before any notification is deleted at once. Resolved ones stay until `delete_problems`.
    """
    for problem in sorted(found, key=lambda problem: problem.key):  # in one order, against deadlocks
        values = {"severity": problem.severity, "sentence": problem.sentence, "command": problem.command}
        statement = insert(KnownProblem).values(
            name=problem.name, subject=problem.subject, since=problem.since, **values
        )
        session.execute(statement.on_conflict_do_update(index_elements=["name", "subject"], set_=values))
    found_keys = {problem.key for problem in found}
    rows = session.scalars(select(KnownProblem).order_by(KnownProblem.name, KnownProblem.subject)).all()
    over = [row for row in rows if (row.name, row.subject) not in found_keys]
    lasting = [row for row in rows if (row.name, row.subject) in found_keys]
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

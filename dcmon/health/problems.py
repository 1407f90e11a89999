"""What is wrong with dcmon itself, kept from one judgement to the next: since when, and whether it was told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon.db.tables.public import Condition as Kept
from dcmon.health.checks import Problem


@dataclass(frozen=True)
class ProblemChanges:
    """What there is to tell: what began to be wrong, what was told before and lasts, and what is over."""

    firing: Sequence[Problem] = ()
    lasting: Sequence[Problem] = ()
    resolved: Sequence[Problem] = ()


def entries(session: Session) -> list[Problem]:
    """What was wrong when dcmon was judged last, the worst first."""
    return sorted((_read(each) for each in session.scalars(select(Kept))), key=lambda condition: condition.rank)


def notified(session: Session) -> list[Problem]:
    """What is wrong and was told, the worst first."""
    kept = session.scalars(select(Kept).where(Kept.told_at.is_not(None)))
    return sorted((_read(each) for each in kept), key=lambda condition: condition.rank)


def store(session: Session, found: Sequence[Problem], now: datetime, patience: timedelta) -> ProblemChanges:
    """Keep what was found, and let go of what is over; returns what there is to tell.

    What lasted for less than `patience` is not told yet: an organization that is migrated just now is locked for a
    second. What is over and was never told is forgotten at once.
    """
    for each in sorted(found, key=lambda condition: condition.key):
        said = {"severity": each.severity, "sentence": each.sentence, "command": each.command}
        statement = insert(Kept).values(name=each.name, subject=each.subject, since=each.since, **said)
        session.execute(statement.on_conflict_do_update(index_elements=["name", "subject"], set_=said))
    there = {each.key for each in found}
    kept = session.scalars(select(Kept).order_by(Kept.name, Kept.subject)).all()
    over = [each for each in kept if (each.name, each.subject) not in there]
    delete_problems(session, [_read(each) for each in over if each.told_at is None])
    lasting = [each for each in kept if each not in over]
    return ProblemChanges(
        [_read(each) for each in lasting if each.told_at is None and now - each.since >= patience],
        [_read(each) for each in lasting if each.told_at is not None],
        [_read(each) for each in over if each.told_at is not None],
    )


def _read(kept: Kept) -> Problem:
    return Problem(kept.name, kept.severity, kept.sentence, kept.command, kept.since, kept.subject)


def mark_notified(session: Session, told: Iterable[Problem], now: datetime) -> None:
    """Write down that these were told."""
    for each in told:
        mine = (Kept.name == each.name, Kept.subject == each.subject)
        session.execute(update(Kept).where(*mine).values(told_at=now))


def delete_problems(session: Session, over: Iterable[Problem]) -> None:
    """Let go of conditions that are over."""
    for each in over:
        session.execute(delete(Kept).where(Kept.name == each.name, Kept.subject == each.subject))

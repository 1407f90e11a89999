"""The rounds of the leader: what it does by the clock, when that was done last, and how it went."""

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon.db.tables.public import Round

LEAD = "lead"  # not a round: when the leader began to lead, and who it is

BEGIN = text("""
    insert into rounds (name, began_at, said) values (:name, now(), :said)
    on conflict (name) do update set began_at = now(), said = coalesce(excluded.said, rounds.said)
""")


def record_start(session: Session, name: str, said: str | None = None) -> None:
    """Write down that a round begins."""
    session.execute(BEGIN, {"name": name, "said": said})


def record_success(session: Session, name: str, said: str | None = None) -> None:
    """Write down that it is done, and what there is to say of it."""
    session.execute(
        text("update rounds set succeeded_at = now(), said = :said where name = :name"), {"name": name, "said": said}
    )


def record_failure(session: Session, name: str, why: str) -> None:
    """Write down that it failed, and why."""
    session.execute(
        text("update rounds set failed_at = now(), said = :why where name = :name"), {"name": name, "why": why}
    )


def entries(session: Session) -> dict[str, Round]:
    """Every round by its name."""
    return {each.name: each for each in session.scalars(select(Round))}

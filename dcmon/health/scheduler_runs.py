"""Scheduler runs: when each periodic work of the leading scheduler last started, succeeded and failed."""

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon.db.tables.public import SchedulerRun

LEAD = "lead"  # Not a work: since when the leader leads, with its host and pid as the message.

UPSERT_START = text("""
    insert into scheduler_runs (name, started_at, message) values (:name, now(), :message)
    on conflict (name) do update set started_at = now(), message = coalesce(excluded.message, scheduler_runs.message)
""")
UPDATE_SUCCESS = text("update scheduler_runs set succeeded_at = now(), message = :message where name = :name")
UPDATE_FAILURE = text("update scheduler_runs set failed_at = now(), message = :message where name = :name")


def record_start(session: Session, name: str, message: str | None = None) -> None:
    """Record that a work starts. Without a message the one of the last run stays."""
    session.execute(UPSERT_START, {"name": name, "message": message})


def record_success(session: Session, name: str, message: str | None = None) -> None:
    """Record that a work succeeded, with its result as the message."""
    session.execute(UPDATE_SUCCESS, {"name": name, "message": message})


def record_failure(session: Session, name: str, reason: str) -> None:
    """Record that a work failed, and why."""
    session.execute(UPDATE_FAILURE, {"name": name, "message": reason})


def entries(session: Session) -> dict[str, SchedulerRun]:
    """Return the last run of each work, by the work's name."""
    return {run.name: run for run in session.scalars(select(SchedulerRun))}

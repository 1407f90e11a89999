"""Scheduler runs: when each job of the leading scheduler last started, succeeded and failed."""

from enum import StrEnum

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon.db.tables.public import SchedulerRun


class ScheduledJobName(StrEnum):
    """The names under which the runs of the leader's jobs are recorded.

    PostgreSQL stores them, so a changed name needs a migration.
    """

    LEAD = "lead"  # not a job: since when the leader leads, with its host and pid as the message
    CLOCK = "clock"
    SCAN = "scan"
    PRUNE = "prune"
    COMPACT_READ_RANGES = "compact read ranges"
    FOLD_LEDGER = "fold ledger"
    CHECK_HEALTH = "check health"
    PING = "ping"


UPSERT_START = text("""
    insert into scheduler_runs (name, started_at, message) values (:name, now(), :message)
    on conflict (name) do update set started_at = now(), message = coalesce(excluded.message, scheduler_runs.message)
""")
UPDATE_SUCCESS = text("update scheduler_runs set succeeded_at = now(), message = :message where name = :name")
UPDATE_FAILURE = text("update scheduler_runs set failed_at = now(), message = :message where name = :name")


def record_start(session: Session, name: str, message: str | None = None) -> None:
    """Record that a job starts. Without a message, the message of the last run stays."""
    session.execute(UPSERT_START, {"name": name, "message": message})


def record_success(session: Session, name: str, message: str | None = None) -> None:
    """Record that a job succeeded, with its result as the message."""
    session.execute(UPDATE_SUCCESS, {"name": name, "message": message})


def record_failure(session: Session, name: str, reason: str) -> None:
    """Record that a job failed, with the reason as the message."""
    session.execute(UPDATE_FAILURE, {"name": name, "message": reason})


def entries(session: Session) -> dict[str, SchedulerRun]:
    """Return the last run of each job, by the job's name."""
    return {run.name: run for run in session.scalars(select(SchedulerRun))}

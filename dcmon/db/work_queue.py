"""The work queue in "public": the organizations that may have work.

Because of the queue, workers do not look into organizations without work. A row is only a hint: the work itself is
stored in the organization's schema, and the scheduler finds it there if a hint is lost.
"""

from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from dcmon.db import dry_runs


class Work(IntEnum):
    """The kinds of work that workers wait for."""

    evaluate = 0
    notify = 1


class Claim(NamedTuple):
    """A claimed organization.

    `seq` grows with each hint, so that `release` notices newer work.
    """

    org_id: int
    seq: int


# Skip locked rows: another worker is claiming that organization now, so this worker takes the next one and never waits.
NEXT_DUE = text("""
    select org_id, seq from work_queue
     where kind = :kind and due_at <= now()
     order by served_at limit 1 for update skip locked
""")
# A crash of the server may lose the hint: the scheduler finds the work then. So no commit waits for the disk.
ENQUEUE = text("""
    with quick as (select set_config('synchronous_commit', 'off', true))
    insert into work_queue (org_id, kind, due_at) select :org, :kind, coalesce(:at, now()) from quick
    on conflict (org_id, kind) do update
       set due_at = least(work_queue.due_at, excluded.due_at), seq = work_queue.seq + 1
""")
ENQUEUE_NOW = text("""
    with quick as (select set_config('synchronous_commit', 'off', true))
    insert into public.work_queue (org_id, kind, due_at) select :org, :kind, now() from quick
    on conflict (org_id, kind) do update
       set due_at = least(work_queue.due_at, excluded.due_at), seq = work_queue.seq + 1
""")
# The number `seq` is compared, so that work that was queued after the claim is not lost.
RELEASE = text("""
    with quick as (select set_config('synchronous_commit', 'off', true))
    update work_queue set due_at = :at, served_at = now() from quick where org_id = :org and kind = :kind and seq = :seq
""")


def enqueue(session: Session, org_id: int, work: Work, at: datetime | None = None) -> None:
    """Queue work of an organization, due now or at `at`.

    Call it after the commit of the work and in another transaction, because a transaction never writes two schemas.
    """
    session.execute(ENQUEUE, {"org": org_id, "kind": int(work), "at": at})


def enqueue_now(engine: Engine, org_id: int, work: Work) -> None:
    """Queue work that is due now, in one statement that is its own transaction.

    This runs after each request that stores rows, so it takes only one round trip. In a dry run it does nothing.
    """
    if dry_runs.is_dry(engine):  # a statement that is its own transaction can't be rolled back
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(ENQUEUE_NOW, {"org": org_id, "kind": int(work)})


def claim(session: Session, work: Work, hold: timedelta) -> Claim | None:
    """Claim the organization with due work that was served longest ago.

    For the time `hold`, other workers do not claim it. None when no organization has due work.
    """
    row = session.execute(NEXT_DUE, {"kind": int(work)}).one_or_none()
    if row is None:
        return None
    session.execute(
        text("update work_queue set served_at = now(), due_at = now() + :hold where org_id = :org and kind = :kind"),
        {"org": row.org_id, "kind": int(work), "hold": hold},
    )
    return Claim(row.org_id, row.seq)


def release(session: Session, org_id: int, work: Work, seq: int, next_at: datetime | None) -> None:
    """Release a claimed organization, and set when it is due again.

    `next_at` None: it is due when it is queued. Nothing changes if it was queued after the claim with this `seq`: it
    stays due.
    """
    session.execute(RELEASE, {"org": org_id, "kind": int(work), "seq": seq, "at": next_at})

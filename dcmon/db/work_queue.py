"""Hints in "public" that say which organization has work, so that idle ones cost nothing; the truth is its own."""

from datetime import datetime, timedelta
from enum import IntEnum

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session


class Work(IntEnum):
    """What there may be to do."""

    evaluate = 0
    notify = 1


LEAST_SERVED = text("""
    select org_id, seq from work_queue
     where kind = :kind and due_at <= now()
     order by served_at limit 1 for update skip locked
""")
RING = text("""
    insert into work_queue (org_id, kind, due_at) values (:org, :kind, coalesce(:at, now()))
    on conflict (org_id, kind) do update
       set due_at = least(work_queue.due_at, excluded.due_at), seq = work_queue.seq + 1
""")
RING_NOW = text("""
    with quick as (select set_config('synchronous_commit', 'off', true))
    insert into public.work_queue (org_id, kind, due_at) select :org, :kind, now() from quick
    on conflict (org_id, kind) do update
       set due_at = least(work_queue.due_at, excluded.due_at), seq = work_queue.seq + 1
""")
REST = text("""
    update work_queue set due_at = :at, served_at = now() where org_id = :org and kind = :kind and seq = :seq
""")


def ring(session: Session, org_id: int, work: Work, at: datetime | None = None) -> None:
    """Say that an organization has work now, or from `at` on. Ring after the commit of the work, never in it."""
    session.execute(text("set local synchronous_commit = off"))
    session.execute(RING, {"org": org_id, "kind": int(work), "at": at})


def ring_now(engine: Engine, org_id: int, work: Work) -> None:
    """`ring` in a transaction of its own that is one statement: after each request that stores rows."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(RING_NOW, {"org": org_id, "kind": int(work)})


def pick(session: Session, work: Work, hold: timedelta) -> tuple[int, int] | None:
    """The organization served longest ago that has work: (its id, seq). Others pass it by for `hold`."""
    found = session.execute(LEAST_SERVED, {"kind": int(work)}).one_or_none()
    if found is None:
        return None
    session.execute(
        text("update work_queue set served_at = now(), due_at = now() + :hold where org_id = :org and kind = :kind"),
        {"org": found.org_id, "kind": int(work), "hold": hold},
    )
    return found.org_id, found.seq


def rest(session: Session, org_id: int, work: Work, seq: int, next_at: datetime | None) -> None:
    """Nothing more to do until `next_at` (None: until it is rung); void when it was rung since `seq`."""
    session.execute(text("set local synchronous_commit = off"))
    session.execute(REST, {"org": org_id, "kind": int(work), "seq": seq, "at": next_at})

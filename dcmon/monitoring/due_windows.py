"""The queue of due windows.

Each row of the table is a window to evaluate; a lease on the row is the claim of one worker.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import Boolean, DateTime, Integer

from dcmon.db import locks, sql
from dcmon.db.locks import LockSpace
from dcmon.monitoring.liveness import IS_LIVE
from dcmon.windows import Window

GRACE = timedelta(minutes=1)  # wait after a window's end and the model's lateness, for rows that are being stored

SQL = sql.read(__name__)
FRAGMENTS = {"grace": f"{GRACE.total_seconds()} seconds", "is_live": IS_LIVE}
# Fragments for queries over `due_windows d`, `versions v` and `models m`. BACKFILL_JOIN and READY_AT have the parameter
# :backfill_pause: when no row has come for so long, the backfill is over. IS_CLAIMABLE has the parameter
# :last_window_pause: when no row of a last window of loaded history has come for so long, the window is complete.
IS_COMPLETE = SQL.statement("is_complete", **FRAGMENTS)
IS_CLAIMABLE = SQL.statement("is_claimable", **FRAGMENTS)
BACKFILL_JOIN = SQL.statement("backfill_join")
READY_AT = SQL.statement("ready_at")
# Whether an organization has windows to evaluate, now or later. It is a hint, and reads no index in full.
HAS_DUE_WINDOWS = f"{SQL.statement('has_touched')} or exists (select 1 from due_windows)"

CLAIM = text(SQL.statement("claim", **FRAGMENTS))
NEXT_CLAIMABLE_AT = text(SQL.statement("next_claimable_at", **FRAGMENTS))
HAS_CLAIMABLE = text(SQL.statement("has_claimable", **FRAGMENTS))
ADD = text(SQL.statement("add")).bindparams(
    bindparam("versions", type_=ARRAY(Integer)),
    bindparam("starts", type_=ARRAY(DateTime(timezone=True))),
    bindparam("ends", type_=ARRAY(DateTime(timezone=True))),
    bindparam("backfills", type_=ARRAY(Boolean)),
)
EXTEND_LEASES = text(SQL.statement("extend_leases"))
FINISH = text(SQL.statement("finish"))
HOLD = text(SQL.statement("hold", lock_of_name=locks.call_by_name(LockSpace.RESULTS, "name")))
RELEASE = text(SQL.statement("release"))
RETRY_LATER = text(SQL.statement("retry_later"))


class VersionWindow(NamedTuple):
    """A window of a version."""

    version_id: int
    window: Window


@dataclass(frozen=True)
class Claim:
    """A window of a version that this worker may evaluate until the lease ends.

    `attempts`: how often the window was claimed, with this claim. `is_flow`: True if only monitors on the flow of rows
    are evaluated.
    """

    version_id: int
    window: Window
    touched_at: datetime
    attempts: int
    token: uuid.UUID
    is_flow: bool = False


def add(
    session: Session,
    windows: Iterable[VersionWindow],
    wait: timedelta = timedelta(),
    *,
    is_backfill: bool = False,
    is_flow: bool = False,
    is_reevaluation: bool = False,
) -> None:
    """Make windows of versions due, now or after a wait.

    A window that is due already is touched again. `is_backfill`: its rows came long after its end. `is_flow`: only for
    the monitors on the flow of rows. `is_reevaluation`: only because of another reference.
    """
    # Sorted: all transactions that add windows lock the rows in the same order, so that they can't deadlock.
    ordered = sorted(windows)
    if ordered:
        session.execute(
            ADD,
            {
                "versions": [version_id for version_id, _ in ordered],
                "wait": wait,
                "is_flow": is_flow,
                "is_reevaluation": is_reevaluation,
                "starts": [window.start for _, window in ordered],
                "ends": [window.end for _, window in ordered],
                "backfills": [is_backfill] * len(ordered),
            },
        )


def claim(
    session: Session,
    limit: int,
    lease: timedelta,
    backfill_pause: timedelta = timedelta(),
    last_window_pause: timedelta | None = None,
) -> list[Claim]:
    """Claim complete windows, and return them in order of time.

    Recent windows are claimed first, then history from its beginning; windows of a new reference come last in both
    groups, the newest first. `backfill_pause`: a backfill is over when none of
    its rows has come for so long. `last_window_pause`: a window of loaded history that no newer sample follows is
    complete when none of its rows has come for so long; None: it is left out.
    """
    token = uuid.uuid4()
    parameters = {
        "limit": limit, "lease": lease, "token": token,
        "backfill_pause": backfill_pause, "last_window_pause": last_window_pause,
    }  # fmt: skip
    claims = [
        Claim(
            row.version_id, Window(row.window_start, row.window_end), row.touched_at, row.attempts, token, row.is_flow
        )
        for row in session.execute(CLAIM, parameters)
    ]
    return sorted(claims, key=lambda claim: (claim.window.end, claim.version_id))


def extend_leases(session: Session, claims: Sequence[Claim], lease: timedelta) -> None:
    """Extend the leases of all claims that were made together with the first of these."""
    if claims:
        session.execute(EXTEND_LEASES, {"lease": lease, "token": claims[0].token})


def finish(session: Session, claim: Claim, again_at: datetime | None) -> None:
    """End a claim whose window was evaluated.

    `again_at`: when the window is due again; None: only when rows touch it. A window that was touched after the claim
    is due again at once.
    """
    parameters = {**_claimed_row(claim), "touched": claim.touched_at, "again": again_at}
    session.execute(FINISH, parameters)


def hold(session: Session, claim: Claim, result_names: Sequence[str] = ()) -> bool:
    """Return True if the claim is still this worker's; it stays so until the commit.

    This locks the row, and then results by name (results.lock_names), in one round trip. A worker that hung until its
    lease ended, so that another worker claimed the window, must not store the results of the rows that it read before.
    """
    parameters = {**_claimed_row(claim), "names": list(result_names)}
    return session.execute(HOLD, parameters).first() is not None


def release(session: Session, claim: Claim) -> None:
    """Release a claim whose evaluation did not start: the attempt does not count."""
    session.execute(RELEASE, _claimed_row(claim))


def retry_later(session: Session, claim: Claim, pause: timedelta) -> None:
    """Release a claim whose evaluation failed: the attempt counts, and a pause follows."""
    session.execute(RETRY_LATER, {"pause": pause, **_claimed_row(claim)})


def _claimed_row(claim: Claim) -> dict[str, Any]:
    window = claim.window
    return {"version": claim.version_id, "start": window.start, "end": window.end, "token": claim.token}


def next_claimable_at(
    session: Session, backfill_pause: timedelta = timedelta(), last_window_pause: timedelta | None = None
) -> datetime | None:
    """Return when the organization has work again; None if it has none.

    Work is a window to claim, or touched quarter hours that were not expanded yet. The pauses are those of `claim`.
    """
    pauses = {"backfill_pause": backfill_pause, "last_window_pause": last_window_pause}
    at: datetime | None = session.scalar(NEXT_CLAIMABLE_AT, pauses)
    return at


def has_claimable(session: Session) -> bool:
    """Return True if a complete window is due now or within two seconds."""
    return bool(session.scalar(HAS_CLAIMABLE))

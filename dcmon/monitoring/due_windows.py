"""Due windows: the rows are the queue, a lease is the claim. Touched quarter hours are expanded to windows here."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import Boolean, DateTime, Integer

from dcmon.checks.catalogue import DATA_FLOW
from dcmon.db.tables.org import Check, Model, Monitor, Version
from dcmon.monitoring import empty_windows as quiet
from dcmon.monitoring.flow_metrics import IS_LIVE, MAX_LIVE_AGE
from dcmon.tenancy import retention
from dcmon.windows import ComparedWith, Comparison, Frequency, Window, WindowGrid, time_zone

EXPANDED_AT_ONCE = 5_000
GRACE = timedelta(minutes=1)

OVER = f"d.window_end + m.lateness + interval '{GRACE.total_seconds()} seconds' <= now()"
NO_ROWS = """
    not exists (select 1 from quarter_hours q
                 where q.version_id = d.version_id and q.at >= d.window_start and q.at < d.window_end and q.n > 0)
"""
# What was deleted out of a window is gone at once: an emptied one waits for nothing. One to which no row came is over
# when its time is.
EMPTIED = f"({NO_ROWS} and (not d.is_flow or {OVER}))"
# A window is complete when newer samples came, or, for a live version, when its time is over.
COMPLETE = f"""
    (d.window_end + m.lateness <= v.watermark
     or ({IS_LIVE} and {OVER})
     or {EMPTIED})
"""
MINE = " where version_id = :version and window_start = :start and window_end = :end and token = :token"
# What a backfill fills is evaluated when the backfill pauses, or has gone on for long.
BACKFILLED = """
    left join (select version_id, max(touched_at) as touched_at from due_windows where is_backfill group by version_id)
           filling on d.is_backfill and filling.version_id = d.version_id
"""
READY_AT = """
    case when d.is_backfill
         then greatest(d.due_at, least(filling.touched_at + cast(:quiet as interval),
                                       d.waits_since + 2 * cast(:quiet as interval)))
         else d.due_at end
"""
# What can be claimed now, by whoever comes; :quiet is the pause that ends a backfill.
CLAIMABLE = (
    f"d.due_at <= now() and (d.lease_until is null or d.lease_until < now()) and {COMPLETE} and {READY_AT} <= now()"
)
# Today is never starved by the past: its windows come first, the newest before all, those without a result before those
# with one. History comes from its beginning: so its alerts open in order.
RECENT = "d.window_end > least(now(), v.watermark) - greatest(interval '2 days', 2 * (d.window_end - d.window_start))"
CLAIM = text(f"""
    update due_windows as taken
       set lease_until = now() + :lease, token = :token, attempts = taken.attempts + 1
      from (select d.version_id, d.window_start, d.window_end
              from due_windows d join versions v on v.id = d.version_id join models m on m.id = v.model_id {BACKFILLED}
             where {CLAIMABLE}
             order by {RECENT} desc, d.is_first desc,
                      extract(epoch from d.window_end) * case when {RECENT} then -1 else 1 end, d.version_id
             limit :limit for update of d skip locked) found
     where (taken.version_id, taken.window_start, taken.window_end)
         = (found.version_id, found.window_start, found.window_end)
    returning taken.version_id, taken.window_start, taken.window_end, taken.touched_at, taken.attempts, taken.is_flow
""")
NEXT = text(f"""
    select min(greatest({READY_AT}, coalesce(d.lease_until, d.due_at),
               case when d.window_end + m.lateness <= v.watermark or {EMPTIED} then d.due_at
                    else d.window_end + m.lateness + interval '{GRACE.total_seconds()} seconds' end))
      from due_windows d join versions v on v.id = d.version_id join models m on m.id = v.model_id {BACKFILLED}
     where d.window_end + m.lateness <= v.watermark
        or {IS_LIVE}
        or {NO_ROWS}
""")
# The version is locked before its quarter hours, as its deletion does: the other way about, the two would deadlock.
TOUCHED = text("""
    update quarter_hours q set is_touched = false
      from (select q.version_id, q.at from quarter_hours q join versions v on v.id = q.version_id
             where q.is_touched order by q.version_id, q.at
             limit :limit for key share of v skip locked for update of q skip locked) t
     where (q.version_id, q.at) = (t.version_id, t.at) returning q.version_id, q.at, q.logged_at
""")
WITH_ROWS = text("""
    select starts, ends from unnest(:starts, :ends) t(starts, ends)
     where exists (select 1 from quarter_hours q
                    where q.version_id = :version and q.at >= t.starts and q.at < t.ends and q.n > 0)
""").bindparams(
    bindparam("starts", type_=ARRAY(DateTime(timezone=True))), bindparam("ends", type_=ARRAY(DateTime(timezone=True)))
)
ADD = text("""
    insert into due_windows as d (version_id, window_start, window_end, due_at, touched_at, is_backfill, is_flow,
                                  is_first)
    select version_id, window_start, window_end, now() + :wait, clock_timestamp(), is_backfill, :is_flow,
           not exists (select 1 from results r
                        where r.version_id = t.version_id and r.window_end = t.window_end
                          and r.window_start = t.window_start)
      from unnest(:versions, :starts, :ends, :backfills) t(version_id, window_start, window_end, is_backfill)
    on conflict (version_id, window_start, window_end) do update
       set due_at = least(d.due_at, excluded.due_at), touched_at = excluded.touched_at,
           is_backfill = d.is_backfill or excluded.is_backfill, is_flow = d.is_flow and excluded.is_flow
""").bindparams(
    bindparam("versions", type_=ARRAY(Integer)),
    bindparam("starts", type_=ARRAY(DateTime(timezone=True))),
    bindparam("ends", type_=ARRAY(DateTime(timezone=True))),
    bindparam("backfills", type_=ARRAY(Boolean)),
)


VersionWindow = tuple[int, Window]  # a version and a window of it


@dataclass(frozen=True)
class Claim:
    """A window of a version that this worker may evaluate until the lease ends.

    `is_flow`: for the monitors on the flow of rows alone.
    """

    version_id: int
    window: Window
    touched_at: datetime
    attempts: int
    token: uuid.UUID
    is_flow: bool = False


def expand(session: Session, kept: timedelta | None = None) -> int:
    """Turn touched quarter hours into due windows; returns how many windows are due by it.

    `kept`: the organization's retention. A window that reaches back past it has lost rows, or will: it is left alone.
    """
    touched = session.execute(TOUCHED, {"limit": EXPANDED_AT_ONCE}).all()
    due, late = set[VersionWindow](), set[VersionWindow]()
    for version_id in {row.version_id for row in touched}:
        model, shapes = version_grids(session, version_id)
        local = time_zone(model.time_zone)
        first = retained_from(model, kept, datetime.now(UTC))
        mine, comparing = [row for row in touched if row.version_id == version_id], _comparing(session, model)
        compared = {window for row in mine for each in comparing for window in each.dependent_windows(row.at, local)}
        with_rows = _with_rows(session, version_id, compared)
        for row in mine:
            found = {window for shape in shapes for window in shape.containing(row.at, local)}
            # Those compared with what was touched; one without rows says nothing, whatever it would be compared with.
            found |= with_rows.intersection(
                window for each in comparing for window in each.dependent_windows(row.at, local)
            )
            found = {window for window in found if window.start >= first}
            due |= {(version_id, window) for window in found}
            late |= {(version_id, each) for each in found if row.logged_at > each.end + model.lateness + MAX_LIVE_AGE}
    add(session, due - late)
    add(session, late, is_backfill=True)
    flow, filled = _flow(session, touched, kept) - due, {version_id for version_id, _ in late}
    add(session, {each for each in flow if each[0] not in filled}, is_flow=True)
    add(session, {each for each in flow if each[0] in filled}, is_flow=True, is_backfill=True)
    return len(due) + len(flow)


def _with_rows(session: Session, version_id: int, windows: Collection[Window]) -> set[Window]:
    """Those of the windows in which the version has rows."""
    if not windows:
        return set()
    ordered = sorted(windows)
    starts, ends = [window.start for window in ordered], [window.end for window in ordered]
    found = session.execute(WITH_ROWS, {"version": version_id, "starts": starts, "ends": ends})
    return {Window(row.starts, row.ends) for row in found}


def _flow(session: Session, touched: Sequence[Any], kept: timedelta | None) -> set[VersionWindow]:
    """The windows that only monitors on the flow look at: of receipts, and those without a row beside what came."""
    received, shapes, due = quiet.take_touched_receipts(session), quiet.flow_grids(session), set[VersionWindow]()
    for version_id in {row.version_id for row in touched} | received.keys() if shapes else ():
        version = session.get_one(Version, version_id)
        of = shapes.get(version.model_id, set())
        model = session.get_one(Model, version.model_id)
        local, first = time_zone(model.time_zone), retained_from(model, kept, datetime.now(UTC))
        found = {
            window for at in received.get(version_id, ()) for shape in of for window in shape.containing(at, local)
        }
        if quarters := {row.at for row in touched if row.version_id == version_id}:
            found |= quiet.windows_around(session, version, quarters, of)
        due |= {(version_id, window) for window in found if window.start >= first}
    return due


def retained_from(model: Model, kept: timedelta | None, now: datetime) -> datetime:
    """When the windows begin that retention leaves whole: earlier ones are left alone. `kept`: the organization's."""
    return retention.begins(retention.effective(model.retention, kept), now) or datetime.min.replace(tzinfo=UTC)


def add(
    session: Session,
    due: Iterable[VersionWindow],
    wait: timedelta = timedelta(),
    *,
    is_backfill: bool = False,
    is_flow: bool = False,
) -> None:
    """Make windows of versions due, now or after a wait; one that is due already is due again from now.

    `is_flow`: only for the monitors on the flow of rows.
    """
    ordered = sorted(due)
    if ordered:
        session.execute(
            ADD,
            {
                "versions": [version_id for version_id, _ in ordered],
                "wait": wait,
                "is_flow": is_flow,
                "starts": [window.start for _, window in ordered],
                "ends": [window.end for _, window in ordered],
                "backfills": [is_backfill] * len(ordered),
            },
        )


def claim(session: Session, limit: int, lease: timedelta, quiet: timedelta = timedelta()) -> list[Claim]:
    """Claim complete windows: recent ones first, then history from its beginning; given back in order of time.

    `quiet` is the pause that ends a backfill.
    """
    token = uuid.uuid4()
    found = session.execute(CLAIM, {"limit": limit, "lease": lease, "token": token, "quiet": quiet})
    claims = [
        Claim(
            row.version_id, Window(row.window_start, row.window_end), row.touched_at, row.attempts, token, row.is_flow
        )
        for row in found
    ]
    return sorted(claims, key=lambda claim: (claim.window.end, claim.version_id))


def extend_leases(session: Session, claims: Sequence[Claim], lease: timedelta) -> None:
    """Hold on to claims that wait for their turn."""
    if claims:
        session.execute(
            text("update due_windows set lease_until = now() + :lease where token = :token"),
            {"lease": lease, "token": claims[0].token},
        )


def finish(session: Session, claim: Claim, again_at: datetime | None) -> None:
    """Let a claim go: done, or to be looked at again later; at once when it was touched meanwhile."""
    parameters = {**_place(claim), "touched": claim.touched_at, "again": again_at}
    if again_at is None:
        session.execute(text(f"delete from due_windows{MINE} and touched_at = :touched"), parameters)
    session.execute(
        text(
            "update due_windows set lease_until = null, token = null, attempts = 0, waits_since = now(),"
            " is_first = false, is_backfill = is_backfill and touched_at <> :touched,"
            f" due_at = case when touched_at = :touched then coalesce(:again, due_at) else now() end{MINE}"
        ),
        parameters,
    )


def is_held(session: Session, claim: Claim) -> bool:
    """Whether a claim is still this worker's; it stays so until the transaction ends.

    One that was thought dead and had its window taken over must not store what it read long ago.
    """
    return bool(session.scalar(text(f"select true from due_windows{MINE} for update"), _place(claim)))


def release(session: Session, claim: Claim) -> None:
    """Let a claim go that was not begun, as if it had not been taken."""
    session.execute(
        text(f"update due_windows set lease_until = null, token = null, attempts = attempts - 1{MINE}"), _place(claim)
    )


def _place(claim: Claim) -> dict[str, Any]:
    window = claim.window
    return {"version": claim.version_id, "start": window.start, "end": window.end, "token": claim.token}


def retry_later(session: Session, claim: Claim, pause: timedelta) -> None:
    """Let a claim go that failed: it is tried again after a pause, and its attempts are remembered."""
    session.execute(
        text(f"update due_windows set lease_until = null, token = null, due_at = now() + :pause{MINE}"),
        {"pause": pause, **_place(claim)},
    )


def next_claimable_at(session: Session, quiet: timedelta = timedelta()) -> datetime | None:
    """When the next window can be claimed; None when none waits."""
    found: datetime | None = session.scalar(NEXT, {"quiet": quiet})
    return found


def _comparing(session: Session, model: Model) -> set[Comparison]:
    """How the model's monitors compare windows with earlier ones."""
    found = session.execute(
        select(Monitor.frequency, Monitor.aggregation_window, Monitor.compared_with)
        .join(Check, Check.id == Monitor.check_id)
        .where(Check.model_id == model.id, Check.needs_reference, Monitor.compared_with != ComparedWith.reference)
        .distinct()
    )
    return {
        Comparison(WindowGrid(Frequency(frequency), units), ComparedWith(compared))
        for frequency, units, compared in found
    }


def version_grids(
    session: Session, version_id: int, *, needs_reference: bool = False, reads_rows: bool = False
) -> tuple[Model, set[WindowGrid]]:
    """The model of a version, and the shapes that its monitors' windows have.

    Only of those that need a reference, or that read rows.
    """
    version = session.get_one(Version, version_id)
    reads = (Check.needs_reference & (Monitor.compared_with == ComparedWith.reference)) | (not needs_reference)
    reads &= (Check.class_name != DATA_FLOW.class_name) | (not reads_rows)
    found = session.execute(
        select(Monitor.frequency, Monitor.aggregation_window)
        .join(Check, Check.id == Monitor.check_id)
        .where(Check.model_id == version.model_id, reads)
        .distinct()
    )
    shapes = {WindowGrid(Frequency(frequency), units) for frequency, units in found}
    return session.get_one(Model, version.model_id), shapes


# Whether an organization has windows to be evaluated, now or later: a hint, for which no index need be read in full.
HAS_DUE_WINDOWS = """
    exists (select 1 from quarter_hours where is_touched) or exists (select 1 from receipts where is_touched)
    or exists (select 1 from due_windows)
"""


def has_claimable(session: Session) -> bool:
    """Whether a complete window waits that is due within a moment."""
    waits = text(
        "select exists (select 1 from due_windows d join versions v on v.id = d.version_id"
        f" join models m on m.id = v.model_id where d.due_at <= now() + interval '2 seconds' and {COMPLETE})"
    )
    return bool(session.scalar(waits))

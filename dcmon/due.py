"""Due windows: the rows are the queue, a lease is the claim. Touched quarter hours are expanded to windows here."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import DateTime, Integer

from dcmon import retention
from dcmon.comparison import Comparing, With
from dcmon.tables.org import Check, Model, Monitor, Version
from dcmon.windows import Frequency, Shape, Window, floor, step, zone

EXPANDED_AT_ONCE = 5_000
WINDOWS_OF_A_NEW_MONITOR = 14
YOUNG = timedelta(hours=1)  # a version is live while its newest sample was this young when it was logged
SILENT_WINDOWS = 3  # so many windows without a sample are judged by the clock, then the version is stale
GRACE = timedelta(minutes=1)
SETTLED = timedelta(seconds=30)  # a reference comes in several requests: its windows wait for the last

# What was deleted out of a window is gone at once: an emptied one waits for nothing.
EMPTIED = """
    not exists (select 1 from quarter_hours q
                 where q.version_id = d.version_id and q.at >= d.window_start and q.at < d.window_end and q.n > 0)
"""
# A window is complete when newer samples came, or, for a live version, when its time is over.
COMPLETE = f"""
    (d.window_end + m.lateness <= v.watermark
     or (v.newest_logged_at - v.watermark < interval '{YOUNG.total_seconds()} seconds'
         and d.window_end + m.lateness + interval '{GRACE.total_seconds()} seconds' <= now())
     or {EMPTIED})
"""
MINE = " where version_id = :version and window_start = :start and window_end = :end and token = :token"
CLAIM = text(f"""
    update due_windows as taken
       set lease_until = now() + :lease, token = :token, attempts = taken.attempts + 1
      from (select d.version_id, d.window_start, d.window_end
              from due_windows d join versions v on v.id = d.version_id join models m on m.id = v.model_id
             where d.due_at <= now() and (d.lease_until is null or d.lease_until < now()) and {COMPLETE}
             order by d.window_end > now() - interval '2 days' desc, d.window_end, d.version_id
             limit :limit for update of d skip locked) found
     where (taken.version_id, taken.window_start, taken.window_end)
         = (found.version_id, found.window_start, found.window_end)
    returning taken.version_id, taken.window_start, taken.window_end, taken.touched_at, taken.attempts
""")
NEXT = text(f"""
    select min(greatest(d.due_at, coalesce(d.lease_until, d.due_at),
               case when d.window_end + m.lateness <= v.watermark or {EMPTIED} then d.due_at
                    else d.window_end + m.lateness + interval '{GRACE.total_seconds()} seconds' end))
      from due_windows d join versions v on v.id = d.version_id join models m on m.id = v.model_id
     where d.window_end + m.lateness <= v.watermark
        or v.newest_logged_at - v.watermark < interval '{YOUNG.total_seconds()} seconds'
        or {EMPTIED}
""")
# The version is locked before its quarter hours, as its deletion does: the other way about, the two would deadlock.
TOUCHED = text("""
    update quarter_hours q set is_touched = false
      from (select q.version_id, q.at from quarter_hours q join versions v on v.id = q.version_id
             where q.is_touched order by q.version_id, q.at
             limit :limit for key share of v skip locked for update of q skip locked) t
     where (q.version_id, q.at) = (t.version_id, t.at) returning q.version_id, q.at
""")
ADD = text("""
    insert into due_windows as d (version_id, window_start, window_end, due_at, touched_at)
    select version_id, window_start, window_end, now() + :wait, clock_timestamp()
      from unnest(:versions, :starts, :ends) t(version_id, window_start, window_end)
    on conflict (version_id, window_start, window_end) do update
       set due_at = least(d.due_at, excluded.due_at), touched_at = excluded.touched_at
""").bindparams(
    bindparam("versions", type_=ARRAY(Integer)),
    bindparam("starts", type_=ARRAY(DateTime(timezone=True))),
    bindparam("ends", type_=ARRAY(DateTime(timezone=True))),
)


@dataclass(frozen=True)
class Claim:
    """A window of a version that this worker may evaluate until the lease ends."""

    version_id: int
    window: Window
    touched_at: datetime
    attempts: int
    token: uuid.UUID


def expand(session: Session, kept: timedelta | None = None) -> int:
    """Turn touched quarter hours into due windows; returns how many windows are due by it.

    `kept`: the organization's retention. A window that reaches back past it has lost rows, or will: it is left alone.
    """
    touched = session.execute(TOUCHED, {"limit": EXPANDED_AT_ONCE}).all()
    due: set[tuple[int, Window]] = set()
    for version_id in {row.version_id for row in touched}:
        model, shapes = _shapes(session, version_id)
        local = zone(model.time_zone)
        begins = _begins(model, kept, datetime.now(UTC))
        comparing = _comparing(session, model)
        watermark = session.get_one(Version, version_id).watermark or datetime.min.replace(tzinfo=UTC)
        for row in touched:
            if row.version_id == version_id:
                found = (window for shape in shapes for window in shape.containing(row.at, local))
                due.update((version_id, window) for window in found if window.start >= begins)
                # Those compared with what was touched; one beyond the newest sample comes with its own rows.
                later = (window for each in comparing for window in each.later(row.at, local))
                due.update((version_id, window) for window in later if begins <= window.start <= watermark)
    add(session, due)
    return len(due)


def _begins(model: Model, kept: timedelta | None, now: datetime) -> datetime:
    return retention.begins(retention.effective(model.retention, kept), now) or datetime.min.replace(tzinfo=UTC)


def add(session: Session, due: Iterable[tuple[int, Window]], wait: timedelta = timedelta()) -> None:
    """Make windows of versions due, now or after a wait; one that is due already is due again from now."""
    ordered = sorted(due)
    if ordered:
        session.execute(
            ADD,
            {
                "versions": [version_id for version_id, _ in ordered],
                "wait": wait,
                "starts": [window.start for _, window in ordered],
                "ends": [window.end for _, window in ordered],
            },
        )


def claim(session: Session, limit: int, lease: timedelta) -> list[Claim]:
    """Claim complete windows: those of the last two days first, then history from its beginning."""
    token = uuid.uuid4()
    found = session.execute(CLAIM, {"limit": limit, "lease": lease, "token": token})
    claims = [
        Claim(row.version_id, Window(row.window_start, row.window_end), row.touched_at, row.attempts, token)
        for row in found
    ]
    return sorted(claims, key=lambda claim: (claim.window.end, claim.version_id))


def renew(session: Session, claims: Sequence[Claim], lease: timedelta) -> None:
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
            "update due_windows set lease_until = null, token = null, attempts = 0,"
            f" due_at = case when touched_at = :touched then coalesce(:again, due_at) else now() end{MINE}"
        ),
        parameters,
    )


def is_held(session: Session, claim: Claim) -> bool:
    """Whether a claim is still this worker's; it stays so until the transaction ends.

    One that was thought dead and had its window taken over must not store what it read long ago.
    """
    return bool(session.scalar(text(f"select true from due_windows{MINE} for update"), _place(claim)))


def give_back(session: Session, claim: Claim) -> None:
    """Let a claim go that was not begun, as if it had not been taken."""
    session.execute(
        text(f"update due_windows set lease_until = null, token = null, attempts = attempts - 1{MINE}"), _place(claim)
    )


def _place(claim: Claim) -> dict[str, Any]:
    window = claim.window
    return {"version": claim.version_id, "start": window.start, "end": window.end, "token": claim.token}


def postpone(session: Session, claim: Claim, pause: timedelta) -> None:
    """Let a claim go that failed: it is tried again after a pause, and its attempts are remembered."""
    session.execute(
        text(f"update due_windows set lease_until = null, token = null, due_at = now() + :pause{MINE}"),
        {"pause": pause, **_place(claim)},
    )


def next_at(session: Session) -> datetime | None:
    """When the next window can be claimed; None when none waits."""
    found: datetime | None = session.scalar(NEXT)
    return found


def make_due_for_monitor(session: Session, monitor_id: int, now: datetime) -> int:
    """Make the last windows with samples due for a new or changed monitor; returns how many."""
    monitor = session.get_one(Monitor, monitor_id)
    check = session.get_one(Check, monitor.check_id)
    model = session.get_one(Model, check.model_id)
    shape, local = Shape(Frequency(monitor.frequency), monitor.aggregation_window), zone(model.time_zone)
    due: set[tuple[int, Window]] = set()
    versions = session.scalars(select(Version).where(Version.model_id == model.id, Version.watermark.is_not(None)))
    for version in versions:
        due.update((version.id, window) for window in _last_windows(version, shape, local))
    add(session, due)
    return len(due)


def make_due_for_reference(session: Session, version: Version) -> int:
    """Make a version's last windows due, where a monitor compares them with the reference; returns how many.

    They were judged by another reference, or by none. Older results stay, and say which revision they used.
    """
    model, shapes = _shapes(session, version.id, needs_reference=True)
    local = zone(model.time_zone)
    due = {(version.id, window) for shape in shapes for window in _last_windows(version, shape, local)}
    add(session, due, SETTLED)
    return len(due)


def _last_windows(version: Version, shape: Shape, local: ZoneInfo) -> Iterator[Window]:
    """The last windows that reach into a version's samples, newest first."""
    if version.watermark is None or version.earliest is None:
        return
    end = step(floor(version.watermark, shape.frequency, local), shape.frequency, 1, local)
    for _ in range(WINDOWS_OF_A_NEW_MONITOR):
        if end <= version.earliest:
            return
        yield shape.ending(end, local)
        end = step(end, shape.frequency, -1, local)


def make_due_by_clock(session: Session, now: datetime, kept: timedelta | None = None) -> int:
    """Make windows due that a live version let pass without a sample; returns how many. Stale ones are left alone."""
    due: set[tuple[int, Window]] = set()
    versions = session.scalars(
        select(Version).where(Version.watermark.is_not(None), Version.newest_logged_at - Version.watermark < YOUNG)
    )
    for version in versions:
        assert version.watermark is not None
        model, shapes = _shapes(session, version.id)
        local = zone(model.time_zone)
        for shape in shapes:
            end = step(floor(version.watermark, shape.frequency, local), shape.frequency, 1, local)
            for _ in range(SILENT_WINDOWS):
                end = step(end, shape.frequency, 1, local)
                if end + model.lateness + GRACE > now:
                    break
                if (window := shape.ending(end, local)).start >= _begins(model, kept, now):
                    due.add((version.id, window))
    fresh = due - _judged(session, due)
    add(session, fresh)
    return len(fresh)


def _judged(session: Session, due: set[tuple[int, Window]]) -> set[tuple[int, Window]]:
    """Those that have a result, or wait for one, already."""
    if not due:
        return set()
    found = session.execute(
        text(
            "select version_id, window_start, window_end from results where window_end = any(:ends)"
            " union select version_id, window_start, window_end from due_windows where window_end = any(:ends)"
        ),
        {"ends": sorted({window.end for _, window in due})},
    )
    return {(row.version_id, Window(row.window_start, row.window_end)) for row in found}


def _comparing(session: Session, model: Model) -> set[Comparing]:
    """How the model's monitors compare windows with earlier ones."""
    found = session.execute(
        select(Monitor.frequency, Monitor.aggregation_window, Monitor.compared_with)
        .join(Check, Check.id == Monitor.check_id)
        .where(Check.model_id == model.id, Check.needs_reference, Monitor.compared_with != With.reference)
        .distinct()
    )
    return {Comparing(Shape(Frequency(frequency), units), With(compared)) for frequency, units, compared in found}


def _shapes(session: Session, version_id: int, *, needs_reference: bool = False) -> tuple[Model, set[Shape]]:
    """The model of a version, and the shapes that its monitors' windows have; only of those that need a reference."""
    version = session.get_one(Version, version_id)
    reads = (Check.needs_reference & (Monitor.compared_with == With.reference)) | (not needs_reference)
    found = session.execute(
        select(Monitor.frequency, Monitor.aggregation_window)
        .join(Check, Check.id == Monitor.check_id)
        .where(Check.model_id == version.model_id, reads)
        .distinct()
    )
    shapes = {Shape(Frequency(frequency), units) for frequency, units in found}
    return session.get_one(Model, version.model_id), shapes


def is_waiting(session: Session) -> bool:
    """Whether a complete window waits that is due within a moment."""
    waits = text(
        "select exists (select 1 from due_windows d join versions v on v.id = d.version_id"
        f" join models m on m.id = v.model_id where d.due_at <= now() + interval '2 seconds' and {COMPLETE})"
    )
    return bool(session.scalar(waits))

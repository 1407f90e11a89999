"""Propose how often a model should be looked at: by the calendar unit in which it regularly has samples."""

from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon import windows
from dcmon.db.tables.org import Model
from dcmon.windows import Frequency, Window

LOOKBACKS = {Frequency.DAY: 31, Frequency.HOUR: 24, Frequency.WEEK: 12, Frequency.MONTH: 12}  # units, in this order
ENOUGH = 0.8  # the share of the units in a lookback that have samples
SPAN = text("""
    select min(earliest), max(watermark) from versions where model_id = :model
""")
UNITS_WITH_ROWS = text("""
    select count(distinct date_trunc(:unit, q.at, :zone)) from quarter_hours q
      join versions v on v.id = q.version_id and v.model_id = :model
     where q.n > 0 and q.at >= :start and q.at < :end
""")


class ProposedFrequency(NamedTuple):
    """A frequency, and the span of time that ends with the unit of the newest sample."""

    frequency: Frequency
    span: Window


def propose(session: Session, model: Model) -> ProposedFrequency:
    """Return the first frequency of LOOKBACKS with enough units that have samples, otherwise the best one.

    The span does not start before the model's first sample. Without samples: the current day.
    """
    zone = windows.time_zone(model.time_zone)
    earliest, newest = session.execute(SPAN, {"model": model.id}).one()
    if earliest is None or newest is None:
        today = windows.floor(datetime.now(UTC), Frequency.DAY, zone)
        return ProposedFrequency(Frequency.DAY, Window(today, windows.step(today, Frequency.DAY, 1, zone)))
    best, best_share = Frequency.DAY, -1.0
    for frequency in LOOKBACKS:
        share = _share(session, model, frequency, _lookback(newest, frequency, zone))
        if share > best_share:
            best, best_share = frequency, share
        if share >= ENOUGH:
            break
    span = _lookback(newest, best, zone)
    return ProposedFrequency(best, Window(max(span.start, earliest), span.end))


def _lookback(newest: datetime, frequency: Frequency, zone: ZoneInfo) -> Window:
    """Return the units up to the one that contains the newest sample."""
    end = windows.step(windows.floor(newest, frequency, zone), frequency, 1, zone)
    return Window(windows.step(end, frequency, -LOOKBACKS[frequency], zone), end)


def _share(session: Session, model: Model, frequency: Frequency, lookback: Window) -> float:
    """Return the share of the units of a lookback that have samples."""
    values = {
        "unit": frequency.lower(),
        "zone": model.time_zone,
        "model": model.id,
        "start": lookback.start,
        "end": lookback.end,
    }
    return int(session.scalar(UNITS_WITH_ROWS, values) or 0) / LOOKBACKS[frequency]

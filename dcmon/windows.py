"""Windows [start, end): aligned by calendar in a model's time zone, through daylight saving and month ends."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dcmon import errors


class Frequency(StrEnum):
    """The calendar unit that windows step by."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


@dataclass(frozen=True, order=True)
class Window:
    """A half-open span of time, aware and in UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Shape:
    """How a monitor's windows lie: each ends at a unit's end and reaches `units` units back."""

    frequency: Frequency
    units: int

    def ending(self, end: datetime, zone: ZoneInfo) -> Window:
        """The window that ends at a unit's boundary."""
        return Window(step(end, self.frequency, -self.units, zone), end)

    def containing(self, time: datetime, zone: ZoneInfo) -> Iterator[Window]:
        """Every window that a moment lies in, oldest first: as many as there are units in one."""
        end = floor(time, self.frequency, zone)
        for _ in range(self.units):
            end = step(end, self.frequency, 1, zone)
            yield self.ending(end, zone)

    def is_shape_of(self, window: Window, zone: ZoneInfo) -> bool:
        """Whether a window is one of these."""
        is_aligned = floor(window.end, self.frequency, zone) == window.end
        return is_aligned and self.ending(window.end, zone) == window


def zone(name: str) -> ZoneInfo:
    """The time zone of that IANA name. Raises InvalidInput."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise errors.InvalidInput(f"There is no time zone {name!r}: it is a name like Europe/Berlin or UTC.") from error


def floor(time: datetime, frequency: Frequency, zone: ZoneInfo) -> datetime:
    """The start of the unit that a moment lies in; weeks begin on Monday."""
    local = time.astimezone(zone)
    if frequency is Frequency.HOUR:
        # Hours are steps of absolute time: an hour that a clock change repeats is two windows.
        return (
            (local - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond))
            .replace(fold=local.fold)
            .astimezone(UTC)
        )
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if frequency is Frequency.WEEK:
        day -= timedelta(days=day.weekday())
    elif frequency is Frequency.MONTH:
        day = day.replace(day=1)
    return _local(day, zone)


def step(start: datetime, frequency: Frequency, units: int, zone: ZoneInfo) -> datetime:
    """The boundary `units` units after (or before) a unit's start."""
    if frequency is Frequency.HOUR:
        return start + timedelta(hours=units)
    day = start.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if frequency is Frequency.MONTH:
        months = day.year * 12 + day.month - 1 + units
        return _local(day.replace(year=months // 12, month=months % 12 + 1), zone)
    days = units * (7 if frequency is Frequency.WEEK else 1)
    return _local(day + timedelta(days=days), zone)


def _local(day: datetime, zone: ZoneInfo) -> datetime:
    """A local midnight in UTC; one that a clock change skips is the moment of the change."""
    return day.replace(tzinfo=zone).astimezone(UTC)

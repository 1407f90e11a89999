"""Windows [start, end), aligned by the calendar of a model's time zone.

The functions handle clock changes, ends of months, and days that the date line skips.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from dcmon import errors
from dcmon.nearest import meant

QUARTER_HOUR_SECONDS = 900  # rows, labels and receipts are counted by quarter hours


class Frequency(StrEnum):
    """The calendar unit by which one window follows another."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


@dataclass(frozen=True, order=True)
class Window:
    """A half-open span of time [start, end), aware and in UTC."""

    start: datetime
    end: datetime


def quarter_hour_start(time: datetime) -> datetime:
    """Return the start of the quarter hour that contains a time, in UTC."""
    return datetime.fromtimestamp(time.timestamp() // QUARTER_HOUR_SECONDS * QUARTER_HOUR_SECONDS, UTC)


@dataclass(frozen=True)
class WindowGrid:
    """The windows of a monitor: one ends with each calendar unit. Each window has `units` units."""

    frequency: Frequency
    units: int

    def ending(self, end: datetime, zone: ZoneInfo) -> Window:
        """Return the window that ends at this boundary of a unit."""
        return Window(step(end, self.frequency, -self.units, zone), end)

    def first_ending(self, time: datetime, zone: ZoneInfo) -> Window:
        """Return the window that ends at a time, or the first one that ends after it.

        If a window has one unit, this is the only window that contains the time after its start.
        """
        start = floor(time, self.frequency, zone)
        return self.ending(start if start == time else step(start, self.frequency, 1, zone), zone)

    def containing(self, time: datetime, zone: ZoneInfo) -> Iterator[Window]:
        """Yield the windows that contain a time, oldest first. There are `units` of them."""
        end = floor(time, self.frequency, zone)
        for _ in range(self.units):
            end = step(end, self.frequency, 1, zone)
            yield self.ending(end, zone)

    def includes(self, window: Window, zone: ZoneInfo) -> bool:
        """Return True if the window is one of this grid."""
        is_aligned = floor(window.end, self.frequency, zone) == window.end
        return is_aligned and self.ending(window.end, zone) == window


def time_zone(name: str) -> ZoneInfo:
    """Return the time zone with that IANA name. Raises InvalidInput."""
    shown = name if len(name) <= 60 else f"{name[:60]}…"
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: the name is too long for a file
        hint = meant(name, available_timezones())
        raise errors.InvalidInput(
            f"There is no time zone {shown!r}.{hint} A name looks like Europe/Berlin or UTC."
        ) from error


def floor(time: datetime, frequency: Frequency, zone: ZoneInfo) -> datetime:
    """Return the start of the calendar unit that contains a time. Weeks begin on Monday."""
    if frequency is Frequency.HOUR:
        return _hour_start(time.astimezone(UTC), zone)
    day = _first_day(_midnight(time.astimezone(zone)), frequency)
    # Where a clock change repeats midnight, times after the first midnight belong to the new day already.
    next_start = _local_to_utc(_shift(day, frequency, 1), zone)
    return next_start if next_start <= time else _local_to_utc(day, zone)


def step(start: datetime, frequency: Frequency, units: int, zone: ZoneInfo) -> datetime:
    """Return the boundary `units` units after a unit's start. A negative number steps back."""
    target = _naive_step(start, frequency, units, zone)
    if units == 0 or _is_regular(start, target, frequency, zone):
        return target
    for _ in range(abs(units)):
        start = _one_step(start, frequency, 1 if units > 0 else -1, zone)
    return start


def same_clock_time(time: datetime, days: int, zone: ZoneInfo) -> datetime:
    """Return the time some days later at which the local clock shows the same.

    A negative number of days gives an earlier time.
    """
    return _local_to_utc(time.astimezone(zone).replace(tzinfo=None, fold=0) + timedelta(days=days), zone)


def _naive_step(start: datetime, frequency: Frequency, units: int, zone: ZoneInfo) -> datetime:
    if frequency is Frequency.HOUR:
        # Hours are steps of absolute time: an hour that a clock change repeats is two hours.
        return start.astimezone(UTC) + timedelta(hours=units)
    return _local_to_utc(_shift(_midnight(start.astimezone(zone)), frequency, units), zone)


def _is_regular(start: datetime, target: datetime, frequency: Frequency, zone: ZoneInfo) -> bool:
    """Return True if no unit between the two times was shortened or skipped.

    A clock change of 30 minutes shortens an hour; a country that crosses the date line skips a day.
    """
    if frequency is Frequency.HOUR:
        return not _past_full_hour(start, zone) and not _past_full_hour(target, zone)
    first, last = sorted((start, target))
    return abs(_utc_offset(first - timedelta.resolution, zone) - _utc_offset(last, zone)) < timedelta(hours=12)


def _one_step(start: datetime, frequency: Frequency, direction: int, zone: ZoneInfo) -> datetime:
    if frequency is Frequency.HOUR:
        if direction < 0:
            return _hour_start(start - timedelta.resolution, zone)
        return _hour_start(start - _past_full_hour(start, zone) + timedelta(hours=1), zone)
    target = _naive_step(start, frequency, direction, zone)
    return target if target != start else _naive_step(start, frequency, 2 * direction, zone)


def _hour_start(time: datetime, zone: ZoneInfo) -> datetime:
    """Return the start of the hour of the local clock.

    After a clock change by a part of an hour, the hour starts at the change.
    """
    hour = time - _past_full_hour(time, zone)
    return _clock_change(hour, time, zone) if _past_full_hour(hour, zone) else hour


def _past_full_hour(time: datetime, zone: ZoneInfo) -> timedelta:
    """Return how far a time is past the local clock's last full hour."""
    local = time.astimezone(zone)
    return timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)


def _midnight(local: datetime) -> datetime:
    """Return the day's midnight, the first one where a clock change repeats it."""
    return local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)


def _first_day(day: datetime, frequency: Frequency) -> datetime:
    if frequency is Frequency.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if frequency is Frequency.MONTH else day


def _shift(day: datetime, frequency: Frequency, units: int) -> datetime:
    if frequency is Frequency.MONTH:
        months = day.year * 12 + day.month - 1 + units
        return day.replace(year=months // 12, month=months % 12 + 1)
    return day + timedelta(days=units * (7 if frequency is Frequency.WEEK else 1))


def _local_to_utc(day: datetime, zone: ZoneInfo) -> datetime:
    """Convert a local time to UTC.

    Of a local time that a clock change repeats, take the first; of one that it skips, take the time of the change.
    """
    first = day.replace(tzinfo=zone).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == day:
        return first
    return _clock_change(day.replace(tzinfo=zone, fold=1).astimezone(UTC), first, zone)


def _utc_offset(time: datetime, zone: ZoneInfo) -> timedelta:
    return time.astimezone(zone).utcoffset() or timedelta()


def _clock_change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the time of the clock change between two times, to the second."""
    left, right, offset = int(before.timestamp()), int(after.timestamp()), _utc_offset(before, zone)
    while right - left > 1:
        middle = (left + right) // 2
        is_before = _utc_offset(datetime.fromtimestamp(middle, UTC), zone) == offset
        left, right = (middle, right) if is_before else (left, middle)
    return datetime.fromtimestamp(right, UTC)


# The largest windows of each frequency that are not longer than a week.
MAX_UNITS_PER_WEEK = {Frequency.HOUR: 7 * 24, Frequency.DAY: 7, Frequency.WEEK: 1, Frequency.MONTH: 0}


class ComparedWith(StrEnum):
    """What a window is compared with. `WEEK_BEFORE`: the same window a week ago."""

    REFERENCE = "reference"
    PREVIOUS = "previous"
    WEEK_BEFORE = "week_before"


@dataclass(frozen=True)
class Comparison:
    """How the windows of a grid are compared with earlier windows (never with the reference)."""

    grid: WindowGrid
    compared_with: ComparedWith

    def compared_window(self, window: Window, zone: ZoneInfo) -> Window:
        """Return the earlier window that this window is compared with, by the calendar.

        Where a clock change repeats an hour, both hours are compared with the one hour of a week ago.
        """
        if self.compared_with is ComparedWith.PREVIOUS:
            return self.grid.ending(window.start, zone)
        start = self._week_ago(window.start, zone)
        return Window(start, step(start, self.grid.frequency, self.grid.units, zone))

    def dependent_windows(self, time: datetime, zone: ZoneInfo) -> Iterator[Window]:
        """Yield the windows that are compared with a window that contains this time."""
        for earlier in self.grid.containing(time, zone):
            for start in self._candidates(earlier, zone):
                window = Window(start, step(start, self.grid.frequency, self.grid.units, zone))
                if self.grid.includes(window, zone) and self.compared_window(window, zone) == earlier:
                    yield window

    def _week_ago(self, start: datetime, zone: ZoneInfo) -> datetime:
        if self.grid.frequency is Frequency.HOUR:
            return floor(same_clock_time(start, -7, zone), Frequency.HOUR, zone)
        return step(start, Frequency.DAY, -7, zone)

    def _candidates(self, earlier: Window, zone: ZoneInfo) -> set[datetime]:
        """Return possible starts of windows that are compared with `earlier`.

        Clock changes move these starts by up to two hours.
        """
        if self.compared_with is ComparedWith.PREVIOUS:
            return {earlier.end}
        if self.grid.frequency is not Frequency.HOUR:
            return {step(earlier.start, Frequency.DAY, days, zone) for days in (6, 7, 8)}
        week, half_hour = timedelta(days=7), timedelta(minutes=30)
        return {floor(earlier.start + week + count * half_hour, Frequency.HOUR, zone) for count in range(-4, 5)}


def can_compare(grid: WindowGrid, compared_with: ComparedWith) -> bool:
    """Return True if windows of a grid can be compared in this way.

    With the window a week ago, only windows of at most a week can be compared.
    """
    return compared_with is not ComparedWith.WEEK_BEFORE or grid.units <= MAX_UNITS_PER_WEEK[grid.frequency]

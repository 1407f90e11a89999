"""Windows [start, end): aligned by calendar in a model's time zone, through daylight saving and month ends."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dcmon import errors

QUARTER_HOUR_SECONDS = 900  # seconds: what rows, labels and receipts are counted by


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


def quarter_hour_start(time: datetime) -> datetime:
    """The start of the quarter of an hour that a time lies in, in UTC."""
    return datetime.fromtimestamp(time.timestamp() // QUARTER_HOUR_SECONDS * QUARTER_HOUR_SECONDS, UTC)


@dataclass(frozen=True)
class WindowGrid:
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

    def includes(self, window: Window, zone: ZoneInfo) -> bool:
        """Whether a window is one of these."""
        is_aligned = floor(window.end, self.frequency, zone) == window.end
        return is_aligned and self.ending(window.end, zone) == window


def time_zone(name: str) -> ZoneInfo:
    """The time zone of that IANA name. Raises InvalidInput."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise errors.InvalidInput(f"There is no time zone {name!r}: it is a name like Europe/Berlin or UTC.") from error


def floor(time: datetime, frequency: Frequency, zone: ZoneInfo) -> datetime:
    """The start of the unit that a moment lies in; weeks begin on Monday."""
    if frequency is Frequency.HOUR:
        return _hour(time.astimezone(UTC), zone)
    day = _first_day(_midnight(time.astimezone(zone)), frequency)
    # Where a clock change repeats midnight, the moments after the first one belong to the new day already.
    following = _shifted(day, frequency, 1)
    return starts if (starts := _local(following, zone)) <= time else _local(day, zone)


def step(start: datetime, frequency: Frequency, units: int, zone: ZoneInfo) -> datetime:
    """The boundary `units` units after (or before) a unit's start."""
    ahead = _naive_step(start, frequency, units, zone)
    if units == 0 or _is_regular(start, ahead, frequency, zone):
        return ahead
    for _ in range(abs(units)):
        start = _one_step(start, frequency, 1 if units > 0 else -1, zone)
    return start


def same_clock_time(time: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The moment at which the local clock shows the same, some days later or earlier."""
    return _local(time.astimezone(zone).replace(tzinfo=None, fold=0) + timedelta(days=days), zone)


def _naive_step(start: datetime, frequency: Frequency, units: int, zone: ZoneInfo) -> datetime:
    if frequency is Frequency.HOUR:
        # Hours are steps of absolute time: an hour that a clock change repeats is two windows.
        return start.astimezone(UTC) + timedelta(hours=units)
    return _local(_shifted(_midnight(start.astimezone(zone)), frequency, units), zone)


def _is_regular(start: datetime, ahead: datetime, frequency: Frequency, zone: ZoneInfo) -> bool:
    """Whether no unit between was lost: an hour cut by a change of half an hour, a day leapt over at the date line."""
    if frequency is Frequency.HOUR:
        return not _misaligned(start, zone) and not _misaligned(ahead, zone)
    first, last = sorted((start, ahead))
    return abs(_offset(first - timedelta.resolution, zone) - _offset(last, zone)) < timedelta(hours=12)


def _one_step(start: datetime, frequency: Frequency, direction: int, zone: ZoneInfo) -> datetime:
    if frequency is Frequency.HOUR:
        if direction < 0:
            return _hour(start - timedelta.resolution, zone)
        return _hour(start - _misaligned(start, zone) + timedelta(hours=1), zone)
    found = _naive_step(start, frequency, direction, zone)
    return found if found != start else _naive_step(start, frequency, 2 * direction, zone)


def _hour(time: datetime, zone: ZoneInfo) -> datetime:
    """The full hour of the local clock, or the clock change inside the hour that moved the clock by a part of one."""
    hour = time - _misaligned(time, zone)
    return _change(hour, time, zone) if _misaligned(hour, zone) else hour


def _misaligned(time: datetime, zone: ZoneInfo) -> timedelta:
    """How far a moment is past the local clock's full hour."""
    local = time.astimezone(zone)
    return timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)


def _midnight(local: datetime) -> datetime:
    """The first midnight of the day, also of a moment in an hour that a clock change repeats."""
    return local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)


def _first_day(day: datetime, frequency: Frequency) -> datetime:
    if frequency is Frequency.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if frequency is Frequency.MONTH else day


def _shifted(day: datetime, frequency: Frequency, units: int) -> datetime:
    if frequency is Frequency.MONTH:
        months = day.year * 12 + day.month - 1 + units
        return day.replace(year=months // 12, month=months % 12 + 1)
    return day + timedelta(days=units * (7 if frequency is Frequency.WEEK else 1))


def _local(day: datetime, zone: ZoneInfo) -> datetime:
    """A local midnight in UTC, the first of two; one that a clock change skips is the moment of the change."""
    first = day.replace(tzinfo=zone).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == day:
        return first
    return _change(day.replace(tzinfo=zone, fold=1).astimezone(UTC), first, zone)


def _offset(time: datetime, zone: ZoneInfo) -> timedelta:
    return time.astimezone(zone).utcoffset() or timedelta()


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The moment, in whole seconds, of the clock change between two moments."""
    left, right, offset = int(before.timestamp()), int(after.timestamp()), _offset(before, zone)
    while right - left > 1:
        middle = (left + right) // 2
        is_before = _offset(datetime.fromtimestamp(middle, UTC), zone) == offset
        left, right = (middle, right) if is_before else (left, middle)
    return datetime.fromtimestamp(right, UTC)


# What a window is compared with: the reference, the window before it, or the same one a week ago.


MAX_UNITS_PER_WEEK = {Frequency.HOUR: 7 * 24, Frequency.DAY: 7, Frequency.WEEK: 1, Frequency.MONTH: 0}


class ComparedWith(StrEnum):
    """What takes the part of the reference."""

    REFERENCE = "reference"
    PREVIOUS = "previous"
    WEEK_BEFORE = "week_before"


@dataclass(frozen=True)
class Comparison:
    """Windows of a shape, and what they are compared with: earlier ones, never the reference."""

    grid: WindowGrid
    compared_with: ComparedWith

    def compared_window(self, window: Window, zone: ZoneInfo) -> Window:
        """The window that one is compared with, by the calendar: of as many units, or at the same time of a week ago.

        Where a clock change repeats an hour, both are compared with the one of a week ago.
        """
        if self.compared_with is ComparedWith.PREVIOUS:
            return self.grid.ending(window.start, zone)
        start = self._week_ago(window.start, zone)
        return Window(start, step(start, self.grid.frequency, self.grid.units, zone))

    def dependent_windows(self, time: datetime, zone: ZoneInfo) -> Iterator[Window]:
        """The windows that are compared with one that a moment lies in."""
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
        """Where windows may begin that are compared with this one; clock changes move them by up to two hours."""
        if self.compared_with is ComparedWith.PREVIOUS:
            return {earlier.end}
        if self.grid.frequency is not Frequency.HOUR:
            return {step(earlier.start, Frequency.DAY, days, zone) for days in (6, 7, 8)}
        week, change = timedelta(days=7), timedelta(minutes=30)
        return {floor(earlier.start + week + many * change, Frequency.HOUR, zone) for many in range(-4, 5)}


def can_compare(grid: WindowGrid, compared_with: ComparedWith) -> bool:
    """Whether windows of a shape can be compared so: a week ago only when they are not longer than a week."""
    return compared_with is not ComparedWith.WEEK_BEFORE or grid.units <= MAX_UNITS_PER_WEEK[grid.frequency]

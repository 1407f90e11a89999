"""What a window is compared with: the reference, the window before it, or the same one a week ago."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from dcmon.windows import Frequency, Shape, Window, floor, same_clock, step

WEEK_AT_MOST = {Frequency.HOUR: 7 * 24, Frequency.DAY: 7, Frequency.WEEK: 1, Frequency.MONTH: 0}


class With(StrEnum):
    """What takes the part of the reference."""

    reference = "reference"
    previous = "previous"
    week_before = "week_before"


@dataclass(frozen=True)
class Comparing:
    """Windows of a shape, and what they are compared with: earlier ones, never the reference."""

    shape: Shape
    compared_with: With

    def earlier(self, window: Window, zone: ZoneInfo) -> Window:
        """The window that one is compared with, by the calendar: of as many units, or at the same time of a week ago.

        Where a clock change repeats an hour, both are compared with the one of a week ago.
        """
        if self.compared_with is With.previous:
            return self.shape.ending(window.start, zone)
        start = self._week_ago(window.start, zone)
        return Window(start, step(start, self.shape.frequency, self.shape.units, zone))

    def later(self, time: datetime, zone: ZoneInfo) -> Iterator[Window]:
        """The windows that are compared with one that a moment lies in."""
        for earlier in self.shape.containing(time, zone):
            for start in self._candidates(earlier, zone):
                window = Window(start, step(start, self.shape.frequency, self.shape.units, zone))
                if self.shape.is_shape_of(window, zone) and self.earlier(window, zone) == earlier:
                    yield window

    def _week_ago(self, start: datetime, zone: ZoneInfo) -> datetime:
        if self.shape.frequency is Frequency.HOUR:
            return floor(same_clock(start, -7, zone), Frequency.HOUR, zone)
        return step(start, Frequency.DAY, -7, zone)

    def _candidates(self, earlier: Window, zone: ZoneInfo) -> set[datetime]:
        """Where windows may begin that are compared with this one; clock changes move them by up to two hours."""
        if self.compared_with is With.previous:
            return {earlier.end}
        if self.shape.frequency is not Frequency.HOUR:
            return {step(earlier.start, Frequency.DAY, days, zone) for days in (6, 7, 8)}
        week, change = timedelta(days=7), timedelta(minutes=30)
        return {floor(earlier.start + week + many * change, Frequency.HOUR, zone) for many in range(-4, 5)}


def is_possible(shape: Shape, compared_with: With) -> bool:
    """Whether windows of a shape can be compared so: a week ago only when they are not longer than a week."""
    return compared_with is not With.week_before or shape.units <= WEEK_AT_MOST[shape.frequency]

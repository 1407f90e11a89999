"""The windows of a lookback: the last windows of a grid that a range of time reaches."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from dcmon.windows import QUARTER_HOUR_SECONDS, Frequency, Window, WindowGrid, floor, step

QUARTER_HOUR = timedelta(seconds=QUARTER_HOUR_SECONDS)
MAX_WINDOWS = 31  # of one lookback; of a longer range the last ones
# The frequency of a range that names none: the first one whose longest range is not shorter.
LONGEST_RANGES = (
    (Frequency.HOUR, timedelta(days=3)),
    (Frequency.DAY, timedelta(days=30)),
    (Frequency.WEEK, timedelta(days=90)),
)


def frequency_of_range(start: datetime, end: datetime) -> Frequency:
    """Return the frequency at which a range of time has a readable number of windows."""
    return next((frequency for frequency, longest in LONGEST_RANGES if end - start <= longest), Frequency.MONTH)


def round_up(time: datetime, frequency: Frequency, zone: ZoneInfo) -> datetime:
    """Return the end of the calendar unit that contains a time. A time between two units is in the later one."""
    return step(floor(time, frequency, zone), frequency, 1, zone)


def windows_of_range(start: datetime, end: datetime, grid: WindowGrid, zone: ZoneInfo) -> list[Window]:
    """Return the windows that end from the end of the unit with `start` to that of the unit with `end`, oldest first.

    At most MAX_WINDOWS: those that end last.
    """
    first, window_end = round_up(start, grid.frequency, zone), round_up(end, grid.frequency, zone)
    ends = list[datetime]()
    while window_end >= first and len(ends) < MAX_WINDOWS:
        ends.append(window_end)
        window_end = step(window_end, grid.frequency, -1, zone)
    return [grid.ending(window_end, zone) for window_end in reversed(ends)]

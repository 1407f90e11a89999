"""What earlier windows say about a value: whether it is usual, and what the same hours of earlier weeks had."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from itertools import pairwise
from statistics import median

USUAL_OVER = 35  # windows, by default: five weeks of days
LIKE = 1.5  # values within this factor are alike
MIN_SPANS = 2  # so many earlier spans make a value usual
MIN_STEPS = 10  # between windows in a row, which say how far values vary
WEEK, MAX_CLOCK_CHANGE = timedelta(days=7), timedelta(hours=1)
MIN_WEEKS = 2  # with a value, that make a base


class _Level(Enum):
    LOWER = auto()
    TOLERATED = auto()  # alike or higher, but not beyond the limit
    ALIKE = auto()
    HIGHER = auto()


def is_usual(value: float, limit: float, earlier: Sequence[float | None]) -> bool:
    """Return True if a positive value above a limit has been reached again and again, as a weekly pattern does.

    The windows before are cut into spans of lower, tolerated, alike and higher values, where values within the factor
    1.5 are alike, and tolerated if they are not above the limit. The value is usual if at least two spans were not
    lower, the first of them at least 2/5 of the windows ago. The span of alike values right before the value does not
    count, so that a fault that lasts never becomes usual. `earlier`: as many windows as are read, the newest last; None
    for a window without the value, and for windows before the first one.
    """
    newest_first = enumerate(reversed(earlier), 1)
    levels = [(age, _level(value, limit, before)) for age, before in newest_first if before is not None]
    current = next((index for index, (_, level) in enumerate(levels) if level != _Level.ALIKE), len(levels))
    spans, previous, oldest = 0, _Level.ALIKE, 0
    for age, level in levels[current:]:
        if level != _Level.LOWER:
            spans, oldest = spans + (level != previous), age
        previous = level
    return spans >= MIN_SPANS and 5 * oldest >= 2 * len(earlier)


def usual_step(earlier: Sequence[float | None]) -> float:
    """Return how far values vary from one window to the next: the median of the absolute differences.

    A slow rise has small steps, and a fault that lasts has none. 0 if fewer than MIN_STEPS are known. `earlier`: as
    for `is_usual`.
    """
    steps = [abs(now - before) for before, now in pairwise(earlier) if before is not None and now is not None]
    return median(steps) if len(steps) >= MIN_STEPS else 0.0


def _level(value: float, limit: float, before: float) -> _Level:
    if before < value / LIKE:
        return _Level.LOWER
    if before <= limit:
        return _Level.TOLERATED
    return _Level.ALIKE if before <= value * LIKE else _Level.HIGHER


def weekly_base(window_end: datetime, earlier: Sequence[tuple[datetime, float | None]]) -> float | None:
    """Return the median value of the same hours in the four weeks before; None if fewer than two have a value.

    `earlier`: end and value of the windows before. Clock changes may move their ends by an hour.
    """
    values = [value for end, value in earlier if value is not None and _weeks_between(end, window_end) in (1, 2, 3, 4)]
    return median(values) if len(values) >= MIN_WEEKS else None


def _weeks_between(earlier: datetime, later: datetime) -> int | None:
    """Return how many weeks lie between two times; None if it is no whole number of weeks."""
    weeks = round((later - earlier) / WEEK)
    return weeks if abs(later - earlier - weeks * WEEK) <= MAX_CLOCK_CHANGE else None

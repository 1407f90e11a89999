"""Draw the values of a monitor over time with characters: axes, dates, thresholds, and gaps without a value."""

import locale
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

from dcmon.formatting import count_of, format_number, format_time
from dcmon.operators import COMPARISONS

HEIGHT = 12  # rows of the plot
NARROWEST = 30  # columns of a chart
WIDEST = 160  # a line of sight that is longer is hard to follow
LARGE = 1e7  # numbers from here on are shown with an exponent
GAP = 2  # columns between two dates


@dataclass(frozen=True)
class Mark:
    """The value at the end of a window; None: the window has none."""

    at: datetime
    value: float | None


@dataclass(frozen=True)
class Limit:
    """The threshold of a rule: values that are `operator` than it violate the rule. `text`: the rule for people."""

    value: float
    operator: str
    text: str

    def is_violated(self, value: float) -> bool:
        """Return True if a value violates the rule."""
        compare = COMPARISONS.get(self.operator)
        return compare is not None and compare(value, self.value)


class Signs(NamedTuple):
    """The characters that a chart is drawn with."""

    value: str
    violation: str
    line: str
    upright: str
    threshold: str
    no_value: str
    axis: str
    tick: str
    corner: str
    base: str


UNICODE = Signs("•", "◆", "·", "┊", "╌", "×", "│", "┤", "└", "─")
ASCII = Signs("o", "#", ".", ":", "-", "x", "|", "+", "+", "-")


class _Scale(NamedTuple):
    """A range of values on `rows` rows, the lowest value on the last row."""

    low: float
    high: float
    rows: int

    def row(self, value: float) -> int:
        share = (value / 2 - self.low / 2) / ((self.high / 2 - self.low / 2) or 1.0)
        return self.rows - 1 - round(min(max(share, 0.0), 1.0) * (self.rows - 1))


def terminal_signs() -> Signs:
    """Return the characters that the terminal can show: ASCII in the locale "C", as LC_ALL=C sets it."""
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    is_plain = locale.setlocale(locale.LC_CTYPE) in ("C", "POSIX") or not encoding.startswith("utf")
    return ASCII if is_plain else UNICODE


def draw(marks: Sequence[Mark], limits: Sequence[Limit], width: int, signs: Signs = UNICODE) -> list[str]:
    """Return the lines of a chart of at most `width` characters; a single line if no window has a value.

    Windows that share a column are drawn one above the other. A line leads from a value to the next one, unless a
    window between them has no value.
    """
    marks = [Mark(mark.at, _finite(mark.value)) for mark in sorted(marks, key=lambda mark: mark.at)]
    known = [mark.value for mark in marks if mark.value is not None]
    if not known:
        return [f"{count_of(len(marks), 'window')}, all without a value."]
    scale = _scale(known, [limit.value for limit in limits])
    labels = _value_labels(scale, limits)
    gutter = max(map(len, labels.values()))
    columns = max(NARROWEST, min(width, WIDEST)) - gutter - 2
    cells = _plot(marks, limits, scale, columns, signs)
    lines = [
        f"{labels.get(row, ''):>{gutter}} {signs.tick if row in labels else signs.axis}{''.join(cells[row])}".rstrip()
        for row in range(scale.rows)
    ]
    ticks, dates = _dates(marks, columns, signs)
    indent = " " * (gutter + 1)
    return [*lines, indent + signs.corner + ticks, f"{indent} {dates}".rstrip(), *_legend(marks, limits, width, signs)]


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _scale(values: Sequence[float], limits: Sequence[float]) -> _Scale:
    """Return the range of all values and thresholds, with zero if it is near."""
    low, high = min([*values, *limits]), max([*values, *limits])
    if 0 <= low <= high - low:
        low = 0.0
    if low == high:
        low, high = low - abs(low) * 0.1, high + (abs(high) * 0.1 or 0.1)
    return _Scale(low, high, HEIGHT)


def _value_labels(scale: _Scale, limits: Sequence[Limit]) -> dict[int, str]:
    """Return the numbers beside the axis by row: the ends of the range, and the thresholds that leave them room."""
    labels = {scale.rows - 1: _label(scale.low), 0: _label(scale.high)}
    for limit in limits:
        labels.setdefault(scale.row(limit.value), _label(limit.value))
    return labels


def _label(value: float) -> str:
    return format_number(value) if abs(value) < LARGE else f"{value:.3g}"


def _columns_of(marks: Sequence[Mark], columns: int) -> list[int]:
    """Return the column of each window, in proportion to its time."""
    first, span = marks[0].at, (marks[-1].at - marks[0].at) or timedelta(seconds=1)
    return [round((mark.at - first) / span * (columns - 1)) for mark in marks]


def _plot(marks: Sequence[Mark], limits: Sequence[Limit], scale: _Scale, columns: int, signs: Signs) -> list[list[str]]:
    """Return the characters of the plot, row by row. Values are above lines, and lines above thresholds."""
    cells = [[" "] * columns for _ in range(scale.rows)]
    for limit in limits:
        cells[scale.row(limit.value)] = [signs.threshold] * columns
    placed = list(zip(_columns_of(marks, columns), marks, strict=True))
    for (start, one), (end, other) in pairwise(placed):
        if one.value is not None and other.value is not None:
            _connect(cells, (start, scale.row(one.value)), (end, scale.row(other.value)), signs)
    for column, mark in placed:
        if mark.value is None:
            cells[-1][column] = signs.no_value if cells[-1][column] in (" ", signs.threshold) else cells[-1][column]
    for is_violation in (False, True):  # violations are drawn last, where values share a cell
        for column, mark in placed:
            if mark.value is not None and _is_violation(mark.value, limits) == is_violation:
                cells[scale.row(mark.value)][column] = signs.violation if is_violation else signs.value
    return cells


def _connect(cells: list[list[str]], start: tuple[int, int], end: tuple[int, int], signs: Signs) -> None:
    """Draw a line between two values, each with its column and row."""
    (first, first_row), (last, last_row) = start, end
    row = first_row
    for column in range(first + 1, last + 1):
        next_row = first_row + round((last_row - first_row) * (column - first) / (last - first))
        step = 1 if next_row > row else -1
        for between in range(row + step, next_row, step):
            cells[between][column if column < last else column - 1] = signs.upright
        if column < last:
            cells[next_row][column] = signs.line
        row = next_row


def _is_violation(value: float, limits: Sequence[Limit]) -> bool:
    return any(limit.is_violated(value) for limit in limits)


def _dates(marks: Sequence[Mark], columns: int, signs: Signs) -> tuple[str, str]:
    """Return the axis with a tick for each date, and the line of dates: those of windows that leave room."""
    axis, dates = [signs.base] * columns, [" "] * columns
    free, texts = 0, _date_texts(marks)
    for column, text in zip(_columns_of(marks, columns), texts, strict=True):
        if column < free or column + len(text) > columns:
            continue
        axis[column] = signs.tick if signs is ASCII else "┬"
        dates[column : column + len(text)] = text
        free = column + len(text) + GAP
    return "".join(axis), "".join(dates)


def _date_texts(marks: Sequence[Mark]) -> list[str]:
    """Return the date of each window, as short as the period allows: with the year, or with the hour."""
    first, last = marks[0].at, marks[-1].at
    if last - first < timedelta(days=3):
        return [f"{mark.at:%m-%d %H:%M}" for mark in marks]
    if first.year != last.year and last - first > timedelta(days=200):
        return [f"{mark.at:%Y-%m}" for mark in marks]
    return [f"{mark.at:%m-%d}" for mark in marks]


def _legend(marks: Sequence[Mark], limits: Sequence[Limit], width: int, signs: Signs) -> list[str]:
    """Return what the characters mean, and the period, in lines that are short enough."""
    values = [mark.value for mark in marks if mark.value is not None]
    n_violations = sum(_is_violation(value, limits) for value in values)
    n_missing = len(marks) - len(values)
    parts = [f"{signs.threshold * 2} {limit.text}" for limit in limits]
    parts += [f"{signs.value} {count_of(len(values) - n_violations, 'window')}"] if len(values) > n_violations else []
    parts += [f"{signs.violation} {n_violations:,} violated"] if n_violations else []
    parts += [f"{signs.no_value} {n_missing:,} without a value"] if n_missing else []
    first, last = format_time(marks[0].at), format_time(marks[-1].at)
    parts.append(f"{first} UTC" if first == last else f"{first} to {last} UTC")
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += f"   {part}"
        else:
            lines.append(part)
    return lines

"""Share the width of a terminal among the columns of a table: names stay whole, for people copy them, and rows low."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

# Fields whose values people type or copy into further commands; their words are never broken.
NAMES = frozenset({
    "alert", "check", "email", "feature", "id", "model", "monitor", "name", "org", "prefix", "receiver", "rule",
    "source", "version",
})  # fmt: skip
GAP = 2  # characters between two columns
SHORT_WORD = 12  # characters; longer words of other fields may be broken
LEAST = 8  # characters that a column with broken words has
MEASURED_ROWS = 100  # rows whose heights decide on widths; of more, some that are spread over all
ROW_WEIGHT, NAME_WEIGHT = 10, 3  # what a line less is worth: of a row, of a name; 1 of another cell


class Fit(NamedTuple):
    """The widths of the columns that are shown, and the columns that have no room."""

    widths: Mapping[str, int]
    hidden: Sequence[str]


@dataclass(frozen=True, eq=False)
class _Column:
    """A column, with the lengths of its longest word and of its longest line, and of the words of its cells."""

    key: str
    word: int
    line: int
    is_name: bool
    cells: Sequence[Sequence[int]]

    @property
    def least(self) -> int:
        return self.word if self.is_name or self.word <= SHORT_WORD else LEAST

    @property
    def weight(self) -> int:
        """What a line less of one of its cells is worth."""
        return NAME_WEIGHT if self.is_name else 1

    def heights(self, width: int) -> list[int]:
        """Return how many lines each cell has in a width."""
        return [_height(words, width) for words in self.cells]


def fit(texts: Mapping[str, Sequence[str]], width: int, unfolded: Iterable[str], *, keeps_all: bool = False) -> Fit:
    """Return the widths of columns, each with the texts of its heading and its cells.

    Columns are hidden from the last one on if names would be broken otherwise; not if `keeps_all`, and never the first
    one or names. `unfolded`: columns whose lines stay whole. No widths: nothing has to be folded, or names are too
    long for any table.
    """
    columns = [_measured(key, of_column, key in unfolded) for key, of_column in texts.items()]
    if _total(columns, lambda column: column.line) <= width:
        return Fit({}, [])
    hidden: list[str] = []
    while _total(columns, lambda column: column.least) > width:
        last = next((column for column in reversed(columns[1:]) if not column.is_name), None)
        if last is None or keeps_all:
            return Fit({}, hidden)
        columns.remove(last)
        hidden.insert(0, last.key)
    return Fit(_shared(columns, width), hidden)


def _measured(key: str, texts: Sequence[str], is_unfolded: bool) -> _Column:
    from rich.cells import cell_len

    line = max(map(cell_len, texts), default=0)
    word = line if is_unfolded else max((cell_len(word) for text in texts for word in text.split()), default=0)
    chosen = texts[:: 1 + len(texts) // MEASURED_ROWS]
    return _Column(key, word, line, key in NAMES or is_unfolded, [[*map(cell_len, text.split())] for text in chosen])


def _height(words: Sequence[int], width: int) -> int:
    """Return how many lines words have in a width; a word that is longer than a line is broken."""
    lines, used = 1, 0
    for word in words:
        used += word + (used > 0)
        if used > width:
            lines, used = lines + 1 + (word - 1) // width, (word - 1) % width + 1
    return lines


def _total(columns: Sequence[_Column], length: Callable[[_Column], int]) -> int:
    return sum(map(length, columns)) + GAP * (len(columns) - 1)


def _shared(columns: Sequence[_Column], width: int) -> dict[str, int]:
    """Share what is left: first for whole words, then where it makes rows lower, then for all that are folded."""
    widths = {column.key: column.least for column in columns}
    left = width - _total(columns, lambda column: column.least)
    left -= _widen(widths, {column.key: column.word for column in columns}, left)
    heights = cache(_Column.heights)
    while best := _best_step(columns, widths, left, heights):
        key, more = best
        widths[key], left = widths[key] + more, left - more
    _widen(widths, {column.key: column.line for column in columns}, left)
    return widths


def _best_step(
    columns: Sequence[_Column], widths: Mapping[str, int], left: int, heights: Callable[[_Column, int], list[int]]
) -> tuple[str, int] | None:
    """Return the column that gets characters, and how many, so that each of them saves most; None if none saves any."""
    best, most = None, 0.0
    for column in columns:
        now = heights(column, widths[column.key])
        others = [heights(other, widths[other.key]) for other in columns if other is not column]
        rows = [max(row) for row in zip(*others, strict=True)] or [1] * len(now)
        cost = _cost(column, rows, now)
        largest = cost - _cost(column, rows, [1] * len(now))
        for more in range(1, min(left, column.line - widths[column.key]) + 1):
            if largest <= most * more:  # more characters can't save more each
                break
            saved = (cost - _cost(column, rows, heights(column, widths[column.key] + more))) / more
            if saved > most:
                best, most = (column.key, more), saved
    return best


def _cost(column: _Column, rows: Sequence[int], heights: Sequence[int]) -> int:
    """Return what the heights of a column's cells cost. `rows`: the heights of the other cells of each row."""
    return ROW_WEIGHT * sum(map(max, rows, heights)) + column.weight * sum(heights)


def _widen(widths: dict[str, int], wanted: Mapping[str, int], left: int) -> int:
    """Give columns the widths that they want, those that need least first; return how much was given."""
    given = 0
    for key in sorted(wanted, key=lambda key: wanted[key] - widths[key]):
        more = min(left - given, wanted[key] - widths[key])
        widths[key], given = widths[key] + more, given + more
    return given

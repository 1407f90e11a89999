"""Share the width of a terminal among the columns of a table, so that names stay whole: people copy them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

# Fields whose values people type or copy into further commands; their words are never broken.
NAMES = frozenset({
    "alert", "check", "email", "feature", "id", "model", "monitor", "name", "org", "prefix", "receiver", "rule",
    "source", "version",
})  # fmt: skip
GAP = 2  # characters between two columns
SHORT_WORD = 12  # characters; longer words of other fields may be broken
LEAST = 8  # characters that a column with broken words has


class Fit(NamedTuple):
    """The widths of the columns that are shown, and the columns that have no room."""

    widths: Mapping[str, int]
    hidden: Sequence[str]


@dataclass(frozen=True)
class _Column:
    """A column, with the lengths of its longest word and of its longest line."""

    key: str
    word: int
    line: int
    is_name: bool

    @property
    def least(self) -> int:
        return self.word if self.is_name or self.word <= SHORT_WORD else LEAST


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
    return _Column(key, word, line, key in NAMES or is_unfolded)


def _total(columns: Sequence[_Column], length: Callable[[_Column], int]) -> int:
    return sum(map(length, columns)) + GAP * (len(columns) - 1)


def _shared(columns: Sequence[_Column], width: int) -> dict[str, int]:
    """Share what is left: first for whole words, then for names that fit on one line, then for all others."""
    widths = {column.key: column.least for column in columns}
    left = width - _total(columns, lambda column: column.least)
    left -= _widen(widths, {column.key: column.word for column in columns}, left)
    for column in columns:
        if column.is_name and column.line - widths[column.key] <= left:
            left -= _widen(widths, {column.key: column.line}, left)
    _widen(widths, {column.key: column.line for column in columns}, left)
    return widths


def _widen(widths: dict[str, int], wanted: Mapping[str, int], left: int) -> int:
    """Give columns the widths that they want, those that need least first; return how much was given."""
    given = 0
    for key in sorted(wanted, key=lambda key: wanted[key] - widths[key]):
        more = min(left - given, wanted[key] - widths[key])
        widths[key], given = widths[key] + more, given + more
    return given

"""What a command shows: the parts of a page, for people, and its data, for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dcmon.data_formats import Data, Row


@dataclass(frozen=True)
class Table:
    """Rows to show as a table; the fields are the arguments of `Output.table`."""

    rows: Sequence[Row]
    columns: Sequence[str] | Mapping[str, str]
    title: str | None = None
    empty: str = ""
    unfolded: Sequence[str] = ()
    narrow: Sequence[str] = ()


@dataclass(frozen=True)
class Fields:
    """One object to show, a line for each key; `none` has the texts for None. A value can be `Lines` without title."""

    row: Row
    none: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Lines:
    """Lines of text to show, below a title if there is one. A line feed in a line is shown as \\n.

    `hanging`: how far from the left at least the rest of a folded line begins.
    """

    lines: Sequence[str]
    title: str | None = None
    hanging: int = 0


class Copied(str):
    """A line that a person copies, such as a command: it is not folded, as a terminal would copy a line break then."""


@dataclass(frozen=True)
class Remark:
    """A sentence to write to stderr between the other parts."""

    text: str


@dataclass(frozen=True)
class Document:
    """A text of lines to show as it is: long lines are not folded, so that it can go into a file."""

    text: str


@dataclass(frozen=True)
class Markdown:
    """A text in Markdown: drawn on a terminal, and shown as it is in a pipe."""

    text: str


Part = Table | Fields | Lines | Remark | Document | Markdown


class Span(NamedTuple):
    """A part of a line. `word` gives its colour (colors.STYLES)."""

    text: str
    word: str = ""


class Page(NamedTuple):
    """What a command shows: `data` to programs, or `parts` to people, one below the other.

    Remarks follow in all formats. `names`: what -o name shows of an object that has no name itself.
    """

    data: Data
    parts: Sequence[Part]
    remarks: Sequence[str] = ()
    names: Sequence[str] | None = None

    def with_data(self, part: Part) -> Part:
        """Add the fields of data to the rows of the one table that shows it, so that --sort takes all of them."""
        tables = [other for other in self.parts if isinstance(other, Table)]
        if not isinstance(part, Table) or isinstance(self.data, Mapping) or len(tables) > 1:
            return part
        if len(part.rows) != len(self.data):
            return part
        return replace(part, rows=[{**data, **row} for data, row in zip(self.data, part.rows, strict=True)])

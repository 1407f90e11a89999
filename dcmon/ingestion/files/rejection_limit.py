"""How many rows of a file may be rejected before the file is refused."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from dcmon import errors

FEW_ROWS = 100  # a file with fewer rows may lose more of them: one row of ten is no tenth of a service's rows
DEFAULT_SHARE, DEFAULT_SHARE_OF_FEW = 0.05, 0.5
CHECKED_ROWS = 10_000  # the first rows of a file, which are judged before anything is stored
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%", re.ASCII)
_ROWS = re.compile(r"\d+", re.ASCII)


class RejectedShare(NamedTuple):
    """How many rows are rejected, of how many. `is_added`: of those that a file adds, not of all its rows."""

    rejected: int
    rows: int
    is_added: bool = False


class FileCounts(NamedTuple):
    """What became of rows of a file.

    `rejected` counts all rows that can't be stored, `quarantined` those that were not in quarantine before. The rows
    that are neither in `stored` nor in `quarantined` are duplicates.
    """

    rows: int = 0
    stored: int = 0
    quarantined: int = 0
    rejected: int = 0

    def plus(self, other: "FileCounts") -> "FileCounts":
        """Return the counts of both parts of a file."""
        return FileCounts(*(count + more for count, more in zip(self, other, strict=True)))


@dataclass(frozen=True)
class RejectionLimit:
    """The most rows of a file that may be rejected: a share of its rows, or a number. None for both: the default."""

    share: float | None = None
    rows: int | None = None

    @property
    def allows_all(self) -> bool:
        """True if no file exceeds the limit."""
        return self.share is not None and self.share >= 1

    def excess(self, counts: FileCounts) -> RejectedShare | None:
        """Return the rejected rows if they are too many; None if the file is within the limit.

        The whole file is judged, and then the rows that it adds: many rows that are stored already must not hide that
        most of the others can't be stored.
        """
        of_file = RejectedShare(counts.rejected, counts.rows)
        added = RejectedShare(counts.quarantined, counts.stored + counts.quarantined, is_added=True)
        return next((share for share in (of_file, added) if self.is_exceeded(share.rejected, share.rows)), None)

    def is_exceeded(self, rejected: int, rows: int) -> bool:
        """Return True if `rejected` of a file's `rows` are more than the limit."""
        return rejected > (self.rows if self.rows is not None else self._share(rows) * rows)

    def text(self, rows: int) -> str:
        """Return the limit for a file of so many rows, as it is typed: 5%, or 20 rows."""
        if self.rows is not None:
            return "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        return f"{100 * self._share(rows):.10g}%"

    def _share(self, rows: int) -> float:
        if self.share is not None:
            return self.share
        return DEFAULT_SHARE_OF_FEW if rows < FEW_ROWS else DEFAULT_SHARE


DEFAULT_LIMIT = RejectionLimit()


def parse(text: str) -> RejectionLimit:
    """Parse a share (1%, 0.5%) or a number of rows (20). Raises InvalidInput."""
    typed = text.strip()
    if (share := _SHARE.fullmatch(typed)) and float(share[1]) <= 100:
        return RejectionLimit(share=float(share[1]) / 100)
    if _ROWS.fullmatch(typed):
        return RejectionLimit(rows=int(typed))
    raise errors.InvalidInput(
        f"--max-rejected: {text!r} is no share of the rows such as 1%, and no number of rows such as 20."
    )

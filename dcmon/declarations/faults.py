"""Faults of files, each with its place."""

from collections.abc import Iterable
from dataclasses import dataclass

SHOWN_FAULTS = 100


@dataclass(frozen=True, order=True)
class Mark:
    """A place in a file; lines and columns begin with 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Fault:
    """What is wrong in a file, and where."""

    mark: Mark
    message: str

    def __str__(self) -> str:
        return f"{self.mark}: {self.message}"


def text_of(faults: Iterable[Fault]) -> str:
    """Return faults as lines, in the order of their places."""
    lines = [str(fault) for fault in sorted(set(faults))]
    left_out = len(lines) - SHOWN_FAULTS
    return "\n".join([*lines[:SHOWN_FAULTS], *([f"and {left_out:,} more"] if left_out > 0 else [])])

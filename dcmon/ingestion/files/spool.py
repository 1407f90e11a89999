"""Copies of what can be read only once: the standard input, and pipes such as the shell's <(zcat old.csv.gz)."""

import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dcmon import file_errors

STDIN = "-"


def is_needed(path: str) -> bool:
    """Return True if a path can be read only once."""
    try:
        return path == STDIN or stat.S_ISFIFO(Path(path).stat().st_mode)
    except OSError:
        return False  # opening the file raises the error


@contextmanager
def spooled(path: str) -> Iterator[BinaryIO]:
    """Copy the standard input, or a pipe, to a temporary file, which can be read several times. Raises FileRefused."""
    with tempfile.TemporaryFile(prefix="dcmon-") as copy:
        try:
            if path == STDIN:
                shutil.copyfileobj(sys.stdin.buffer, copy)
            else:
                with Path(path).open("rb") as pipe:
                    shutil.copyfileobj(pipe, copy)
        except OSError as error:
            raise file_errors.unreadable(path, error) from error
        copy.seek(0)
        yield copy

"""Where the files of a source lie: below a directory, or in S3 (ingestion.files.s3).

Which there are, and their bytes.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from dcmon import errors
from dcmon.ingestion.files import reader

log = logging.getLogger(__name__)

SETTLED_AFTER = 10.0  # seconds since its last change, until a file counts as written to its end
PAGE = 1000


class Entry(NamedTuple):
    """A file: its path below the place, a stamp that changes with its content, and when that was (seconds)."""

    path: str
    stamp: str | None
    modified: float
    is_settled: bool = True


class Place(Protocol):
    """Where files lie."""

    def pages(self) -> Iterator[list[Entry]]:
        """Files at any depth, some at a time. Raises NotFound, FileRefused, Unreachable or StorageRefused."""

    def fetch(self, path: str) -> AbstractContextManager[BinaryIO]:
        """The file's bytes, on this machine. Raises NotFound, FileRefused, Unreachable or StorageRefused."""


def is_wanted(path: str) -> bool:
    """Whether a file is for loading: of a known format, and neither hidden nor unfinished by its name or folder's."""
    return reader.format_of(path) is not None and not any(part[:1] in "._" for part in PurePosixPath(path).parts)


@dataclass(frozen=True)
class Directory:
    """A directory of this machine."""

    root: Path

    def pages(self) -> Iterator[list[Entry]]:
        """See Place."""
        found = self._entries()
        while page := list(islice(found, PAGE)):
            yield page

    def _entries(self) -> Iterator[Entry]:
        def refuse(error: OSError) -> None:
            # A folder that went away while it was looked for is no fault; one that is closed to us is.
            if not isinstance(error, FileNotFoundError):
                raise errors.FileRefused(path=error.filename, why=error.strerror) from error

        if not self.root.is_dir():
            raise errors.NotFound(what="directory", name=str(self.root))
        for folder, _, names in os.walk(self.root, onerror=refuse):
            for name in names:
                path = Path(folder, name)
                said = path.relative_to(self.root).as_posix()
                if is_wanted(said) and _is_text(said):
                    yield from _looked_at(path, said)

    def fetch(self, path: str) -> AbstractContextManager[BinaryIO]:
        """See Place."""
        return reader.opened_bytes(self.root / path)


def _is_text(said: str) -> bool:
    """Whether a path is UTF-8, as PostgreSQL's text is; one that is not costs itself only."""
    try:
        said.encode()
    except UnicodeEncodeError:
        log.warning("%s is left out: its name is no UTF-8, rename it", said.encode(errors="backslashreplace").decode())
        return False
    return True


def _looked_at(path: Path, said: str) -> Iterator[Entry]:
    try:
        about = path.stat()
    except FileNotFoundError:
        return
    stamp, age = f"{about.st_size}-{about.st_mtime_ns}", time.time() - about.st_mtime
    yield Entry(said, stamp, about.st_mtime, is_settled=age > SETTLED_AFTER)


def directory(url: str) -> Directory | None:
    """The directory that a URL names, file:///path or /path; None when it names another thing."""
    parts = urlsplit(url)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        return None
    path = Path(unquote(parts.path) if parts.scheme else url)
    return Directory(path) if path.is_absolute() else None

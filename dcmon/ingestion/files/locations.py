"""Where the files of a source are stored: what a directory (files.directory) and a bucket (files.s3) have in common."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple, Protocol

from dcmon.ingestion.files import reader


class FileEntry(NamedTuple):
    """A listed file: its path below the location, a stamp that changes with its content, its last change (seconds).

    `is_complete` is False while the file may still be being written.
    """

    path: str
    stamp: str | None
    modified: float
    is_complete: bool = True


class Location(Protocol):
    """A place where files are stored. Its methods raise NotFound, FileRefused, Unreachable or StorageRefused."""

    def pages(self) -> Iterator[list[FileEntry]]:
        """List the files at any depth, some at a time."""

    def fetch(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open the bytes of a file, on this machine."""


def is_loadable(path: str) -> bool:
    """Return True if a file has a known format, and neither its name nor a folder's begins with "." or "_"."""
    return reader.format_of(path) is not None and not any(part[:1] in "._" for part in PurePosixPath(path).parts)

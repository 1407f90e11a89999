"""Locations of files: the interface of directories (files.directory) and buckets (files.s3)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple, Protocol

from dcmon.ingestion.files import path_columns, reader


class FileEntry(NamedTuple):
    """A listed file. `path` begins below the location, `stamp` changes with the content.

    `modified` is in seconds since 1970. `is_complete` is False while another process may still write the file.
    """

    path: str
    stamp: str | None
    modified: float
    is_complete: bool = True


class Location(Protocol):
    """A directory or bucket with files. Its methods raise NotFound, FileRefused, Unreachable or StorageRefused."""

    def pages(self) -> Iterator[list[FileEntry]]:
        """Yield the files at any depth, page by page."""

    def fetch(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open the bytes of a file as a local file."""


def is_loadable(path: str) -> bool:
    """Return True if a file has a known format, and no part of its path is hidden (path_columns.is_hidden)."""
    return reader.format_of(path) is not None and not any(map(path_columns.is_hidden, PurePosixPath(path).parts))

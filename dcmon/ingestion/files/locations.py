"""Locations of files: the interface of directories (files.directory) and buckets (files.s3)."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple, Protocol

from dcmon.ingestion.files import path_columns, reader, spark_output


@dataclass(frozen=True)
class AccessKeys:
    """Keys of an object store, and the region that they are for."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    region: str


class FileEntry(NamedTuple):
    """A listed file. `path` begins below the location, `stamp` changes with the content.

    `modified` is in seconds since 1970. `is_complete` is False while another process may still write the file.
    """

    path: str
    stamp: str | None
    modified: float
    is_complete: bool = True


class Page(NamedTuple):
    """Listed files, and the paths of hidden files and folders, which tell what is being written."""

    files: list[FileEntry]
    hidden: list[str]


Proceed = Callable[[], None]


def proceed() -> None:
    """Let a copy continue."""


class Location(Protocol):
    """A directory or bucket with files. Its methods raise NotFound, FileRefused, Unreachable or StorageRefused."""

    def pages(self) -> Iterator[Page]:
        """Yield the files at any depth, page by page."""

    def fetch(self, path: str, proceed: Proceed = proceed) -> AbstractContextManager[BinaryIO]:
        """Open the bytes of a file as a local file. While they are copied, `proceed` may end it with an exception."""


def is_hidden(path: str) -> bool:
    """Return True if a part of a path is hidden (path_columns.is_hidden)."""
    return any(map(path_columns.is_hidden, PurePosixPath(path).parts))


def is_loadable(path: str, size: int) -> bool:
    """Return True for a visible path of a file with a known format that is no empty part file."""
    return reader.format_of(path) is not None and not spark_output.is_empty_part(path, size)

"""Open files for organizations and backups: a file appears under its name only when it is complete."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dcmon import complete_files, errors
from dcmon.file_errors import FileUnwritable, require_free, unreadable

STANDARD = "-"  # stdin or stdout


@dataclass(frozen=True)
class FileOptions:
    """How a file is written. `is_replaced`: also where one exists. `is_dry_run`: nothing is written."""

    is_replaced: bool = False
    is_dry_run: bool = False


NEW_FILE = FileOptions()


@contextmanager
def writing(path: str, options: FileOptions = NEW_FILE) -> Iterator[BinaryIO]:
    """Open a new file that only its owner may read. It appears at `path` at the end of the block, without an error.

    Raises Conflict if the file exists, and FileUnwritable, also when the reader of stdout has ended.
    """
    if options.is_dry_run:
        if path != STANDARD:
            _require_writable(Path(path), options)
        with open(os.devnull, "wb") as stream:
            yield stream
        return
    if path == STANDARD:
        if sys.stdout.isatty():
            raise errors.InvalidInput("The file is not for a terminal: redirect it, or give a path in place of -.")
        with _writing_stdout() as stream:
            yield stream
        return
    target = Path(path)
    try:
        require_free(target, is_replaced=options.is_replaced)
        with complete_files.writing(target, complete_files.PRIVATE) as stream:
            yield stream
            require_free(target, is_replaced=options.is_replaced)  # another process may have written it meanwhile
    except OSError as error:
        raise FileUnwritable(path=path, reason=error.strerror or str(error)) from error


def _require_writable(target: Path, options: FileOptions) -> None:
    require_free(target, is_replaced=options.is_replaced)
    if target.is_dir():
        raise FileUnwritable(path=target, reason=os.strerror(errno.EISDIR))
    if not os.access(target.parent, os.W_OK):
        reason = "Permission denied" if target.parent.is_dir() else "No such directory"
        raise FileUnwritable(path=target, reason=reason)


@contextmanager
def _writing_stdout() -> Iterator[BinaryIO]:
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except OSError as error:
        # What is still in the buffer can't be written either, and must not end the process with another exit code.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        raise FileUnwritable(path="stdout", reason=error.strerror or str(error)) from error


@contextmanager
def reading(path: str) -> Iterator[BinaryIO]:
    """Open a file, or stdin. Raises FileMissing or FileRefused."""
    if path == STANDARD:
        yield sys.stdin.buffer
        return
    try:
        with open(path, "rb") as stream:
            yield stream
    except OSError as error:
        raise unreadable(path, error) from error


def passphrase(path: str | None) -> str | None:
    """Return the first line of a file; None without one. Raises InvalidInput, FileMissing or FileRefused."""
    if path is None:
        return None
    with reading(path) as stream:
        line = stream.readline().decode(errors="replace").rstrip("\r\n")
    if not line:
        raise errors.InvalidInput(f"{path} has no passphrase in its first line.")
    return line

"""Open files for organizations and backups: a file appears under its name only when it is complete."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dcmon import errors
from dcmon.file_errors import FileRefused, FileUnwritable

STANDARD = "-"  # stdin or stdout


@contextmanager
def writing(path: str, *, is_replaced: bool = False) -> Iterator[BinaryIO]:
    """Open a new file that only its owner may read. It appears at `path` at the end of the block, without an error.

    Raises Conflict if the file exists, and FileUnwritable.
    """
    if path == STANDARD:
        if sys.stdout.isatty():
            raise errors.InvalidInput("The file is not for a terminal: redirect it, or give a path in place of -.")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path)
    if target.exists() and not is_replaced:
        raise errors.Conflict(f"{path} exists already. Choose another name, or add --replace.")
    partial = target.with_name(f"{target.name}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, target)
    except OSError as error:
        raise FileUnwritable(path=path, reason=error.strerror or str(error)) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def reading(path: str) -> Iterator[BinaryIO]:
    """Open a file, or stdin. Raises FileRefused."""
    if path == STANDARD:
        yield sys.stdin.buffer
        return
    try:
        with open(path, "rb") as stream:
            yield stream
    except OSError as error:
        raise FileRefused(path=path, reason=error.strerror or str(error)) from error


def passphrase(path: str | None) -> str | None:
    """Return the first line of a file; None without one. Raises InvalidInput or FileRefused."""
    if path is None:
        return None
    with reading(path) as stream:
        line = stream.readline().decode(errors="replace").rstrip("\r\n")
    if not line:
        raise errors.InvalidInput(f"{path} has no passphrase in its first line.")
    return line

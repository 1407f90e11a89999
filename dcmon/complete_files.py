"""Write files that appear under their names only when they are complete, also when several processes write the same."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

READABLE, PRIVATE = 0o666, 0o600  # permissions, of which the umask takes some
WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
# Names of open files: what is written there goes to the open file, and the name must stay.
OPEN_FILES = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))


@contextmanager
def writing(target: Path, mode: int = READABLE) -> Iterator[BinaryIO]:
    """Open a new file, which becomes `target` at the end of the block; after an error it is removed. Raises OSError.

    Each call has a file of its own: of several at the same time, the last one stays, and no contents are mixed.
    """
    if target.parent in OPEN_FILES or (target.exists() and not target.is_file()):
        with target.open("wb") as stream:
            yield stream
        return
    partial = target.with_name(f".{target.name[:40]}.{secrets.token_hex(6)}.partial")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(target)
    except OSError as error:
        # The name that people know. An error of `write` has no name: on a full disk people could not tell which file.
        if str(error.filename) == str(partial) or (error.filename is None and error.errno in WRITE_ERRORS):
            error.filename = str(target)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a text as UTF-8. Raises OSError."""
    with writing(target) as stream:
        stream.write(text.encode())

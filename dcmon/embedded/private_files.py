"""Files and directories of the data directory, which other users can't read, under any umask."""

import errno
import os
from pathlib import Path

from dcmon import errors
from dcmon.privileges import Account

UMASK = 0o077  # of the supervisor and its children
STATE_FILES = ("postgres.json", "valkey.json", "valkey.conf", "supervisor.json", "supervisor.lock", "demo.json",
               "secret.key")  # fmt: skip


def make_directory(path: Path, passer: Account | None) -> None:
    """Create a private directory if necessary, or make it private; `passer` may pass through it, not list it.

    Raises DiskFull or DataDirectoryUnusable.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_uid == os.geteuid():
            if passer is not None:
                os.chown(path, -1, passer.gid)
            path.chmod(0o700 if passer is None else 0o710)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise errors.DiskFull(where=path) from error
        raise errors.DataDirectoryUnusable(path=path, reason=f"{error.strerror}.") from error


def close_files(data_dir: Path) -> None:
    """Make state files and logs private that a former release left readable for others."""
    for path in (*(data_dir / name for name in STATE_FILES), *(data_dir / "logs").iterdir()):
        if path.is_file() and not path.is_symlink() and path.stat().st_uid == os.geteuid():
            path.chmod(0o600)


def opener(path: str, flags: int) -> int:
    """Open a file for `open`; a new one is private."""
    return os.open(path, flags, 0o600)

"""Directories for the servers of tests, in memory if possible."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")
ENOUGH = 4 * 2**30  # bytes: a cluster with its log takes about 400 MB, and each xdist worker has one


@contextmanager
def server_directory(prefix: str = "dcmon-test-") -> Iterator[Path]:
    """Yield a new directory that an unprivileged PostgreSQL can enter, and remove it at the end.

    A new database has about 300 files. For each one, ext4 searches long for an inode if other databases were deleted in
    the last five seconds; half of the CPU time of a test was spent there.
    """
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if _is_memory_usable() else None))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _is_memory_usable() -> bool:
    """Return True if /dev/shm has room and allows programs to run (a copy of PostgreSQL)."""
    if not os.access(MEMORY, os.W_OK):
        return False
    return not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC and shutil.disk_usage(MEMORY).free >= ENOUGH

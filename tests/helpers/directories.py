"""Directories for the servers of tests, in memory where that is possible."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")
ENOUGH = 4 * 2**30  # bytes: a cluster with its log takes some 400 MB, and each xdist worker has one


@contextmanager
def server_directory(prefix: str = "dcmon-test-") -> Iterator[Path]:
    """A new directory that an unprivileged PostgreSQL can enter, also when root runs the tests; removed at the end.

    A new database is some 300 files. ext4 searches long for an inode for each while those of the database before were
    deleted in the last five seconds: on it, half of the CPU time of a test went there.
    """
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if _is_memory_usable() else None))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _is_memory_usable() -> bool:
    """True if there is a file system in memory that has room, and whose programs may be run (a copy of PostgreSQL)."""
    if not os.access(MEMORY, os.W_OK):
        return False
    return not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC and shutil.disk_usage(MEMORY).free >= ENOUGH

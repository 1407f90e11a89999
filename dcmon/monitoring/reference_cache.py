"""A cache of reference rows, which are read once for many windows."""

import threading
from collections.abc import Callable

from cachetools import LRUCache
from sqlalchemy.orm import Session

from dcmon.checks.workload import RowsKey
from dcmon.db import Organization
from dcmon.db.tables.org import Version
from dcmon.storage import references
from dcmon.storage.column_blocks import ColumnarSample

MAX_REVISIONS = 10_000  # revisions of references, for each of which one bool is cached: whether a class is rare


class ReferenceCache:
    """The reference rows that were read last, which the threads of a worker share."""

    def __init__(self, max_size: int = 16) -> None:
        self._lock = threading.Lock()
        self._rows = LRUCache[RowsKey, ColumnarSample | None](max_size)
        self._unbalanced = LRUCache[tuple[int, int, int], bool](MAX_REVISIONS)

    def get(self, key: RowsKey, read: Callable[[RowsKey], ColumnarSample | None]) -> ColumnarSample | None:
        """Return the rows of a key; call `read` if they are not cached."""
        if not key.is_cacheable:
            return read(key)
        with self._lock:
            if key in self._rows:
                return self._rows[key]
        rows = read(key)  # without the lock, so that other threads do not wait for the database
        with self._lock:
            self._rows[key] = rows
        return rows

    def is_unbalanced(self, session: Session, org: Organization, version: Version) -> bool:
        """Return True if a class is rare in the version's reference.

        This is computed once for each revision of the reference.
        """
        key = org.id, version.id, version.reference_revision
        with self._lock:
            if key in self._unbalanced:
                return self._unbalanced[key]
        is_unbalanced = references.is_unbalanced(session, version)
        with self._lock:
            self._unbalanced[key] = is_unbalanced
        return is_unbalanced

"""A cache of reference rows: one reference serves many windows."""

import threading
from collections import OrderedDict
from collections.abc import Callable

from sqlalchemy.orm import Session

from dcmon.checks.workload import RowsKey
from dcmon.db import Organization
from dcmon.db.tables.org import Version
from dcmon.storage import references
from dcmon.storage.column_blocks import ColumnarSample


class ReferenceCache:
    """The reference rows that were read last, shared by the threads of a worker."""

    def __init__(self, max_size: int = 16) -> None:
        self._max_size, self._lock = max_size, threading.Lock()
        self._rows: OrderedDict[RowsKey, ColumnarSample | None] = OrderedDict()
        self._unbalanced: dict[tuple[int, int], tuple[int, bool]] = {}

    def get(self, key: RowsKey, read: Callable[[RowsKey], ColumnarSample | None]) -> ColumnarSample | None:
        """Return the rows of a key; call `read` for rows that are not in the cache."""
        if not key.is_cacheable:
            return read(key)
        with self._lock:
            if key in self._rows:
                self._rows.move_to_end(key)
                return self._rows[key]
        rows = read(key)  # without the lock: other threads need not wait for the database
        with self._lock:
            self._rows[key] = rows
            while len(self._rows) > self._max_size:
                self._rows.popitem(last=False)
        return rows

    def is_unbalanced(self, session: Session, org: Organization, version: Version) -> bool:
        """Return True if a class is rare in the version's reference; computed once for each revision of it."""
        key, revision = (org.id, version.id), version.reference_revision
        if self._unbalanced.get(key, (None, False))[0] != revision:
            self._unbalanced[key] = revision, references.is_unbalanced(session, version)
        return self._unbalanced[key][1]

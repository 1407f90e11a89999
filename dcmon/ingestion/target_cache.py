"""Look up the models and versions by which rows are decoded, and cache them.

With a cached entry, decoding a batch needs no query. `admission_cache` is the cache that checks requests before that.
"""

import threading
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

from cachetools import TTLCache
from sqlalchemy import Engine

from dcmon import db
from dcmon.db import Organization
from dcmon.db.tables.org import Model, Version
from dcmon.states import RowKind
from dcmon.storage import models, versions
from dcmon.tenancy import organizations

MAX_AGE_SECONDS = 60.0  # a changed retention of a model takes effect after at most this time
MAX_ENTRIES = 5_000


class RowTarget(NamedTuple):
    """The target of rows, by its id: a version for samples, a model for labels."""

    org: Organization
    kind: RowKind
    target_id: int


class ResolvedTarget(NamedTuple):
    """A model, and for samples its version. Both are detached from their session."""

    model: Model
    version: Version | None


def look_up(
    engine: Engine, target: RowTarget, wait: timedelta | None = None, member: int | None = None
) -> ResolvedTarget:
    """Read the model and version of a target. Raises NotFound.

    `wait`: the longest wait for a locked organization. `member`: the id of the user whose models alone are found.
    """
    with db.org_session(engine, target.org, wait=wait, member=member) as session:
        if target.kind == RowKind.SAMPLES:
            return ResolvedTarget(*versions.get(session, target.target_id))
        return ResolvedTarget(models.get(session, target.target_id), None)


class TargetCache:
    """Caches versions with their models, models, and organizations. Safe for several threads.

    The version or model of an entry may have been deleted. The transaction that stores rows then fails because the
    tables are missing; the caller calls `forget` and looks the target up again. `wait` is the longest time to
    wait for a locked organization; None: no limit.
    """

    def __init__(self, engine: Engine, wait: timedelta | None = None) -> None:
        self.engine, self.wait = engine, wait
        self._targets: TTLCache[tuple[int, str, int], ResolvedTarget] = TTLCache(MAX_ENTRIES, MAX_AGE_SECONDS)
        self._organizations: TTLCache[int, Organization | None] = TTLCache(MAX_ENTRIES, MAX_AGE_SECONDS)
        self._lock = threading.Lock()

    def find(self, target: RowTarget) -> ResolvedTarget:
        """Return the model and version of a target. Raises NotFound."""
        org, kind, target_id = target
        key = (org.id, kind, target_id)
        with self._lock:
            cached = self._targets.get(key)
        if cached is not None:
            return cached
        resolved = look_up(self.engine, target, self.wait)
        with self._lock:
            self._targets[key] = resolved
        return resolved

    def organization(self, org_id: int) -> Organization | None:
        """Return the organization with this id; None if it was deleted."""
        with self._lock, suppress(KeyError):
            return self._organizations[org_id]
        with db.public_session(self.engine) as session:
            org = organizations.by_id(session, org_id)
        with self._lock:
            self._organizations[org_id] = org
        return org

    def forget(self, org: Organization) -> None:
        """Remove all entries of an organization."""
        with self._lock:
            self._organizations.pop(org.id, None)
            for key in [key for key in self._targets if key[0] == org.id]:
                self._targets.pop(key, None)  # the entry may have expired since the line above

"""Cache the version or model that rows are for, so that a batch is decoded without a query."""

import threading
import time
from collections import OrderedDict
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import Engine

from dcmon import db
from dcmon.db import Organization
from dcmon.db.tables.org import Model, Version
from dcmon.ingestion import message_format
from dcmon.storage import models, versions
from dcmon.tenancy import organizations

MAX_AGE_SECONDS = 60.0  # how long a changed retention of a model may go unnoticed
MAX_ENTRIES = 5_000


class RowTarget(NamedTuple):
    """What rows are for: samples for a version of an organization, or labels for a model, by its id."""

    org: Organization
    kind: message_format.Kind
    target_id: int


class ResolvedTarget(NamedTuple):
    """A model, with the version for samples and without one for labels. Both are detached from a session."""

    model: Model
    version: Version | None


class TargetCache:
    """Caches versions with their models, models, and organizations. Safe for several threads.

    An entry may be of a version or model that was deleted: who stores rows notices that (the tables are missing), calls
    `forget` and looks it up again. `wait` is the longest wait for an organization that is locked; None: no limit.
    """

    def __init__(self, engine: Engine, wait: timedelta | None = None) -> None:
        self.engine, self.wait = engine, wait
        self._targets: OrderedDict[tuple[int, str, int], tuple[float, ResolvedTarget]] = OrderedDict()
        self._organizations: dict[int, tuple[float, Organization | None]] = {}
        self._lock = threading.Lock()

    def find(self, target: RowTarget) -> ResolvedTarget:
        """Return the model and version of a target. Raises NotFound."""
        org, kind, target_id = target
        key = (org.id, kind, target_id)
        with self._lock:
            cached = self._targets.get(key)
        if cached is not None and cached[0] > time.monotonic():
            return cached[1]
        with db.org_session(self.engine, org, wait=self.wait) as session:
            if kind == "samples":
                resolved = ResolvedTarget(*versions.get(session, target_id))
            else:
                resolved = ResolvedTarget(models.get(session, target_id), None)
        with self._lock:
            self._targets[key] = (time.monotonic() + MAX_AGE_SECONDS, resolved)
            self._targets.move_to_end(key)
            while len(self._targets) > MAX_ENTRIES:
                self._targets.popitem(last=False)
        return resolved

    def organization(self, org_id: int) -> Organization | None:
        """Return the organization of that id; None when it was deleted."""
        with self._lock:
            cached = self._organizations.get(org_id)
        if cached is not None and cached[0] > time.monotonic():
            return cached[1]
        with db.public_session(self.engine) as session:
            org = organizations.by_id(session, org_id)
        with self._lock:
            self._organizations[org_id] = (time.monotonic() + MAX_AGE_SECONDS, org)
        return org

    def forget(self, org: Organization) -> None:
        """Remove all entries of an organization."""
        with self._lock:
            self._organizations.pop(org.id, None)
            for key in [key for key in self._targets if key[0] == org.id]:
                del self._targets[key]

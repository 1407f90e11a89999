"""Targets: the version or model that rows are for, remembered for a while, so that a batch begins without a look-up."""

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

AGE = 60.0  # seconds: how long another retention of a model may go unnoticed
MOST = 5_000


class RowTarget(NamedTuple):
    """Whom a delivery is for: samples for a version of an organization, or labels for a model, by id."""

    org: Organization
    kind: message_format.Kind
    number: int


class TargetCache:
    """Versions with their models, and models, of any organization; safe for several threads.

    What is remembered may be gone: whoever stores must notice that (its tables are), `forget` it and look again.
    `wait` is the longest wait for an organization that is locked just then; None: as long as it takes.
    """

    def __init__(self, engine: Engine, wait: timedelta | None = None) -> None:
        self.engine, self.wait = engine, wait
        self._known: OrderedDict[tuple[int, str, int], tuple[float, Model, Version | None]] = OrderedDict()
        self._organizations: dict[int, tuple[float, Organization | None]] = {}
        self._lock = threading.Lock()

    def find(self, address: RowTarget) -> tuple[Model, Version | None]:
        """A model, with the version when it is samples that come, both detached. Raises NotFound."""
        org, kind, number = address
        key = (org.id, kind, number)
        with self._lock:
            known = self._known.get(key)
        if known is not None and known[0] > time.monotonic():
            return known[1], known[2]
        with db.org_session(self.engine, org, wait=self.wait) as session:
            model, version = versions.get(session, number) if kind == "samples" else (models.get(session, number), None)
        with self._lock:
            self._known[key] = (time.monotonic() + AGE, model, version)
            self._known.move_to_end(key)
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        return model, version

    def organization(self, org_id: int) -> Organization | None:
        """The organization of that id; None when it is gone."""
        with self._lock:
            known = self._organizations.get(org_id)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        with db.public_session(self.engine) as session:
            org = organizations.by_id(session, org_id)
        with self._lock:
            self._organizations[org_id] = (time.monotonic() + AGE, org)
        return org

    def forget(self, org: Organization) -> None:
        """Look everything of this organization up again."""
        with self._lock:
            self._organizations.pop(org.id, None)
            for key in [key for key in self._known if key[0] == org.id]:
                del self._known[key]

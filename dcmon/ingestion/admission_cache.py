"""Check requests that log rows by cached tokens, versions and models, also without PostgreSQL.

The endpoint uses this cache before it accepts rows (`target_cache` is the cache for decoding them). An entry older than
DCMON_HTTP__FRESH is looked up again, so a revoked token or a deleted version is noticed within that time. While
PostgreSQL can't be reached, entries are used until they are older than DCMON_HTTP__STALE: with Kafka, rows are accepted
during an outage too. Only tokens, versions and models that exist are cached.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta
from typing import Generic, NamedTuple, TypeVar

from cachetools import FIFOCache
from sqlalchemy import Engine

from dcmon import db, errors
from dcmon.ingestion import target_cache
from dcmon.ingestion.target_cache import ResolvedTarget, RowTarget
from dcmon.settings import Http
from dcmon.states import RowKind
from dcmon.tenancy import tokens
from dcmon.tenancy.tokens import Bearer

log = logging.getLogger(__name__)
T = TypeVar("T")

OUTAGE_ERRORS = (errors.Unreachable, errors.DatabaseRefused, errors.DiskFull, errors.Locked)
MAX_ENTRIES = 10_000
SECONDS_BETWEEN_PROBES = 1.0  # during an outage of PostgreSQL
LOCK_WAIT = timedelta(seconds=2)  # the longest wait for an organization that is being migrated


class Outage:
    """Whether the last query reached PostgreSQL.

    While PostgreSQL can't be reached, one thread at a time probes it.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._probed_at, self._lock = 0.0, threading.Lock()

    def may_query(self) -> bool:
        """Return False during an outage if another thread is probing PostgreSQL or just did."""
        with self._lock:
            if self._since is None:
                return True
            if time.monotonic() - self._probed_at < SECONDS_BETWEEN_PROBES:
                return False
            self._probed_at = time.monotonic() + db.CONNECT_SECONDS
            return True

    def record(self, error: Exception | None) -> None:
        """Record the result of a query: an error, or None if PostgreSQL responded."""
        with self._lock:
            was_out = self._since is not None
            self._probed_at = time.monotonic()
            self._since = None if error is None else self._since or self._probed_at
        if error is not None and not was_out:
            log.warning("PostgreSQL can't be reached, cached tokens, versions and models are used: %s", error)
        if error is None and was_out:
            log.warning("PostgreSQL can be reached again")


class _Entry(NamedTuple, Generic[T]):
    looked_up_at: float  # by time.monotonic
    value: T


class OutageCache(Generic[T]):
    """Caches values. Stale values are returned only during an outage of PostgreSQL."""

    def __init__(self, settings: Http, outage: Outage) -> None:
        self._fresh_seconds, self._stale_seconds = settings.fresh.total_seconds(), settings.stale.total_seconds()
        self._outage, self._lock = outage, threading.Lock()
        self._entries = FIFOCache[Hashable, _Entry[T]](MAX_ENTRIES)

    def fresh(self, key: Hashable) -> T | None:
        """Return the value if it is fresh, else None."""
        return self._not_older(key, self._fresh_seconds)

    def get(self, key: Hashable, look_up: Callable[[], T]) -> T:
        """Return the value, and look it up if it is not fresh. Raises the errors of `look_up`."""
        if (fresh := self.fresh(key)) is not None:
            return fresh
        stale = self._not_older(key, self._stale_seconds)
        if stale is not None and not self._outage.may_query():
            return stale
        looked_up_at = time.monotonic()
        try:
            value = look_up()
        except OUTAGE_ERRORS as error:
            self._outage.record(error)
            if stale is None:
                raise
            return stale
        except errors.DcmonError:
            self._outage.record(None)
            self._remove(key)
            raise
        self._outage.record(None)
        self._store(key, _Entry(looked_up_at, value))
        return value

    def known(self, key: Hashable) -> T | None:
        """Return the value, also if it is stale, else None. It is never looked up."""
        return self._not_older(key, self._stale_seconds)

    def _not_older(self, key: Hashable, seconds: float) -> T | None:
        with self._lock:
            entry = self._entries.get(key)
        return entry.value if entry is not None and time.monotonic() - entry.looked_up_at < seconds else None

    def _store(self, key: Hashable, entry: _Entry[T]) -> None:
        with self._lock:
            self._entries[key] = entry

    def _remove(self, key: Hashable) -> None:
        with self._lock:
            self._entries.pop(key, None)


class AdmissionCache:
    """The cached tokens, versions and models of one process."""

    def __init__(self, engine: Engine, settings: Http) -> None:
        self.engine, outage = engine, Outage()
        self._bearers = OutageCache[Bearer](settings, outage)
        self._targets = OutageCache[ResolvedTarget](settings, outage)
        self._members_targets = OutageCache[ResolvedTarget](settings, outage)

    def fresh_bearer(self, token: str) -> Bearer | None:
        """Return the owner of the token if a fresh entry is cached, else None."""
        return _unless_expired(self._bearers.fresh(_digest(token)))

    def authenticate(self, token: str) -> Bearer:
        """Return the owner of the token.

        Raises NotAuthenticated, or Unreachable during an outage if no entry is cached.
        """
        bearer = _unless_expired(self._bearers.get(_digest(token), lambda: self._authenticate(token)))
        if bearer is None:
            raise errors.NotAuthenticated
        return bearer

    def require_target(self, target: RowTarget, member: int | None = None) -> ResolvedTarget:
        """Return the model and version of a target, which may be deleted by now if the entry is cached.

        `member`: the id of a user who must be a member of the model; None: that is not checked. Raises NotFound, or
        Unreachable during an outage if no entry is cached.
        """
        if member is not None:
            key = (member, *_key(target))
            self._members_targets.get(key, lambda: target_cache.look_up(self.engine, target, LOCK_WAIT, member))
        return self._targets.get(_key(target), lambda: target_cache.look_up(self.engine, target, LOCK_WAIT))

    def known_target(self, target: RowTarget) -> ResolvedTarget | None:
        """Return the model and version of a target if they are cached, else None."""
        return self._targets.known(_key(target))

    def _authenticate(self, token: str) -> Bearer:
        with db.public_session(self.engine) as session:
            return tokens.authenticate(session, token)


def _key(target: RowTarget) -> tuple[int, RowKind, int]:
    return target.org.id, target.kind, target.target_id


def _unless_expired(bearer: Bearer | None) -> Bearer | None:
    """Return the bearer, or None if the token has expired since it was looked up."""
    is_expired = bearer is not None and bearer.expires_at is not None and bearer.expires_at <= datetime.now(UTC)
    return None if is_expired else bearer


def _digest(token: str) -> bytes:
    """Return a hash of a token as its cache key. The token itself is not kept in memory."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()

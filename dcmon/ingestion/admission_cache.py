"""Check requests that log rows by cached tokens, versions and models, also without PostgreSQL.

The endpoint uses this cache before it accepts rows (`target_cache` is the cache for decoding them), and for tokens of
all other requests. PostgreSQL announces each change of what a token may do, and the cache forgets all tokens at
once; while it can't hear the announcements, it looks a token up for each request. An entry older than
DCMON_HTTP__FRESH is looked up again, so a deleted version is noticed within that time. While PostgreSQL can't be
reached, entries are used until they are older than DCMON_HTTP__STALE: with Kafka, rows are accepted during an outage
too. Only tokens, versions and models that exist are cached.
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
from dcmon.db import change_listener
from dcmon.db.change_listener import ChangeListener
from dcmon.ingestion import target_cache
from dcmon.ingestion.target_cache import ResolvedTarget, RowTarget
from dcmon.settings import Http
from dcmon.states import RowKind
from dcmon.tenancy import imported_tokens, tokens
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

    def __init__(self, settings: Http, outage: Outage, hears_changes: Callable[[], bool] = lambda: True) -> None:
        """`hears_changes`: whether `forget` is called at once for changes. Otherwise no entry is fresh."""
        self._fresh_seconds, self._stale_seconds = settings.fresh.total_seconds(), settings.stale.total_seconds()
        self._outage, self._lock, self._hears_changes = outage, threading.Lock(), hears_changes
        self.fresh_since = self._forgotten_at = float("-inf")
        self._entries = FIFOCache[Hashable, _Entry[T]](MAX_ENTRIES)

    def fresh(self, key: Hashable) -> T | None:
        """Return the value if it is fresh, else None."""
        if not self._hears_changes():
            return None
        return self._not_older(key, self._fresh_seconds, self.fresh_since)

    def forget(self) -> None:
        """Forget all values, because any of them may have changed."""
        with self._lock:
            self._forgotten_at = self.fresh_since = time.monotonic()
            self._entries.clear()

    def expire(self) -> None:
        """Look up all values again before their next use, unless PostgreSQL can't be reached then."""
        self.fresh_since = time.monotonic()

    def look_up(self, key: Hashable, look_up: Callable[[], T]) -> T:
        """Return a fresh value, also during an outage. Raises the errors of `look_up`."""
        if (fresh := self.fresh(key)) is not None:
            return fresh
        looked_up_at = time.monotonic()
        value = look_up()
        self._store(key, _Entry(looked_up_at, value))
        return value

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

    def _not_older(self, key: Hashable, seconds: float, since: float = float("-inf")) -> T | None:
        with self._lock:
            entry = self._entries.get(key)
        if entry is None or entry.looked_up_at <= since or time.monotonic() - entry.looked_up_at >= seconds:
            return None
        return entry.value

    def _store(self, key: Hashable, entry: _Entry[T]) -> None:
        with self._lock:
            if entry.looked_up_at > self._forgotten_at:  # a change that came meanwhile may not be in the value
                self._entries[key] = entry

    def _remove(self, key: Hashable) -> None:
        with self._lock:
            self._entries.pop(key, None)


class AdmissionCache:
    """The cached tokens, versions and models of one process."""

    def __init__(self, engine: Engine, settings: Http) -> None:
        self.engine, outage = engine, Outage()
        self._bearers = OutageCache[Bearer](settings, outage, lambda: self._listener.is_listening)
        self._listener = ChangeListener(engine, change_listener.TOKENS, self._bearers.forget, self._bearers.expire)
        self._targets = OutageCache[ResolvedTarget](settings, outage)
        self._members_targets = OutageCache[ResolvedTarget](settings, outage)

    def fresh_bearer(self, token: str) -> Bearer | None:
        """Return the owner of the token if a fresh entry is cached, else None."""
        return _unless_expired(self._bearers.fresh(key_of(token)))

    def authenticate(self, token: str) -> Bearer:
        """Return the owner of the token.

        Raises NotAuthenticated, or Unreachable during an outage if no entry is cached.
        """
        self._listener.start()
        return _live(self._bearers.get(key_of(token), lambda: self._authenticate(token)))

    def authenticate_now(self, token: str) -> Bearer:
        """Return the owner of the token, as PostgreSQL has it now. Raises NotAuthenticated or Unreachable."""
        self._listener.start()
        return _live(self._bearers.look_up(key_of(token), lambda: self._authenticate(token)))

    @property
    def changed_at(self) -> float:
        """When tokens changed last, by time.monotonic: a token that was wrong may be right since then."""
        return self._bearers.fresh_since

    def forget_bearers(self) -> None:
        """Forget all tokens. Call it after a commit that changes what tokens may do.

        The announcement of PostgreSQL does the same in all processes, some milliseconds later.
        """
        self._bearers.forget()

    def close(self) -> None:
        """Stop listening to changes."""
        self._listener.close()

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
        imported_tokens.compare_alone(lambda: db.public_session(self.engine), token.strip())
        with db.public_session(self.engine) as session:
            return tokens.authenticate(session, token)


def _key(target: RowTarget) -> tuple[int, RowKind, int]:
    return target.org.id, target.kind, target.target_id


def _live(bearer: Bearer) -> Bearer:
    """Return the bearer. Raises NotAuthenticated if the token has expired since it was looked up."""
    if _unless_expired(bearer) is None:
        raise errors.NotAuthenticated
    return bearer


def _unless_expired(bearer: Bearer | None) -> Bearer | None:
    """Return the bearer, or None if the token has expired since it was looked up."""
    is_expired = bearer is not None and bearer.expires_at is not None and bearer.expires_at <= datetime.now(UTC)
    return None if is_expired else bearer


def key_of(token: str) -> bytes:
    """Return a hash of a token as its cache key. The token itself is not kept in memory."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()

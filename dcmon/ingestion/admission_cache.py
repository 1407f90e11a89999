"""Admission to logging: who a token speaks for, and whether a version or model is there, from memory for a while.

What is known longer than the fresh age is looked up again; so a revoked token, or a deleted version, is known by then.
What is known no longer than the stale age still counts while PostgreSQL can't be reached: with a broker, batches are
taken then too. What is not found is not remembered.
"""

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from sqlalchemy import Engine

from dcmon import db, errors
from dcmon.db import Organization
from dcmon.settings import Http
from dcmon.storage import models, versions
from dcmon.tenancy import tokens
from dcmon.tenancy.tokens import Bearer

log = logging.getLogger(__name__)
T = TypeVar("T")

AWAY = (errors.Unreachable, errors.DatabaseRefused, errors.DiskFull, errors.Locked)
MOST = 10_000  # answers that are remembered
PAUSE = 1.0  # seconds between looks for a PostgreSQL that was away
LOCK_WAIT = timedelta(seconds=2)  # for an organization that is migrated just now


class Away:
    """Whether PostgreSQL was away a moment ago; one thread at a time looks whether it is back."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._looked_at, self._lock = 0.0, threading.Lock()

    def is_to_be_asked(self) -> bool:
        """True unless it was away and somebody looks, or looked within the pause."""
        with self._lock:
            if self._since is None:
                return True
            if time.monotonic() - self._looked_at < PAUSE:
                return False
            self._looked_at = time.monotonic() + db.CONNECT_SECONDS
            return True

    def note(self, error: Exception | None) -> None:
        """It was away, with this error; or it answered."""
        with self._lock:
            was_away = self._since is not None
            self._looked_at = time.monotonic()
            self._since = None if error is None else self._since or self._looked_at
        if error is not None and not was_away:
            log.warning("going on with the tokens, versions and models that are known: %s", error)
        if error is None and was_away:
            log.warning("PostgreSQL answers again")


class Known(Generic[T]):
    """Answers that are remembered: fresh ones are given at once, stale ones while PostgreSQL is away."""

    def __init__(self, settings: Http, away: Away) -> None:
        self._fresh, self._stale = settings.fresh.total_seconds(), settings.stale.total_seconds()
        self._away, self._lock = away, threading.Lock()
        self._answers: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()

    def fresh(self, key: Hashable) -> T | None:
        """The answer, unless it must be looked up."""
        return self._younger(key, self._fresh)

    def get(self, key: Hashable, look_up: Callable[[], T]) -> T:
        """The answer; looked up when it is not fresh. Raises what look_up raises."""
        if (known := self.fresh(key)) is not None:
            return known
        stale = self._younger(key, self._stale)
        if stale is not None and not self._away.is_to_be_asked():
            return stale
        asked_at = time.monotonic()
        try:
            answer = look_up()
        except AWAY as error:
            self._away.note(error)
            if stale is None:
                raise
            return stale
        except errors.DcmonError:
            self._away.note(None)
            self._forget(key)
            raise
        self._away.note(None)
        self._remember(key, asked_at, answer)
        return answer

    def _younger(self, key: Hashable, age: float) -> T | None:
        found = self._answers.get(key)
        return found[1] if found is not None and time.monotonic() - found[0] < age else None

    def _remember(self, key: Hashable, at: float, answer: T) -> None:
        with self._lock:
            self._answers[key] = at, answer
            self._answers.move_to_end(key)
            while len(self._answers) > MOST:
                self._answers.popitem(last=False)

    def _forget(self, key: Hashable) -> None:
        with self._lock:
            self._answers.pop(key, None)


class AdmissionCache:
    """Answers of one process, for requests that log."""

    def __init__(self, engine: Engine, settings: Http) -> None:
        self.engine, away = engine, Away()
        self._bearers = Known[Bearer](settings, away)
        self._versions, self._models = Known[bool](settings, away), Known[bool](settings, away)

    def known(self, token: str) -> Bearer | None:
        """Who this token speaks for, when that need not be looked up."""
        return _live(self._bearers.fresh(_digest(token)))

    def authenticate(self, token: str) -> Bearer:
        """Who this token speaks for. Raises NotAuthenticated, or Unreachable when it is not known."""
        bearer = _live(self._bearers.get(_digest(token), lambda: self._authenticate(token)))
        if bearer is None:
            raise errors.NotAuthenticated
        return bearer

    def require_version(self, org: Organization, version_id: int) -> None:
        """Raises NotFound, or Unreachable when it is not known."""
        self._versions.get((org.id, version_id), lambda: self._has_version(org, version_id))

    def require_model(self, org: Organization, model_id: int) -> None:
        """Raises NotFound, or Unreachable when it is not known."""
        self._models.get((org.id, model_id), lambda: self._has_model(org, model_id))

    def _authenticate(self, token: str) -> Bearer:
        with db.public_session(self.engine) as session:
            return tokens.authenticate(session, token)

    def _has_version(self, org: Organization, version_id: int) -> bool:
        with db.org_session(self.engine, org, wait=LOCK_WAIT) as session:
            return bool(versions.get(session, version_id))

    def _has_model(self, org: Organization, model_id: int) -> bool:
        with db.org_session(self.engine, org, wait=LOCK_WAIT) as session:
            return bool(models.get(session, model_id))


def _live(bearer: Bearer | None) -> Bearer | None:
    """None when the token has expired since it was looked up."""
    is_expired = bearer is not None and bearer.expires_at is not None and bearer.expires_at <= datetime.now(UTC)
    return None if is_expired else bearer


def _digest(token: str) -> bytes:
    """What a token is remembered by: it is not kept as it is."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()

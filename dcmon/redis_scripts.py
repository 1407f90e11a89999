"""The door to Redis or Valkey. A helper: nothing is lost, and nothing stops, when it is away."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis

log = logging.getLogger(__name__)
PATIENCE = 0.25  # seconds: who asks can go on without
PAUSE = 1.0  # seconds between tries while it is away


def answers(url: str) -> bool:
    """Whether the server at this URL answers within a second."""
    import redis  # takes as long to import as SQLAlchemy: most commands never need it

    try:
        with redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1) as client:
            return bool(client.ping())
    except (redis.RedisError, ValueError):
        return False


class RedisScripts:
    """Scripts run in Redis, where several processes see the same. `url` is asked again when the server was away."""

    def __init__(self, url: Callable[[], str | None]) -> None:
        self._url, self._lock = url, threading.Lock()
        self._client: redis.Redis | None = None
        self._again_at, self._is_missed = 0.0, False

    def run(self, script: str, keys: Sequence[str], values: Sequence[int]) -> Any | None:
        """What the script returns; None when no server is set, or while it is away."""
        if (client := self._opened()) is None:
            return None
        import redis

        try:
            answer = client.eval(script, len(keys), *keys, *values)
        except redis.RedisError as error:
            self._miss(error)
            return None
        if self._is_missed:
            self._is_missed = False
            log.warning("Redis is back")
        return answer

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _opened(self) -> "redis.Redis | None":
        import redis

        with self._lock:
            if self._client is None and time.monotonic() >= self._again_at:
                self._again_at = time.monotonic() + PAUSE
                if url := self._url():
                    self._client = redis.Redis.from_url(
                        url, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE, decode_responses=True
                    )
            return self._client

    def _miss(self, error: Exception) -> None:
        with self._lock:
            is_first, self._is_missed = not self._is_missed, True
            self._client, self._again_at = None, time.monotonic() + PAUSE
        if is_first:
            log.warning("Redis is away, each process counts for itself until it is back: %s", error)

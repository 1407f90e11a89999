"""Run scripts in Redis or Valkey. While the server is unavailable, dcmon continues without it and loses nothing."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis

log = logging.getLogger(__name__)
TIMEOUT = 0.25  # seconds; short, because dcmon can continue without the server
PAUSE = 1.0  # seconds between tries to connect while the server is unavailable


def is_up(url: str) -> bool:
    """Return True if the server at this URL answers within a second."""
    import redis  # takes as long to import as SQLAlchemy: most commands never need it

    try:
        with redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1) as client:
            return bool(client.ping())
    except (redis.RedisError, ValueError):
        return False


class RedisScripts:
    """Runs scripts in Redis, which several processes share. `url` is called for each new connection."""

    def __init__(self, url: Callable[[], str | None]) -> None:
        self._url, self._lock = url, threading.Lock()
        self._client: redis.Redis | None = None
        self._next_try_at, self._is_unavailable = 0.0, False

    def run(self, script: str, keys: Sequence[str], values: Sequence[int]) -> Any | None:
        """Return the script's result; None when no server is set, or while it is unavailable."""
        if (client := self._connect()) is None:
            return None
        import redis

        try:
            result = client.eval(script, len(keys), *keys, *values)
        except redis.RedisError as error:
            self._mark_unavailable(error)
            return None
        if self._is_unavailable:
            self._is_unavailable = False
            log.warning("Redis is available again")
        return result

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()

    def _connect(self) -> "redis.Redis | None":
        import redis

        with self._lock:
            if self._client is None and time.monotonic() >= self._next_try_at:
                self._next_try_at = time.monotonic() + PAUSE
                if url := self._url():
                    self._client = redis.Redis.from_url(
                        url, socket_connect_timeout=TIMEOUT, socket_timeout=TIMEOUT, decode_responses=True
                    )
            return self._client

    def _mark_unavailable(self, error: Exception) -> None:
        with self._lock:
            is_first, self._is_unavailable = not self._is_unavailable, True
            self._client, self._next_try_at = None, time.monotonic() + PAUSE
        if is_first:
            log.warning("Redis is unavailable: until it is available again, each process counts alone: %s", error)

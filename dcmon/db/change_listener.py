"""Learn at once what other processes have committed, by LISTEN and NOTIFY of PostgreSQL."""

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import Engine

log = logging.getLogger(__name__)

TOKENS = "dcmon_tokens"  # the channel on which triggers of migration 0011 announce changes of what tokens may do
PING_SECONDS = 4.0
TRUST_SECONDS = 9.0  # without an answer to a ping, changes may have been missed
RETRY_SECONDS = 0.5
FIRST_WAIT_SECONDS = 1.0


class ChangeListener:
    """A thread that calls `on_change` after each change that is announced on a channel.

    `on_gap` is called when it begins to listen: changes before that were missed.
    """

    def __init__(self, engine: Engine, channel: str, on_change: Callable[[], None], on_gap: Callable[[], None]) -> None:
        self._engine, self._channel, self._on_change, self._on_gap = engine, channel, on_change, on_gap
        self._answered_at = float("-inf")
        self._is_closed, self._is_tried = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def is_listening(self) -> bool:
        """True if changes are noticed at once. A connection that silently died is noticed after TRUST_SECONDS."""
        return time.monotonic() - self._answered_at < TRUST_SECONDS

    def start(self) -> None:
        """Start the thread, if it does not run, and wait for a moment until it listens."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"listens to {self._channel}", daemon=True)
                self._thread.start()
        self._is_tried.wait(FIRST_WAIT_SECONDS)

    def close(self) -> None:
        """Stop listening. The thread ends within PING_SECONDS, or at once if its connection is closed."""
        self._is_closed.set()
        self._answered_at = float("-inf")

    def _run(self) -> None:
        is_logged = False
        while not self._is_closed.is_set():
            try:
                with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    raw: Any = connection.connection.driver_connection
                    connection.detach()  # it listens, so it must not be given to others
                    is_logged = False
                    try:
                        self._listen(raw)
                    except BaseException:
                        connection.invalidate()  # else it is rolled back, and the pool logs a traceback if it is lost
                        raw.close()
                        raise
            except Exception as error:  # Without a listener, tokens are looked up in each request: nothing is wrong.
                log.log(logging.DEBUG if is_logged else logging.INFO, "changes of tokens are not announced: %s", error)
                is_logged = True
            self._answered_at = float("-inf")
            self._is_tried.set()
            self._is_closed.wait(RETRY_SECONDS)

    def _listen(self, connection: "psycopg.Connection[Any]") -> None:
        """Listen until the connection fails.

        A ping goes the way of an announcement. Without an answer, this raises an error: for example, a pooler of
        connections gave LISTEN and NOTIFY to different sessions.
        """
        ping, has_begun = f"dcmon_ping_{uuid.uuid4().hex}", False
        connection.execute(f"listen {self._channel}")  # type: ignore[arg-type]
        connection.execute(f"listen {ping}")  # type: ignore[arg-type]
        while not self._is_closed.is_set():
            asked_at = time.monotonic()
            connection.execute("select pg_notify(%s, '')", (ping,))
            for notification in connection.notifies(timeout=PING_SECONDS):
                if notification.channel == self._channel:
                    self._on_change()
                    continue
                if not has_begun:
                    self._on_gap()
                    has_begun = True
                self._answered_at = time.monotonic()
                self._is_tried.set()
            if self._answered_at < asked_at:
                raise TimeoutError("PostgreSQL does not deliver notifications on this connection")

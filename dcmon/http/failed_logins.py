"""Failed log-ins: counted and throttled by address, logged once a minute, and stored by hour for `dcmon status`.

An address with many wrong tokens in a minute gets 429 for further ones. Its right tokens keep working: those that are
cached at once, others through one look-up a second, so that wrong tokens don't load PostgreSQL.
"""

import ipaddress
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from cachetools import TTLCache
from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError

from dcmon import errors
from dcmon.app import App
from dcmon.tenancy import failed_login_counts

log = logging.getLogger(__name__)
T = TypeVar("T")

WINDOW = 60  # seconds
STORE_EVERY = 1  # seconds: so much later, `dcmon status` shows the failed log-ins of all processes
MAX_FAILURES = 30  # of an address in the window, before it is throttled
MAX_ADDRESSES = 10_000
SHOWN = 5  # addresses in the log
# The failures of an address in all processes that share a Redis, in the window since the first one.
COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return count
"""


class FailedLogins:
    """The failed log-ins of one process. With Redis, it knows those of an address in the other processes too."""

    def __init__(self, app: App) -> None:
        self._app, self._lock = app, threading.Lock()
        self._failures: TTLCache[str, list[None]] = TTLCache(MAX_ADDRESSES, WINDOW)  # from the first one of an address
        self._looked_up: TTLCache[str, bool] = TTLCache(MAX_ADDRESSES, 1)
        self._unlogged, self._logged_at, self._unstored = Counter[str](), -math.inf, 0
        self._timer: threading.Timer | None = None
        self._is_closed = False

    def counting(self, request: Request, log_in: Callable[[], T]) -> T:
        """Call a function that raises NotAuthenticated for a failed log-in, and count that.

        Raises NotAuthenticated, or TooManyLogins for an address with many of them.
        """
        address = network(request.client.host if request.client is not None else "")
        with self._lock:
            is_throttled = len(self._failures.get(address, ())) >= MAX_FAILURES
            if is_throttled and address in self._looked_up:
                raise errors.TooManyLogins(address=address, retry_after=1)
            self._looked_up[address] = True
        try:
            return log_in()
        except errors.NotAuthenticated as error:
            self._record(address)
            if is_throttled or self._is_throttled_elsewhere(address):
                raise errors.TooManyLogins(address=address, retry_after=WINDOW) from error
            raise

    def _is_throttled_elsewhere(self, address: str) -> bool:
        """Count a failure in Redis too; return True if all processes together have throttled the address by now.

        Then this process throttles it as well, without asking again.
        """
        count = self._app.redis_scripts.run(COUNT, [f"dcmon:failed_logins:{address}"], [WINDOW])
        if count is None or count <= MAX_FAILURES:
            return False
        with self._lock:
            self._failures[address] = [None] * MAX_FAILURES
        return True

    def _record(self, address: str) -> None:
        with self._lock:
            failures = self._failures.get(address)
            if failures is None:
                failures = self._failures[address] = []
            if len(failures) < MAX_FAILURES:
                failures.append(None)
            if address in self._unlogged or len(self._unlogged) < MAX_ADDRESSES:
                self._unlogged[address] += 1
            self._unstored += 1
            self._flush_in(STORE_EVERY)

    def _flush_in(self, seconds: float) -> None:
        """Let a thread flush, unless one waits to do so already. The caller holds the lock."""
        if self._timer is None and not self._is_closed:
            self._timer = threading.Timer(seconds, self._flush)
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """Log and store what was counted, at the end of the process."""
        with self._lock:
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()
        self._flush()

    def _flush(self) -> None:
        """Store what was counted since the last call, and log it if the last line is a minute old."""
        with self._lock:
            self._timer, now, counts = None, time.monotonic(), Counter[str]()
            unstored, self._unstored = self._unstored, 0
            if self._is_closed or now - self._logged_at >= WINDOW:
                counts, self._unlogged, self._logged_at = self._unlogged, counts, now
            elif self._unlogged:
                self._flush_in(self._logged_at + WINDOW - now)
        if counts:
            shown = ", ".join(f"{address} ({count})" for address, count in counts.most_common(SHOWN))
            log.warning("%d failed log-ins from %d addresses, most from %s", counts.total(), len(counts), shown)
        if unstored:
            self._store(unstored)

    def _store(self, count: int) -> None:
        try:
            with self._app.public() as session:
                failed_login_counts.add(session, count)
        except (errors.DcmonError, SQLAlchemyError) as error:
            log.warning("%d failed log-ins were not stored yet: %s", count, error)
            with self._lock:
                self._unstored += count
                self._flush_in(WINDOW)


def network(address: str) -> str:
    """Return what is throttled for an address: itself, or the /64 of an IPv6 address, which one client may have."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    if parsed.version == 4 or parsed.ipv4_mapped is not None:
        return str(parsed if parsed.version == 4 else parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))

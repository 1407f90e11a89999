"""Failed log-ins: counted and throttled by address, logged once a minute, and stored by hour for `dcmon status`.

An address with many wrong tokens in a minute gets 429 for further ones. Its right tokens keep working: one that has
worked here before is looked up at once, a wrong one that was looked up before is refused without. Others are looked up
one after another, with a pause after each wrong one, so that guesses don't load PostgreSQL; they wait, and are not
refused.
"""

import asyncio
import ipaddress
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar
from weakref import WeakValueDictionary

from cachetools import TTLCache
from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError

from dcmon import errors
from dcmon.app import App
from dcmon.ingestion import admission_cache
from dcmon.tenancy import failed_login_counts

log = logging.getLogger(__name__)
T = TypeVar("T")

WINDOW = 60  # seconds
STORE_EVERY = 1  # seconds: so much later, `dcmon status` shows the failed log-ins of all processes
MAX_FAILURES = 30  # of an address in the window, before it is throttled
MAX_ADDRESSES = 10_000
MAX_TOKENS = 100_000
REMEMBERED = 86_400  # seconds: a token that has worked is looked up at once for so long
PAUSE = 0.05  # seconds after a wrong token of a throttled address
MAX_WAITING = 200  # requests of a throttled address with tokens that were not looked up before
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
        # Keys of the cache of tokens (ingestion.admission_cache). A wrong token may be right after a change of tokens.
        self._right: TTLCache[bytes, bool] = TTLCache(MAX_TOKENS, REMEMBERED)
        self._wrong: TTLCache[tuple[bytes, float], bool] = TTLCache(MAX_TOKENS, WINDOW)
        self._look_ups: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # of the event loop
        self._waiting = Counter[str]()
        self._looked_up: TTLCache[str, bool] = TTLCache(MAX_ADDRESSES, 1)  # by requests that can't wait
        self._unlogged, self._logged_at, self._unstored = Counter[str](), -math.inf, 0
        self._timer: threading.Timer | None = None
        self._is_closed = False

    @asynccontextmanager
    async def waiting(self, request: Request, token: str) -> AsyncIterator[None]:
        """Wait until the token of a throttled address may be looked up. Raises TooManyLogins if too many wait."""
        address = _address(request)
        if not self._must_wait(address, token):
            yield
            return
        if self._waiting[address] >= MAX_WAITING:
            raise errors.TooManyLogins(address=address, retry_after=1)
        self._waiting[address] += 1
        lock = self._look_ups.setdefault(address, asyncio.Lock())
        try:
            async with lock:
                try:
                    yield
                except errors.TooManyLogins:
                    await asyncio.sleep(PAUSE)
                    raise
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]

    def counting(self, request: Request, token: str, log_in: Callable[[], T], *, has_waited: bool = False) -> T:
        """Call a function that raises NotAuthenticated for a failed log-in, and count that.

        `has_waited`: the request has waited (`waiting`). Of those that can't, such as of pages, a throttled address may
        look up one a second. Raises NotAuthenticated, or TooManyLogins for an address with many of them.
        """
        address, key = _address(request), admission_cache.key_of(token)
        change = self._app.admission_cache.changed_at
        with self._lock:
            is_throttled = self._is_throttled(address)
            is_wrong = is_throttled and (key, change) in self._wrong
            if is_throttled and not has_waited and not is_wrong and key not in self._right:
                if address in self._looked_up:
                    raise errors.TooManyLogins(address=address, retry_after=1)
                self._looked_up[address] = True
        try:
            if is_wrong:
                raise errors.NotAuthenticated
            bearer = log_in()
        except errors.NotAuthenticated as error:
            with self._lock:
                self._wrong[key, change] = True
                self._right.pop(key, None)
            self._record(address)
            if is_throttled or self._is_throttled_elsewhere(address):
                raise errors.TooManyLogins(address=address, retry_after=WINDOW) from error
            raise
        with self._lock:
            self._right[key] = True
        return bearer

    def _must_wait(self, address: str, token: str) -> bool:
        """Return True for a token of a throttled address of which this process does not know what it is."""
        with self._lock:
            if not self._is_throttled(address):
                return False
            key, change = admission_cache.key_of(token), self._app.admission_cache.changed_at
            return key not in self._right and (key, change) not in self._wrong

    def _is_throttled(self, address: str) -> bool:
        return len(self._failures.get(address, ())) >= MAX_FAILURES

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


def _address(request: Request) -> str:
    return network(request.client.host if request.client is not None else "")


def network(address: str) -> str:
    """Return what is throttled for an address: itself, or the /64 of an IPv6 address, which one client may have."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    if parsed.version == 4 or parsed.ipv4_mapped is not None:
        return str(parsed if parsed.version == 4 else parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))

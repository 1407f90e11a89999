"""Limits on the rows and bytes that an organization logs in a minute.

Rows and bytes are counted for each second, in Redis or in this process. In each span of 60 seconds, the counts stay
within the limit. Reasons: docs/decisions.md, "Limits".
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db import Organization
from dcmon.db.tables.public import Organization as OrganizationRow
from dcmon.redis_scripts import RedisScripts
from dcmon.states import RowKind

WINDOW = 60  # seconds
# A Redis hash has a count for each second. A second counts while a part of it is in the window, so 61 seconds count.
# Each write deletes the seconds that are older than the window; without a write, the hash expires.
TRY_ADD = f"""
local now, wait, seconds, old = tonumber(redis.call('TIME')[1]), 0, {{}}, {{}}
for second = now - {WINDOW}, now do seconds[#seconds + 1] = second end
for second = now - {2 * WINDOW + 2}, now - {WINDOW + 1} do old[#old + 1] = second end
for i, key in ipairs(KEYS) do
  local counts, over = redis.call('HMGET', key, unpack(seconds)), ARGV[2 * i - 1] - ARGV[2 * i]
  for _, n in ipairs(counts) do over = over + (n or 0) end
  for at, n in ipairs(counts) do
    if over <= 0 then break end
    over, wait = over - (n or 0), math.max(wait, at)
  end
end
if wait > 0 then return {{wait, now}} end
for i, key in ipairs(KEYS) do
  redis.call('HDEL', key, unpack(old))
  redis.call('HINCRBY', key, now, ARGV[2 * i - 1])
  redis.call('EXPIRE', key, {WINDOW + 1})
end
return {{0, now}}
"""
SUBTRACT = """
for i, key in ipairs(KEYS) do
  if redis.call('HEXISTS', key, ARGV[1]) == 1 then redis.call('HINCRBY', key, ARGV[1], -ARGV[i + 1]) end
end
return 1
"""
NOTHING_SAVED = {"num_saved": 0}  # clients of old read how many rows of a refused request were stored


class Limit(NamedTuple):
    """The name of what is limited, and the maximum in a minute; None: unlimited."""

    name: str
    maximum: int | None


class KindLimits(NamedTuple):
    """The limits on the rows and on the bytes of one kind."""

    rows: Limit
    size: Limit


@dataclass(frozen=True)
class Limits:
    """How much an organization may log in a minute; None: unlimited.

    Bytes are those of decompressed bodies.
    """

    samples_per_minute: int | None = None
    labels_per_minute: int | None = None
    sample_bytes_per_minute: int | None = None
    label_bytes_per_minute: int | None = None

    def for_kind(self, kind: RowKind) -> KindLimits:
        """Return the limits of samples or of labels."""
        if kind == RowKind.SAMPLES:
            rows, size = self.samples_per_minute, self.sample_bytes_per_minute
        else:
            rows, size = self.labels_per_minute, self.label_bytes_per_minute
        return KindLimits(Limit(kind, rows), Limit(f"bytes of {kind}", size))


def get(session: Session, org_id: int) -> Limits:
    """Return the limits of an organization, which must exist."""
    return read(session.get_one(OrganizationRow, org_id))


def by_organization(session: Session) -> dict[int, Limits]:
    """Return the limits of all organizations, by id."""
    return {org.id: read(org) for org in session.scalars(select(OrganizationRow))}


def read(org: OrganizationRow) -> Limits:
    """Return the limits in an organization's row."""
    return Limits(**{limit.name: getattr(org, limit.name) for limit in fields(Limits)})


def change(session: Session, org_id: int, limits: Mapping[str, int | None]) -> Limits:
    """Set limits by name; None removes a limit. Raises InvalidInput for a limit that is not above 0."""
    org = session.get_one(OrganizationRow, org_id)
    for name, limit in limits.items():
        if limit is not None and not 0 < limit < 2**53:
            raise errors.InvalidInput(f"A limit is a number above 0 or none, not {limit}.")
        setattr(org, name, limit)
    session.flush()
    return read(org)


class Increment(NamedTuple):
    """An amount to add under a key, of which `limit` is allowed in a minute."""

    key: str
    amount: int
    limit: int


class CountedAt(NamedTuple):
    """The second in which a request was counted.

    `second` is by the clock of this process, `redis_second` by that of Redis; None if Redis did not count the
    request.
    """

    second: int
    redis_second: int | None


class Counts:
    """The amounts counted in the last minute, by key and second, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[int, int]] = defaultdict(dict)

    def try_add(self, increments: Sequence[Increment], now: int) -> int:
        """Add all increments and return 0, or return the seconds until they fit."""
        with self._lock:
            wait = max((self._wait(increment, now) for increment in increments), default=0)
            if not wait:
                self._add(increments, now)
            return wait

    def add(self, increments: Sequence[Increment], now: int) -> None:
        """Add increments that Redis has allowed."""
        with self._lock:
            self._add(increments, now)

    def subtract(self, increments: Sequence[Increment], second: int) -> None:
        """Subtract what was counted in that second."""
        with self._lock:
            for increment in increments:
                if second in self._counts[increment.key]:
                    self._counts[increment.key][second] -= increment.amount

    def _wait(self, increment: Increment, now: int) -> int:
        counts = {second: n for second, n in self._counts[increment.key].items() if second >= now - WINDOW}
        self._counts[increment.key] = counts
        over, wait = sum(counts.values()) + increment.amount - increment.limit, 0
        for second in sorted(counts):
            if over <= 0:
                break
            over, wait = over - counts[second], second + WINDOW + 1 - now
        return wait

    def _add(self, increments: Sequence[Increment], now: int) -> None:
        for increment in increments:
            counts = self._counts[increment.key]
            counts[now] = counts.get(now, 0) + increment.amount


def _number(rows: Sized, limit: int | None) -> int:
    """Return the number of rows; 0 without a limit.

    Without a limit `len` is not called, because it may have to parse all rows.
    """
    return 0 if limit is None else len(rows)


class RateMeter:
    """Counts what organizations log, in Redis and in this process.

    While Redis is unavailable, each process counts alone.
    """

    def __init__(self, cache: RedisScripts) -> None:
        self._cache, self._own = cache, Counts()

    @contextmanager
    def counting(self, org: Organization, limits: Limits, kind: RowKind, rows: Sized, size: int) -> Iterator[None]:
        """Count the rows and bytes of a request; subtract them if the block fails.

        Raises OverLimit when they do not fit now, TooLarge when they can never fit.
        """
        kind_limits = limits.for_kind(kind)
        amounts = (_number(rows, kind_limits.rows.maximum), size)
        increments_by_name = {
            name: Increment(f"dcmon:logged:{org.id}:{name}", amount, maximum)
            for (name, maximum), amount in zip(kind_limits, amounts, strict=True)
            if maximum is not None
        }
        for name, (_, amount, limit) in increments_by_name.items():
            if amount > limit:
                raise errors.TooLarge(
                    f"This request has {amount:,} {name}, and organization {org.name!r} may log {limit:,} a minute:"
                    " it never fits. Send fewer rows at once.",
                    information=NOTHING_SAVED,
                )
        if not increments_by_name:
            yield
            return
        increments = list(increments_by_name.values())
        allowed = " and ".join(f"{increment.limit:,} {name}" for name, increment in increments_by_name.items())
        counted_at = self._count(org, increments, allowed)
        try:
            yield
        except BaseException:
            self._subtract(increments, counted_at)
            raise

    def _count(self, org: Organization, increments: Sequence[Increment], allowed: str) -> CountedAt:
        """Add the increments, and return when they were counted. Raises OverLimit."""
        now, redis_second = int(time.monotonic()), None
        values = [value for increment in increments for value in (increment.amount, increment.limit)]
        redis_result = self._cache.run(TRY_ADD, [increment.key for increment in increments], values)
        if redis_result is None:
            wait = self._own.try_add(increments, now)
        else:
            wait, redis_second = redis_result
        if wait:
            raise errors.OverLimit(org=org.name, allowed=allowed, retry_after=wait, information=NOTHING_SAVED)
        if redis_result is not None:
            self._own.add(increments, now)
        return CountedAt(now, redis_second)

    def _subtract(self, increments: Sequence[Increment], counted_at: CountedAt) -> None:
        self._own.subtract(increments, counted_at.second)
        if counted_at.redis_second is not None:
            self._cache.run(
                SUBTRACT,
                [increment.key for increment in increments],
                [counted_at.redis_second, *(increment.amount for increment in increments)],
            )

"""Limits of an organization on what is logged in a minute: counted by the second, in Redis or in this process.

In no 60 seconds is more taken than the limit says. Why so: docs/decisions.md, "Limits".
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db import Organization as Entry
from dcmon.db.tables.public import Organization
from dcmon.redis_scripts import RedisScripts

Kind = Literal["samples", "labels"]
WINDOW = 60  # seconds
# Counts lie in a hash by second. A second counts while any of it lies in the window, so 61 of them do; what is older
# than the last write's window was deleted by that write, or expired as a whole.
TAKE = f"""
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
GIVE_BACK = """
for i, key in ipairs(KEYS) do
  if redis.call('HEXISTS', key, ARGV[1]) == 1 then redis.call('HINCRBY', key, ARGV[1], -ARGV[i + 1]) end
end
return 1
"""


@dataclass(frozen=True)
class Limits:
    """What an organization may log in a minute; None: as much as it likes. Bytes are those of decompressed bodies."""

    samples_per_minute: int | None = None
    labels_per_minute: int | None = None
    sample_bytes_per_minute: int | None = None
    label_bytes_per_minute: int | None = None

    def of(self, kind: Kind) -> tuple[tuple[str, int | None], tuple[str, int | None]]:
        """What is limited, and how much of it: rows, then bytes."""
        if kind == "samples":
            return ("samples", self.samples_per_minute), ("bytes of samples", self.sample_bytes_per_minute)
        return ("labels", self.labels_per_minute), ("bytes of labels", self.label_bytes_per_minute)


def get(session: Session, org_id: int) -> Limits:
    """The limits of an organization, which must be there."""
    return read(session.get_one(Organization, org_id))


def by_organization(session: Session) -> dict[int, Limits]:
    """The limits of all organizations, by id."""
    return {org.id: read(org) for org in session.scalars(select(Organization))}


def read(org: Organization) -> Limits:
    """The limits in an organization's row."""
    return Limits(**{each.name: getattr(org, each.name) for each in fields(Limits)})


def change(session: Session, org_id: int, given: Mapping[str, int | None]) -> Limits:
    """Set the limits that are given, by name; None lifts one. Raises InvalidInput unless they are above zero."""
    org = session.get_one(Organization, org_id)
    for name, limit in given.items():
        if limit is not None and not 0 < limit < 2**53:
            raise errors.InvalidInput(f"A limit is a number above 0, or none: {limit} is not.")
        setattr(org, name, limit)
    session.flush()
    return read(org)


class Want(NamedTuple):
    """So much more of something, of which there may be so much in a minute."""

    key: str
    amount: int
    limit: int


class Counts:
    """What was taken in the last minute, by key and second, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[int, int]] = defaultdict(dict)

    def take(self, wants: Sequence[Want], now: int) -> int:
        """Count all of it, or nothing; how many seconds to wait until it fits, 0 when it was counted."""
        with self._lock:
            wait = max((self._wait(want, now) for want in wants), default=0)
            if not wait:
                self._add(wants, now)
            return wait

    def add(self, wants: Sequence[Want], now: int) -> None:
        """Count what somebody else allowed."""
        with self._lock:
            self._add(wants, now)

    def give_back(self, wants: Sequence[Want], second: int) -> None:
        """Take back what was counted in that second."""
        with self._lock:
            for want in wants:
                if second in self._counts[want.key]:
                    self._counts[want.key][second] -= want.amount

    def _wait(self, want: Want, now: int) -> int:
        kept = {second: n for second, n in self._counts[want.key].items() if second >= now - WINDOW}
        self._counts[want.key] = kept
        over, wait = sum(kept.values()) + want.amount - want.limit, 0
        for second in sorted(kept):
            if over <= 0:
                break
            over, wait = over - kept[second], second + WINDOW + 1 - now
        return wait

    def _add(self, wants: Sequence[Want], now: int) -> None:
        for want in wants:
            counts = self._counts[want.key]
            counts[now] = counts.get(now, 0) + want.amount


def _number(rows: Sized, limit: int | None) -> int:
    """How many rows there are; those that nobody limits are not counted."""
    return 0 if limit is None else len(rows)


class Meter:
    """Counts what organizations log, in Redis where there is one, and beside it here for when it goes away."""

    def __init__(self, cache: RedisScripts) -> None:
        self._cache, self._own = cache, Counts()

    @contextmanager
    def counting(self, org: Entry, limits: Limits, kind: Kind, rows: Sized, size: int) -> Iterator[None]:
        """Count the rows and bytes of a request; what fails in the block is not counted.

        Raises OverLimit when they don't fit now, TooLarge when they never do.
        """
        limited = limits.of(kind)
        asked = [
            (what, f"dcmon:logged:{org.id}:{what}", amount, limit)
            for (what, limit), amount in zip(limited, (_number(rows, limited[0][1]), size), strict=True)
            if limit is not None
        ]
        for what, _, amount, limit in asked:
            if amount > limit:
                raise errors.TooLarge(
                    f"This request has {amount:,} {what}, and organization {org.name!r} may log {limit:,} a minute:"
                    " it never fits. Send fewer rows at once."
                )
        wants = [Want(key, amount, limit) for _, key, amount, limit in asked]
        if not wants:
            yield
            return
        allowed = " and ".join(f"{limit:,} {what}" for what, _, _, limit in asked)
        counted = self._take(org, wants, allowed)
        try:
            yield
        except BaseException:
            self._give_back(wants, *counted)
            raise

    def _take(self, org: Entry, wants: Sequence[Want], allowed: str) -> tuple[int, int | None]:
        """The seconds in which they were counted, here and in Redis. Raises OverLimit."""
        now, second = int(time.monotonic()), None
        values = [value for want in wants for value in (want.amount, want.limit)]
        answer = self._cache.run(TAKE, [want.key for want in wants], values)
        if answer is None:
            wait = self._own.take(wants, now)
        else:
            wait, second = answer
        if wait:
            raise errors.OverLimit(org=org.name, allowed=allowed, retry_after=wait)
        if answer is not None:
            self._own.add(wants, now)
        return now, second

    def _give_back(self, wants: Sequence[Want], here: int, second: int | None) -> None:
        self._own.give_back(wants, here)
        if second is not None:
            self._cache.run(GIVE_BACK, [want.key for want in wants], [second, *(want.amount for want in wants)])

"""What arrives: rows that came together, the fingerprint of a sample id, and what became of rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple

from msgspec import Raw

QUARTER = 900  # seconds


class Delivery(NamedTuple):
    """Rows that came together: when they were received, and the source by which a replay knows them."""

    rows: Sequence[Raw]
    logged_at: datetime
    source: str
    first_position: int = 0


@dataclass
class Outcome:
    """What became of rows: taken = stored + duplicates + quarantined. Conflicts: labels that differ from one known."""

    taken: int = 0
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0
    conflicts: int = field(default=0, compare=False)

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


class Fingerprint(NamedTuple):
    """Of a sample id: its 128-bit key, 31 bits of it as the hash that orders fair samples, and their level."""

    key: bytes
    hash: int
    level: int


def fingerprint(sample_id: str) -> Fingerprint:
    """The key, hash and level of a sample id (docs/decisions.md, "A fair sample at constant cost")."""
    key = blake2b(sample_id.encode(), digest_size=16).digest()
    hash_ = int.from_bytes(key[:4]) >> 1
    return Fingerprint(key, hash_, 31 - hash_.bit_length())


def quarter_hour(time: datetime) -> datetime:
    """The start of the quarter of an hour that a time lies in, in UTC."""
    return datetime.fromtimestamp(time.timestamp() // QUARTER * QUARTER, UTC)

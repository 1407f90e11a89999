"""What arrives: the fingerprint of a sample id, the quarter of an hour it counts in, and what became of rows."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple


@dataclass
class Outcome:
    """What became of rows: taken = stored + duplicates + quarantined."""

    taken: int = 0
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.taken + other.taken,
            self.stored + other.stored,
            self.duplicates + other.duplicates,
            self.quarantined + other.quarantined,
        )


class Fingerprint(NamedTuple):
    """Of a sample id: its 128-bit key as hex, 31 bits of it as the hash that orders fair samples, and their level."""

    key: str
    hash: int
    level: int


def fingerprint(sample_id: str) -> Fingerprint:
    """The key, hash and level of a sample id (docs/decisions.md, "A fair sample at constant cost")."""
    digest = blake2b(sample_id.encode(), digest_size=16)
    hash_ = int.from_bytes(digest.digest()[:4]) >> 1
    return Fingerprint(digest.hexdigest(), hash_, 31 - hash_.bit_length())


def quarter_hour(time: datetime) -> datetime:
    """The start of the quarter of an hour that a time lies in, in UTC."""
    time = time.astimezone(UTC)
    return time.replace(minute=time.minute // 15 * 15, second=0, microsecond=0)

"""What arrives: rows that came together, the key of a sample id, and what became of rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from msgspec import Raw


class Delivery(NamedTuple):
    """Rows that came together: when they were received, and the source by which a replay knows them.

    `refused`: the places of rows that PostgreSQL does not take although they can be decoded, and why.
    """

    rows: Sequence[Raw]
    logged_at: datetime
    source: str
    first_position: int = 0
    refused: Mapping[int, str] = MappingProxyType({})


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


def key_of(sample_id: str) -> bytes:
    """The 128 bits by which a sample id is known (docs/decisions.md, "A fair sample at constant cost")."""
    hashing = _EMPTY.copy()  # half the cost of making one
    hashing.update(sample_id.encode())
    return hashing.digest()


_EMPTY = blake2b(digest_size=16)


def levels_of(keys: Sequence[bytes]) -> tuple[Any, Any]:
    """Of each key: 31 bits as the hash that orders fair samples, and its level, how many of them are 0 at the top."""
    hashes = np.frombuffer(b"".join(keys), ">u4")[::4] >> 1
    _, bits = np.frexp(hashes.astype(np.float64))  # exact: 31 bits fit a double, whose exponent counts them
    return hashes, 31 - bits

"""What arrives: rows that came together, the key of a sample id, and what became of rows."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np


def key_of(sample_id: str) -> bytes:
    """The 128 bits by which a sample id is known (docs/decisions.md, "A deterministic sample at constant cost")."""
    hashing = _EMPTY.copy()  # half the cost of making one
    hashing.update(sample_id.encode())
    return hashing.digest()


_EMPTY = blake2b(digest_size=16)


def levels_of(keys: Sequence[bytes]) -> tuple[Any, Any]:
    """Return for each key its hash of 31 bits, which orders samples, and its level: the number of leading zero bits."""
    hashes = np.frombuffer(b"".join(keys), ">u4")[::4] >> 1
    _, bits = np.frexp(hashes.astype(np.float64))  # exact: 31 bits fit a double, whose exponent counts them
    return hashes, 31 - bits

"""Keys of sample ids, and the hash and level of each key that the deterministic sample uses."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np


def key_of(sample_id: str) -> bytes:
    """Return the key of a sample id, 128 bits (docs/decisions.md, "A deterministic sample at constant cost")."""
    hashing = _EMPTY.copy()  # costs half as much as a new object
    hashing.update(sample_id.encode())
    return hashing.digest()


_EMPTY = blake2b(digest_size=16)


def levels_of(keys: Sequence[bytes]) -> tuple[Any, Any]:
    """Return for each key its hash of 31 bits, which orders samples, and its level: the number of leading zero bits."""
    hashes = np.frombuffer(b"".join(keys), ">u4")[::4] >> 1
    _, bits = np.frexp(hashes.astype(np.float64))  # exact: 31 bits fit a double, whose exponent counts them
    return hashes, 31 - bits

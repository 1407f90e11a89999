"""Keys of sample ids, and their hashes and levels for the deterministic sample."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple


def key_of(sample_id: str) -> bytes:
    """Return the key of a sample id, which has 128 bits.

    docs/decisions.md, "A deterministic sample at constant cost", has the reasons.
    """
    hashing = _EMPTY.copy()  # costs half as much as a new object
    hashing.update(sample_id.encode())
    return hashing.digest()


_EMPTY = blake2b(digest_size=16)


class KeyLevels(NamedTuple):
    """The hash and the level of each key, as NumPy arrays.

    The arrays have the order of the keys. The hash has 31 bits and orders the samples. The level is the number of the
    hash's leading zero bits.
    """

    hashes: Any
    levels: Any


def levels_of(keys: Sequence[bytes]) -> KeyLevels:
    """Return the hashes and levels of keys."""
    import numpy as np  # a command that only needs the key of an id starts faster without numpy

    hashes = np.frombuffer(b"".join(keys), ">u4")[::4] >> 1
    _, bits = np.frexp(hashes.astype(np.float64))  # exact: 31 bits fit a double, whose exponent counts them
    return KeyLevels(hashes, 31 - bits)

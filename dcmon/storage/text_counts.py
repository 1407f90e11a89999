"""Count and encode packed texts: how many rows have each text of a column, and which row has which."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

SEPARATOR = b"\0"
MAX_BYTES = 8  # of a text that is counted as an integer
# Which bytes belong to a text of so many bytes, as an integer whose first byte is the lowest.
_BYTES_OF_LENGTH = np.array([2 ** (8 * length) - 1 for length in range(MAX_BYTES + 1)], "<u8")


def counted(packed: bytes) -> Mapping[bytes, int]:
    """Return the number of rows by text. `packed`: the texts of all rows, with a zero byte between them.

    Short texts, as most categories are, are counted as integers, in a third of the time: no object is made for a row.
    """
    if (words := _words(packed)) is None:
        return Counter(packed.split(SEPARATOR))
    distinct, numbers = np.unique(words, return_counts=True)
    return dict(zip(_texts(distinct), numbers.tolist(), strict=True))


class EncodedTexts(NamedTuple):
    """A column of texts. `codes`: shape (rows,), positions in `texts`, which are in the order of their first rows."""

    codes: "np.ndarray[Any, Any]"
    texts: Sequence[bytes]


def encoded(packed: bytes) -> EncodedTexts:
    """Return the texts of all rows as positions in the distinct texts. `packed`: as in `counted`."""
    if (words := _words(packed)) is None:
        values = packed.split(SEPARATOR)
        position = {text: code for code, text in enumerate(dict.fromkeys(values))}
        return EncodedTexts(np.fromiter(map(position.__getitem__, values), np.int64, len(values)), list(position))
    distinct, first_rows, codes = np.unique(words, return_index=True, return_inverse=True)
    order = np.argsort(first_rows)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return EncodedTexts(rank[codes], _texts(distinct[order]))


def _words(packed: bytes) -> "np.ndarray[Any, Any] | None":
    """Return each text as an integer, shape (rows,); None if a text is too long."""
    ends = np.append(np.flatnonzero(np.frombuffer(packed, np.uint8) == 0), len(packed))
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts
    if lengths.max() > MAX_BYTES:
        return None
    padded = packed + bytes(MAX_BYTES)
    words: np.ndarray[Any, Any] = np.ndarray((len(packed) + 1,), "<u8", padded, strides=(1,))
    return np.asarray(words[starts] & _BYTES_OF_LENGTH[lengths])


def _texts(words: "np.ndarray[Any, Any]") -> list[bytes]:
    # No text has a zero byte, so that those at the end were added.
    return [word.to_bytes(MAX_BYTES, "little").rstrip(SEPARATOR) for word in words.tolist()]

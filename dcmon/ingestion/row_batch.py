"""A batch of rows from one request, one message or one part of a file."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from msgspec import Raw


class RowBatch(NamedTuple):
    """Rows that were received together, with the time of receipt and their source.

    If the rows are read again, they have the same source. `first_position` is the position of the first row in the
    source. `refused` maps positions of rows that can be decoded, but that PostgreSQL refuses, to the reason.
    """

    rows: Sequence[Raw]
    logged_at: datetime
    source: str
    first_position: int = 0
    refused: Mapping[int, str] = MappingProxyType({})

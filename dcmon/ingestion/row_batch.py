"""A batch of rows: what one request, message or piece of a file brought."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from msgspec import Raw


class RowBatch(NamedTuple):
    """Rows that came together, when they were received, and their source.

    The source is the same when the rows are read again. `first_position` is the position of the first row in the
    source. `refused` has the positions of rows that can be decoded but that PostgreSQL refuses, each with the reason.
    """

    rows: Sequence[Raw]
    logged_at: datetime
    source: str
    first_position: int = 0
    refused: Mapping[int, str] = MappingProxyType({})

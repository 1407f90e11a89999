from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from msgspec import Raw


class RowBatch(NamedTuple):
    """Rows that came together: when they were received, and the source by which a replay knows them.

    `refused`: the places of rows that PostgreSQL does not take although they can be decoded, and why.
    """

    rows: Sequence[Raw]
    logged_at: datetime
    source: str
    first_position: int = 0
    refused: Mapping[int, str] = MappingProxyType({})

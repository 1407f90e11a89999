"""Rows of a data frame in the form in which PostgreSQL packs them, and decoded from it."""

import math
import struct
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from dcmon.checks.dataset_schema import DatasetSchema
from dcmon.checks.decoding import decode
from dcmon.statistics.columns import Rows
from dcmon.storage.column_blocks import ColumnarSample
from dcmon.storage.packing import NUMBER_TYPES, NumberGroup, number_groups

LABEL, PREDICTION, PROBABILITIES = "_dc_label", "_dc_prediction", "_dc_prediction_probabilities"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def decoded(frame: pd.DataFrame, schema: DatasetSchema, blocks: int = 1) -> Rows:
    """Return rows as checks read them from the database."""
    return decode(packed(frame, schema, blocks), schema)


def packed(frame: pd.DataFrame, schema: DatasetSchema, blocks: int = 1) -> ColumnarSample:
    """Return rows as dcmon.storage reads them from PostgreSQL, in this number of blocks."""
    output = "numeric" if schema.task_type == "regression" else "categorical"
    types = {name: kind for name, kind in schema.features.items() if name in frame}
    types |= {name: output for name in (PREDICTION, LABEL) if name in frame}
    if PROBABILITIES in frame:
        types[PROBABILITIES] = "array_float"
    parts = [frame.iloc[index] for index in np.array_split(np.arange(len(frame)), blocks)]
    return ColumnarSample(types, [_block(part, types) for part in parts if len(part) or blocks == 1])


def _block(frame: pd.DataFrame, types: dict[str, str]) -> tuple[Any, ...]:
    columns = {name: [_plain(value) for value in frame[name]] for name in types}
    groups = [_number_group(group, columns) for group in number_groups(types)]
    others = [(kind, columns[name]) for name, kind in types.items() if kind not in NUMBER_TYPES]
    return (len(frame), *groups, *(part for kind, values in others for part in _pack(kind, values)))


def _number_group(group: NumberGroup, columns: dict[str, list[Any]]) -> bytes:
    spare = [0.0] * (group.width - len(group.names))
    rows = zip(*(columns[name] for name in group.names), strict=True)
    return b"".join(
        struct.pack(f">{group.width}d", *(math.nan if value is None else float(value) for value in row), *spare)
        for row in rows
    )


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple | np.ndarray):
        return [None if item is None else float(item) for item in value]
    return None if value is None or value is pd.NaT or value is pd.NA or value != value else value


def _pack(kind: str, values: list[Any]) -> list[bytes]:
    if kind == "bigint":
        return [
            _numbers(">q", (0 if value is None else int(value) for value in values)),
            bytes(value is None for value in values),
        ]
    if kind == "boolean":
        return [_numbers(">i", (2 if value is None else int(value) for value in values))]
    if kind == "datetime":
        return [b"".join(struct.pack(">q", -(2**63) if value is None else _micros(value)) for value in values)]
    if kind.startswith("array"):
        arrays = [b"" if value is None else _array(value) for value in values]
        return [b"".join(arrays), bytes(value is None for value in values)]
    return [b"\0".join(b"\xff" if value is None else _text(value).encode() for value in values)]


def _numbers(layout: str, values: Iterable[float]) -> bytes:
    return b"".join(struct.pack(layout, value) for value in values)


def _micros(value: datetime) -> int:
    return round((pd.Timestamp(value) - EPOCH).total_seconds() * 1e6)


def _array(values: list[float | None]) -> bytes:
    has_null = int(any(value is None for value in values))
    head = struct.pack(">iiiii", 1, has_null, 701, len(values), 1)
    return head + b"".join(struct.pack(">i", -1) if v is None else struct.pack(">id", 8, v) for v in values)


def _text(value: Any) -> str:
    """Return a category or class as the SDK sends it: a whole number without a fraction."""
    if isinstance(value, int | float | np.number | np.bool_) and not isinstance(value, bool) and value == int(value):
        return str(int(value))
    return str(value)

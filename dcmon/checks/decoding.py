"""Decode packed rows into the columns that dcmon.statistics reads, each column when a check first reads it."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dcmon.checks import no_value_reasons
from dcmon.checks.dataset_schema import DatasetSchema
from dcmon.checks.kinds import CATEGORICAL_TYPES, NUMERIC_TYPES, STRING_TYPES
from dcmon.errors import InvalidInput
from dcmon.states import TaskType
from dcmon.statistics.columns import (
    ClassColumn,
    Column,
    CountedColumn,
    Counts,
    Numbers,
    NumericColumn,
    OutputColumn,
    Rows,
    UnreadColumn,
)
from dcmon.storage.categories import class_names
from dcmon.storage.column_blocks import ColumnarSample
from dcmon.storage.columns import LABEL, PREDICTION, PROBABILITIES


class _Features(Mapping[str, Column]):
    """The features of a sample by name; a column is decoded at its first use."""

    def __init__(self, sample: ColumnarSample, types: Mapping[str, str]) -> None:
        self._sample, self._types = sample, {name: types[name] for name in types if name in sample.column_types}
        self._decoded: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        if name not in self._decoded:
            self._decoded[name] = self._decode(name)
        return self._decoded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    def _decode(self, name: str) -> Column:
        if name not in self._types:
            raise InvalidInput(no_value_reasons.unknown_features([name], self._types))
        kind = self._types[name]
        if kind in NUMERIC_TYPES:
            return NumericColumn(self._sample.column(name))
        if kind in CATEGORICAL_TYPES | STRING_TYPES:
            counts = self._sample.counts(name)
            values: Counts = {value: n for value, n in counts.items() if value is not None}
            return CountedColumn(
                values, counts[None], None if kind == "boolean" else partial(_in_order, self._sample, name)
            )
        return UnreadColumn(self._sample.n_null(name))


def _in_order(sample: ColumnarSample, name: str) -> ClassColumn:
    # No method of the features: a column would refer to them in a circle, and keep the rows in memory.
    return ClassColumn(*sample.codes(name))


def decode(sample: ColumnarSample, schema: DatasetSchema) -> Rows:
    """Return a sample as columns. An output that no row has counts as absent."""
    return Rows(
        len(sample),
        _Features(sample, schema.features),
        _output(sample, LABEL, schema),
        _output(sample, PREDICTION, schema),
        _probabilities(sample, schema),
        sample.n_selected_from,
    )


def _output(sample: ColumnarSample, name: str, schema: DatasetSchema) -> OutputColumn | None:
    if name not in sample.column_types:
        return None
    if schema.task_type == TaskType.REGRESSION:
        values = np.asarray(sample.column(name), dtype=np.float64)
        return None if np.isnan(values).all() else NumericColumn(values)
    codes, names = sample.codes(name)
    return _class_column(codes, names, schema) if names else None


def _class_column(codes: NDArray[np.int64], names: tuple[str, ...], schema: DatasetSchema) -> ClassColumn:
    """Return a column whose classes have the version's names: a label 1 is class 1.0 if the version calls it so."""
    own_names = class_names(schema.classes or ())
    named = [own_names.get(name, name) for name in names]
    positions = {name: position for position, name in enumerate(dict.fromkeys(named))}
    if len(positions) < len(names):
        codes = np.array([*(positions[name] for name in named), -1])[codes]  # code -1, null, is the last one
    return ClassColumn(codes, tuple(positions))


def _probabilities(sample: ColumnarSample, schema: DatasetSchema) -> Numbers | None:
    if schema.task_type == TaskType.REGRESSION or PROBABILITIES not in sample.column_types:
        return None
    return sample.vectors(PROBABILITIES, len(schema.classes) if schema.classes else None)

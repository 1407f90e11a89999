"""Run a check on rows that are drawn from a sample, to see what it gives when nothing changes."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcmon.checks import runner
from dcmon.checks.catalogue import for_config
from dcmon.checks.check_run import setup_for
from dcmon.checks.dataset_schema import CheckValue, DatasetSchema
from dcmon.checks.decoding import decode
from dcmon.checks.workload import CheckRequest
from dcmon.statistics.columns import (
    ClassColumn,
    Column,
    CountedColumn,
    NumericColumn,
    OutputColumn,
    Rows,
    UnreadColumn,
    is_present,
)
from dcmon.storage.column_blocks import ColumnarSample

Positions = NDArray[np.int64]


class ResampledCheck:
    """A check of the catalogue, and the sample from which the rows of both of its sides are drawn.

    A window is given by the positions of its rows in the sample. Its rows stay whole: what depends on what in the
    sample does so in the window.
    """

    def __init__(self, request: CheckRequest, schema: DatasetSchema, sample: ColumnarSample) -> None:
        self._kind = for_config(request.module_name, request.class_name)
        self._setup = setup_for(self._kind, schema, request)
        self._rows = _SourceRows(sample, schema)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def is_comparison(self) -> bool:
        """True if the check compares the rows of a window with others."""
        return self._kind.needs_reference

    def rows(self, positions: Positions) -> Rows:
        """Return the rows at these positions, as a check reads them."""
        return self._rows.take(positions)

    def value(self, current: Rows, compared: Rows | None) -> CheckValue:
        """Return the value of the check on drawn rows."""
        return runner.run(self._setup, current, compared)

    def n_read(self, current: Rows) -> int:
        """Return how many of the rows the check reads, as the evaluator counts them."""
        return current.n_labelled if self._kind.needs_labels else len(current)


class _SourceRows:
    """The rows of a sample, decoded once in a form from which rows can be drawn."""

    def __init__(self, sample: ColumnarSample, schema: DatasetSchema) -> None:
        self._sample, self._decoded = sample, decode(sample, schema)
        self._codes: dict[str, _Codes] = {}

    def __len__(self) -> int:
        return len(self._decoded)

    def take(self, positions: Positions) -> Rows:
        decoded = self._decoded
        probabilities = None if decoded.probabilities is None else decoded.probabilities[positions]
        features = _TakenFeatures(decoded.features, lambda name: self._take_feature(name, positions))
        return Rows(
            len(positions),
            features,
            _take_output(decoded.labels, positions),
            _take_output(decoded.predictions, positions),
            probabilities,
        )

    def _take_feature(self, name: str, positions: Positions) -> Column:
        column = self._decoded.features[name]
        if isinstance(column, NumericColumn):
            return NumericColumn(column.values[positions])
        if isinstance(column, CountedColumn):
            if name not in self._codes:
                self._codes[name] = _Codes(list(self._sample.column(name)))
            return self._codes[name].take(positions)
        return UnreadColumn(round(column.n_null * len(positions) / len(self)))


class _Codes:
    """A column of categories as positions in its distinct values, of which None stands for null."""

    def __init__(self, values: list[Any]) -> None:
        self._names = list(dict.fromkeys(values))
        position = {value: code for code, value in enumerate(self._names)}
        self._codes = np.fromiter(map(position.__getitem__, values), np.int64, len(values))

    def take(self, positions: Positions) -> CountedColumn:
        numbers = np.bincount(self._codes[positions], minlength=len(self._names)).tolist()
        counts = Counter[Hashable]({name: n for name, n in zip(self._names, numbers, strict=True) if n})
        n_null = counts.pop(None, 0)
        return CountedColumn(counts, n_null)


class _TakenFeatures(Mapping[str, Column]):
    """The features of drawn rows by name; a column is taken at its first use."""

    def __init__(self, names: Mapping[str, Column], take: Callable[[str], Column]) -> None:
        self._names, self._take = names, take

    @cached_property
    def _taken(self) -> dict[str, Column]:
        return {}

    def __getitem__(self, name: str) -> Column:
        if name not in self._taken:
            self._taken[name] = self._take(name)
        return self._taken[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _take_output(column: OutputColumn | None, positions: Positions) -> OutputColumn | None:
    """Return the output of drawn rows. An output that no row has counts as absent, as in decoded rows."""
    if column is None:
        return None
    taken: OutputColumn
    if isinstance(column, ClassColumn):
        taken = ClassColumn(column.codes[positions], column.names)
    else:
        taken = NumericColumn(column.values[positions])
    return taken if is_present(taken).any() else None

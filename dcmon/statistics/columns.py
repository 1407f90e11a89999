"""Columns of one side of a check, decoded once and shared by all checks.

What several checks need of a column (its nulls, its sorted values, its counts) is computed at the first use and kept,
so that a reference, which is read for many windows, is sorted and counted once.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]
Counts = Mapping[Hashable, int]
D = TypeVar("D")
SUM_TOLERANCE = 0.01  # of the sum of a row's probabilities: services round them, or send float32


class NumericColumn:
    """A column of numbers. `values`: shape (rows,), NaN for null."""

    def __init__(self, values: Numbers) -> None:
        self.values = np.asarray(values, dtype=np.float64)

    @cached_property
    def n_null(self) -> int:
        """The number of nulls."""
        return int(np.isnan(self.values).sum())

    @cached_property
    def sorted(self) -> Numbers:
        """The values without nulls, in ascending order."""
        return np.sort(self.values[~np.isnan(self.values)] if self.n_null else self.values)


@dataclass(frozen=True)
class CountedColumn:
    """A column of categories, texts or booleans, of which only the counts of its values matter.

    `counts`: the number of rows by value, without nulls. `in_order`: returns the column in the order of its rows; None
    if only the counts are known.
    """

    counts: Counts
    n_null: int = 0
    in_order: "Callable[[], ClassColumn] | None" = field(default=None, repr=False, compare=False)

    @cached_property
    def counts_with_null(self) -> Counts:
        """The number of rows by value, with None for null if there are nulls."""
        return {**self.counts, None: self.n_null} if self.n_null else self.counts


@dataclass(frozen=True)
class UnreadColumn:
    """A column of times or arrays, of which no check reads more than the number of nulls."""

    n_null: int = 0


Column = NumericColumn | CountedColumn | UnreadColumn


class ClassColumn:
    """A column of classes. `codes`: shape (rows,), the position of each row's class in `names`, -1 for null."""

    def __init__(self, codes: NDArray[np.int64], names: tuple[str, ...]) -> None:
        self.codes, self.names = codes, names

    @cached_property
    def is_present(self) -> Mask:
        """Shape (rows,): False for null."""
        return self.codes >= 0

    def counts(self, is_used: Mask | None = None) -> dict[Hashable, int]:
        """Return the number of rows by class, without nulls and without classes that no row has."""
        codes = self.codes if is_used is None else self.codes[is_used]
        numbers = np.bincount(codes[codes >= 0], minlength=len(self.names))
        return {name: int(number) for name, number in zip(self.names, numbers, strict=True) if number}

    def codes_in(self, classes: tuple[str, ...]) -> NDArray[np.int64]:
        """Return the position of each row's class in `classes`; -1 for null and for other classes."""
        position = {name: index for index, name in enumerate(classes)}
        translated = np.array([*(position.get(name, -1) for name in self.names), -1], dtype=np.int64)
        return translated[self.codes]


def n_values(column: "Column") -> int:
    """Return the number of values of a column that are not null."""
    if isinstance(column, NumericColumn):
        return len(column.sorted)
    assert isinstance(column, CountedColumn)
    return sum(column.counts.values())


OutputColumn = NumericColumn | ClassColumn


class UnlikelyProbabilities(NamedTuple):
    """How many rows have a probability outside of 0 to 1, and how many others do not add up to 1."""

    n_outside: int
    n_other_sum: int


class Output(NamedTuple):
    """The rows of a side that have all outputs that a check reads.

    `is_used`: shape (rows,), True for these rows; `n`: how many they are. `n_left_out`: how many rows lack an output,
    among those that have the label, if the check reads labels.
    """

    is_used: Mask
    n: int
    n_left_out: int


@dataclass(frozen=True)
class Rows:
    """One side of a check: a window, or the rows that it is compared with.

    `features`: columns by name. `labels`, `predictions`: None if no row has a value. `probabilities`: shape
    (rows, classes), NaN in the rows without; None if no row has them. `n_selected_from`: how many rows there are, of
    which these are a sample; None: as many.
    """

    n: int
    features: Mapping[str, Column]
    labels: OutputColumn | None = None
    predictions: OutputColumn | None = None
    probabilities: Numbers | None = None
    n_selected_from: int | None = None
    _outputs: dict[tuple[bool, bool, bool], Output] = field(default_factory=dict, repr=False, compare=False)
    _derived: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return self.n

    @property
    def n_stored(self) -> int:
        """The number of rows of which these are a sample."""
        return self.n if self.n_selected_from is None else self.n_selected_from

    @cached_property
    def has_probabilities(self) -> Mask:
        """Shape (rows,): False for rows without probabilities."""
        if self.probabilities is None:
            return np.zeros(self.n, dtype=bool)
        return np.asarray(~np.isnan(self.probabilities).any(axis=1), dtype=bool)

    @cached_property
    def unlikely_probabilities(self) -> "UnlikelyProbabilities":
        """How many rows have probabilities that are none."""
        if self.probabilities is None:
            return UnlikelyProbabilities(0, 0)
        vectors = self.probabilities[self.has_probabilities]
        is_outside = ((vectors < 0) | (vectors > 1)).any(axis=1)
        is_other_sum = np.abs(vectors.sum(axis=1) - 1) > SUM_TOLERANCE
        return UnlikelyProbabilities(int(is_outside.sum()), int((is_other_sum & ~is_outside).sum()))

    @cached_property
    def n_labelled(self) -> int:
        """The number of rows with a label."""
        return 0 if self.labels is None else int(is_present(self.labels).sum())

    @property
    def only_label(self) -> Hashable:
        """The label that all labelled rows have; None if they have several."""
        if isinstance(self.labels, ClassColumn):
            counts = self.labels.counts()
            return next(iter(counts)) if len(counts) == 1 else None
        values = None if self.labels is None else self.labels.sorted
        return float(values[0]) if values is not None and len(values) and values[0] == values[-1] else None

    def derived(self, key: Hashable, compute: Callable[[], D]) -> D:
        """Return what is computed of these rows, and keep it for the next call with this key."""
        if key not in self._derived:
            self._derived[key] = compute()
        value: D = self._derived[key]
        return value

    def are_null(self, features: Sequence[str]) -> bool:
        """Return True if no row has a value of these features."""
        return all(self.features[name].n_null == self.n for name in features)

    def predicted(self, classes: tuple[str, ...] | None) -> OutputColumn | None:
        """Return the predictions; without any, the most probable class of each row; None without both."""
        if self.predictions is not None or self.probabilities is None or classes is None:
            return self.predictions
        codes = np.where(self.has_probabilities, np.nan_to_num(self.probabilities).argmax(axis=1), -1)
        return ClassColumn(codes, classes)

    def output(self, *, labels: bool = False, predictions: bool = False, probabilities: bool = False) -> Output:
        """Return which rows have all of the asked outputs; an output that no row has is not asked."""
        asked = labels, predictions, probabilities
        if asked not in self._outputs:
            self._outputs[asked] = self._new_output(*asked)
        return self._outputs[asked]

    def _new_output(self, labels: bool, predictions: bool, probabilities: bool) -> Output:
        is_used = np.ones(self.n, dtype=bool)
        if labels and self.labels is not None:
            is_used &= is_present(self.labels)
        n_labelled = int(is_used.sum())
        if predictions and self.predictions is not None:
            is_used &= is_present(self.predictions)
        if probabilities and self.probabilities is not None:
            is_used &= self.has_probabilities
        n = int(is_used.sum())
        return Output(is_used, n, n_labelled - n)


def is_present(column: OutputColumn) -> Mask:
    """Return which rows of a column have a value: shape (rows,)."""
    return column.is_present if isinstance(column, ClassColumn) else ~np.isnan(column.values)

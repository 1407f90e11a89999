"""Labels and predictions of classes, counted in one table from which all scores of classes follow."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dcmon.statistics.columns import ClassColumn, Numbers, Rows
from dcmon.statistics.errors import InvalidParameter


class ClassifiedRows:
    """The rows of a window with a label and a prediction, and probabilities if the scorers read them.

    `classes`: the names of the model's classes, sorted; without them all classes that rows have. `labels`,
    `predictions`: shape (rows,), positions in `classes`, -1 for a class that the model does not know.
    `n_unknown`: the number of labels that a binary model does not know: these rows are left out.
    """

    def __init__(self, rows: Rows, classes: Sequence[str] | None, *, uses_probabilities: bool) -> None:
        is_derived = uses_probabilities or rows.predictions is None
        self.n_left_out = rows.output(labels=True, predictions=True, probabilities=is_derived).n_left_out
        is_used = rows.output(labels=True, predictions=True, probabilities=is_derived).is_used
        labels, predicted = rows.labels, rows.predicted(tuple(classes) if classes else None)
        if not isinstance(labels, ClassColumn) or not isinstance(predicted, ClassColumn):
            raise InvalidParameter("Scores of classes need labels and predictions of classes.")
        self.classes = tuple(classes) if classes else _observed((labels, predicted), is_used)
        label_codes = labels.codes_in(self.classes)
        self.n_unknown = int((label_codes[is_used] < 0).sum())
        if self.is_binary and self.n_unknown:
            is_used = is_used & (label_codes >= 0)
        self.labels = label_codes[is_used]
        predictions = predicted.codes_in(self.classes)[is_used]
        # The library takes each class that is not the first one for the second one.
        self.predictions = np.where(predictions < 0, 1, predictions) if self.is_binary else predictions
        has_all = uses_probabilities and rows.probabilities is not None
        self.probabilities: Numbers | None = rows.probabilities[is_used] if has_all else None  # type: ignore[index]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_binary(self) -> bool:
        """True if there are two classes, of which the second is the positive one."""
        return len(self.classes) == 2

    @cached_property
    def table(self) -> NDArray[np.float64]:
        """Shape (classes + 1, classes + 1): how many rows of each label have each prediction; last the unknown ones."""
        size = len(self.classes) + 1
        cells = (self.labels % size) * size + self.predictions % size
        return np.bincount(cells, minlength=size**2).reshape(size, size).astype(float)

    @cached_property
    def n_by_label(self) -> NDArray[np.float64]:
        """Shape (classes,): the number of rows by label."""
        return np.asarray(self.table.sum(axis=1)[:-1])

    @cached_property
    def n_by_prediction(self) -> NDArray[np.float64]:
        """Shape (classes,): the number of rows by prediction."""
        return np.asarray(self.table.sum(axis=0)[:-1])

    @cached_property
    def n_right(self) -> NDArray[np.float64]:
        """Shape (classes,): the number of rows whose label and prediction is this class (true positives)."""
        return np.diag(self.table)[:-1]


def _observed(columns: Sequence[ClassColumn], is_used: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(sorted({str(name) for column in columns for name in column.counts(is_used)}))

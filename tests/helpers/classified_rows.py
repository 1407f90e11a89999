"""Rows with labels and predictions of classes, as the scorers read them."""

from collections.abc import Sequence

import numpy as np

from dcmon.statistics.columns import ClassColumn, Numbers, Rows
from dcmon.statistics.confusion import ClassifiedRows


def classified(
    labels: Sequence[str | None],
    predictions: Sequence[str | None],
    classes: Sequence[str],
    probabilities: Numbers | None = None,
) -> ClassifiedRows:
    """Return rows of a model with these classes."""
    rows = Rows(len(labels), {}, class_column(labels), class_column(predictions), probabilities)
    return ClassifiedRows(rows, classes, uses_probabilities=probabilities is not None)


def class_column(values: Sequence[str | None]) -> ClassColumn:
    """Return a column of classes; None for null."""
    names = tuple(dict.fromkeys(value for value in values if value is not None))
    return ClassColumn(np.array([-1 if value is None else names.index(value) for value in values], dtype=int), names)


def counted(tp: int, fn: int, fp: int, tn: int) -> ClassifiedRows:
    """Return rows of a binary model, whose second class "yes" is the positive one."""
    labels = ["yes"] * (tp + fn) + ["no"] * (fp + tn)
    predictions = ["yes"] * tp + ["no"] * fn + ["yes"] * fp + ["no"] * tn
    return classified(labels, predictions, ("no", "yes"))

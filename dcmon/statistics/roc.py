"""The area under the ROC curve, of known labels and of labels that are known only by their probability."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcmon.statistics.errors import Undefined

Numbers = NDArray[np.float64]

_DECIMALS = 5  # of expected numbers of rows in NannyML


def area(scores: Numbers, is_positive: NDArray[np.bool_]) -> float:
    """Return P(score of a positive row > that of a negative one) + P(equal) / 2 (Mann and Whitney 1947).

    `scores`, `is_positive`: shape (rows,), with rows of both kinds.
    """
    negative, positive = np.sort(scores[~is_positive]), scores[is_positive]
    below = np.searchsorted(negative, positive, "left").sum() + np.searchsorted(negative, positive, "right").sum()
    return float(below / (2.0 * len(positive) * len(negative)))


class ExpectedArea(NamedTuple):
    """An expected area under the ROC curve. `gradient`: shape (rows,), its derivative by each row's probability."""

    value: float
    gradient: Numbers


def expected_area(scores: Numbers, probabilities: Numbers) -> ExpectedArea:
    """Return the expected area under the ROC curve of one class against all others.

    Each row is a threshold, in descending order of score. Above it lie sum(p) expected positive and sum(1 - p) negative
    rows, and the area is that of the trapezoids between (Fawcett 2006; nannyml's estimate_roc_auc). Rows of equal score
    count with their mean probability. NannyML takes them in an order that depends on the processor: where they differ,
    which only probabilities of more than two classes do, its area differs by some millionths.

    `scores`: shape (rows,), as the model gave them. `probabilities`: shape (rows,), calibrated. Raises Undefined if no
    positive or no negative row is expected.
    """
    order = np.argsort(scores)[::-1]
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan))  # of rows of equal score
    sums = np.cumsum(_means(probabilities[order], starts))
    positive = np.round(_from_zero(sums), _DECIMALS)
    negative = np.round(_from_zero(np.arange(1, len(scores) + 1) - sums), _DECIMALS)
    n_positive, n_negative = positive[-1], negative[-1]
    if n_positive <= 0 or n_negative <= 0:
        raise Undefined(f"No {'positive' if n_positive <= 0 else 'negative'} row is expected.")
    value = float((np.diff(negative) * (positive[1:] + positive[:-1])).sum() / (2 * n_positive * n_negative))
    above, below = (positive[1:] + positive[:-1]) / 2, n_negative - (negative[1:] + negative[:-1]) / 2
    of_row = (below - above) / (n_positive * n_negative) - value / n_positive + value / n_negative
    gradient = np.empty(len(scores))
    gradient[order] = _means(of_row, starts)
    return ExpectedArea(value, gradient)


def _means(values: Numbers, starts: NDArray[np.intp]) -> Numbers:
    """Return for each value the mean of its group. `starts`: the position at which each group begins."""
    n = np.diff(starts, append=len(values))
    means: Numbers = np.repeat(np.add.reduceat(values, starts) / n, n)
    return means


def _from_zero(sums: Numbers) -> Numbers:
    return np.concatenate((np.zeros(1), sums))

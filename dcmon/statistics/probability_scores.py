"""Scores of predicted probabilities: areas under curves, log loss, Brier score.

Formulas of scikit-learn 1.x (sklearn.metrics), as deepchecks 0.19 calls it. In a binary model the second class is the
positive one.
"""

import numpy as np
from numpy.typing import NDArray

from dcmon.statistics.columns import Numbers
from dcmon.statistics.confusion import ClassifiedRows
from dcmon.statistics.errors import InvalidParameter, Undefined


def roc_auc(rows: ClassifiedRows) -> float:
    """Return the area under the ROC curve; of more than two classes the mean of those of each class.

    AUC = P(score of a positive row > that of a negative one) + P(equal) / 2 (Mann and Whitney 1947). Raises Undefined
    if a class has no row, or all rows.
    """
    probabilities = _probabilities(rows)
    if rows.is_binary:
        return _area(rows.labels == 1, probabilities[:, 1], rows.classes[1])
    return float(np.mean(_areas(rows)))


def roc_auc_weighted(rows: ClassifiedRows) -> float:
    """Return the mean of the areas of all classes, weighted by their numbers of labels."""
    if rows.is_binary:
        return roc_auc(rows)
    return float(np.average(_areas(rows), weights=rows.n_by_label))


def roc_auc_per_class(rows: ClassifiedRows) -> dict[str, float | None]:
    """Return the area of each class against all others; None for a class that has no row, or all rows.

    A row with a label that the model does not know is one of the others for all classes; deepchecks takes it for the
    first class.
    """
    if rows.is_binary:
        raise InvalidParameter("roc_auc_per_class is for models with more than two classes. Use roc_auc.")
    probabilities = _probabilities(rows)
    areas: dict[str, float | None] = {}
    for index, name in enumerate(rows.classes):
        is_positive = rows.labels == index
        both = bool(is_positive.any() and not is_positive.all())
        areas[name] = _area(is_positive, probabilities[:, index], name) if both else None
    return areas


def _areas(rows: ClassifiedRows) -> list[float]:
    probabilities = _probabilities(rows)
    return [_area(rows.labels == index, probabilities[:, index], name) for index, name in enumerate(rows.classes)]


def _area(is_positive: NDArray[np.bool_], scores: Numbers, name: str) -> float:
    n_positive = int(is_positive.sum())
    n_negative = len(is_positive) - n_positive
    if not n_positive or not n_negative:
        raise Undefined(f"{'All rows are' if n_positive else 'No row is'} {name!r}.")
    negative, positive = np.sort(scores[~is_positive]), scores[is_positive]
    below_or_equal = (
        np.searchsorted(negative, positive, "left").sum() + np.searchsorted(negative, positive, "right").sum()
    )
    return float(below_or_equal / (2.0 * n_positive * n_negative))


def average_precision(rows: ClassifiedRows) -> float:
    """Return the area under the precision-recall curve of the second class.

    AP = sum over thresholds of (recall_i - recall_(i-1)) precision_i. Raises Undefined if no row is of this class.
    """
    scores, is_positive = _binary_probability(rows, "average_precision"), rows.labels == 1
    if not is_positive.any():
        raise Undefined(f"No row is {rows.classes[1]!r}.")
    order = np.argsort(-scores, kind="stable")
    sorted_scores, hits = scores[order], np.cumsum(is_positive[order])
    last_of_threshold = np.append(np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1)
    true_positives = hits[last_of_threshold]
    precision, recall = true_positives / (last_of_threshold + 1), true_positives / true_positives[-1]
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def negative_brier_score(rows: ClassifiedRows) -> float:
    """Return -mean((p - y)^2), where p is the probability of the second class and y is 1 if it is the label."""
    probability = _binary_probability(rows, "neg_brier_score")
    return -float(np.mean((probability - rows.labels) ** 2))


def negative_log_loss(rows: ClassifiedRows) -> float:
    """Return mean(y ln p + (1 - y) ln(1 - p)), where p is the probability of the second class."""
    probability = _binary_probability(rows, "neg_log_loss")
    eps = np.finfo(float).eps
    both = np.clip(np.column_stack((1 - probability, probability)), eps, 1 - eps)
    both = both / both.sum(axis=1, keepdims=True)
    return float(np.log(both[np.arange(len(rows)), rows.labels]).mean())


def top_two_accuracy(rows: ClassifiedRows) -> float:
    """Return the share of rows whose label is among the two most probable classes: 1 for two classes.

    Raises Undefined if no row has a label of one of the classes.
    """
    _binary_probability(rows, "top_k_accuracy")
    if missing := [name for name, n in zip(rows.classes, rows.n_by_label, strict=True) if not n]:
        raise Undefined(f"No row is {missing[0]!r}.")
    return 1.0


def _probabilities(rows: ClassifiedRows) -> Numbers:
    if rows.probabilities is None:
        raise Undefined("No row has probabilities.")
    if rows.probabilities.shape[1] != len(rows.classes):
        raise InvalidParameter(
            f"There are {rows.probabilities.shape[1]} probabilities a row, and {len(rows.classes)} classes."
        )
    if not len(rows):
        raise Undefined("No row has a label that the model knows.")
    return rows.probabilities


def _binary_probability(rows: ClassifiedRows, name: str) -> Numbers:
    if not rows.is_binary:
        raise InvalidParameter(f"{name} is for models with two classes.")
    return _probabilities(rows)[:, 1]

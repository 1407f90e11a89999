"""Scores of predicted classes: accuracy, precision, recall, F1, Jaccard index, and rates of errors.

Formulas of scikit-learn 1.x (sklearn.metrics) with zero_division=0, as deepchecks 0.19 calls it. Differences, because
a number must come from rows: recall, F1 and Jaccard index of a class without labels in the window, and precision of a
class that was never predicted, have no value. Averages over classes stay those of scikit-learn.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dcmon.statistics.columns import Numbers
from dcmon.statistics.confusion import ClassifiedRows
from dcmon.statistics.errors import InvalidParameter, Undefined
from dcmon.statistics.scorer_names import LIBRARY_PREFIX

Score = float | Mapping[str, float | None]


class Average(StrEnum):
    """How the scores of classes become one number.

    BINARY: that of the positive class. MACRO: their mean. MICRO: from the sums over classes. WEIGHTED: their mean,
    weighted by the number of labels. PER_CLASS: all of them.
    """

    BINARY = "binary"
    MACRO = "macro"
    MICRO = "micro"
    WEIGHTED = "weighted"
    PER_CLASS = "per_class"


def accuracy(rows: ClassifiedRows) -> float:
    """Return the share of rows whose prediction is their label."""
    return float(np.trace(rows.table) / _n(rows))


def balanced_accuracy(rows: ClassifiedRows) -> float:
    """Return the mean recall of the classes that have labels (sklearn.metrics.balanced_accuracy_score)."""
    _require_binary(rows, "balanced_accuracy")
    has_labels = rows.n_by_label > 0
    return float(np.mean(rows.n_right[has_labels] / rows.n_by_label[has_labels]))


def matched_samples(rows: ClassifiedRows) -> float:
    """Return the share of rows whose prediction is their label (precision_samples and the like of one class a row)."""
    if rows.is_binary:
        raise InvalidParameter("Scores of samples are for models with more than two classes.")
    if len(rows.classes) < 2:
        raise Undefined("It needs rows of several classes.")
    return float(rows.n_right.sum() / _n(rows))


def matthews_correlation(rows: ClassifiedRows) -> float:
    """Return Matthews' correlation of labels and predictions of a binary model: -1 to 1, 0 without variance."""
    _require_binary(rows, "matthews_corrcoef")
    (tn, fp), (fn, tp) = rows.table[:2, :2]
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return float((tp * tn - fp * fn) / np.sqrt(product)) if product else 0.0


def positive_likelihood_ratio(rows: ClassifiedRows) -> float:
    """Return recall / false positive rate of a binary model."""
    _require_binary(rows, "positive_likelihood_ratio")
    (tn, fp), (fn, tp) = rows.table[:2, :2]
    return _ratio(tp * (fp + tn), fp * (tp + fn), "no row of the first class was predicted as the second")


def negative_negative_likelihood_ratio(rows: ClassifiedRows) -> float:
    """Return -(false negative rate / true negative rate) of a binary model."""
    _require_binary(rows, "neg_negative_likelihood_ratio")
    (tn, fp), (fn, tp) = rows.table[:2, :2]
    return -_ratio(fn * (fp + tn), tn * (tp + fn), "no row of the first class was predicted as such")


def precision(rows: ClassifiedRows, average: Average) -> Score:
    """Return TP / (TP + FP): the share of right predictions among those of a class."""
    return _score(rows, average, rows.n_right, rows.n_by_prediction, is_defined=rows.n_by_prediction > 0)


def recall(rows: ClassifiedRows, average: Average) -> Score:
    """Return TP / (TP + FN): the share of right predictions among the labels of a class."""
    return _score(rows, average, rows.n_right, rows.n_by_label, is_defined=rows.n_by_label > 0)


def f1(rows: ClassifiedRows, average: Average) -> Score:
    """Return 2 TP / (2 TP + FP + FN): the harmonic mean of precision and recall."""
    both = rows.n_by_label + rows.n_by_prediction
    return _score(rows, average, 2 * rows.n_right, both, is_defined=rows.n_by_label > 0)


def jaccard(rows: ClassifiedRows, average: Average) -> Score:
    """Return TP / (TP + FP + FN): the overlap of labels and predictions of a class."""
    either = rows.n_by_label + rows.n_by_prediction - rows.n_right
    return _score(rows, average, rows.n_right, either, is_defined=rows.n_by_label > 0)


def false_positive_rate(rows: ClassifiedRows, average: Average) -> Score:
    """Return FP / (FP + TN): the share of rows of other classes that were predicted as this class."""
    others = rows.n_by_label.sum() - rows.n_by_label
    return _rate(rows, average, rows.n_by_prediction - rows.n_right - rows.table[-1, :-1], others)


def true_negative_rate(rows: ClassifiedRows, average: Average) -> Score:
    """Return TN / (TN + FP), the specificity: the share of rows of other classes not predicted as this one."""
    others = rows.n_by_label.sum() - rows.n_by_label
    wrong = rows.n_by_prediction - rows.n_right - rows.table[-1, :-1]
    return _rate(rows, average, others - wrong, others)


def false_negative_rate(rows: ClassifiedRows, average: Average) -> Score:
    """Return FN / (FN + TP): the share of rows of a class that were predicted as another one."""
    return _rate(rows, average, rows.n_by_label - rows.n_right, rows.n_by_label)


def library_rate(name: str) -> Callable[[ClassifiedRows, Average], Score]:
    """Return what deepchecks 0.19 calls fpr, fnr or tnr; averages only of more than two classes, as there.

    It computes FP / (FP + TP), FN / (FN + TN) and TP / (TP + FP)
    (deepchecks.tabular.metric_utils.additional_classification_metrics), and takes an unknown label for the first class.
    """

    def rate(rows: ClassifiedRows, average: Average) -> Score:
        if average == Average.BINARY:
            _require_binary(rows)
        elif rows.is_binary:
            raise InvalidParameter(f"{LIBRARY_PREFIX}{name}_{average} is for models with more than two classes.")
        table, n_classes = rows.table[:-1, :-1].copy(), len(rows.classes)
        table[0] += rows.table[-1, :-1]
        table[:, 0] += rows.table[:-1, -1]
        table[0, 0] += rows.table[-1, -1]
        tp, labels, predictions = np.diag(table), table.sum(axis=1), table.sum(axis=0)
        fp, fn = predictions - tp, labels - tp
        tn = table.sum() - labels - fp
        top, bottom = {"fpr": (fp, fp + tp), "fnr": (fn, fn + tn), "tnr": (tp, tp + fp)}[name]
        is_one_sided = (tp == _n(rows)) | (tn == _n(rows))
        if name == "fnr" and average != Average.MICRO and is_one_sided.any():
            raise Undefined("It needs rows of each class, and rows of other classes.")
        # The library's macro average is the mean of all classes, also of those without labels.
        is_counted = np.ones(n_classes, dtype=bool)
        return _average(rows, average, _Ratios(top, bottom, is_counted), labels)

    return rate


class _Ratios:
    """A ratio of each class, 0 where its denominator is 0. `is_counted`: the classes that a macro average reads."""

    def __init__(self, top: Numbers, bottom: Numbers, is_counted: NDArray[np.bool_]) -> None:
        self.top, self.bottom, self.is_counted = top, bottom, is_counted
        self.each = np.divide(top, bottom, out=np.zeros(len(top)), where=bottom != 0)


def _score(
    rows: ClassifiedRows, average: Average, top: Numbers, bottom: Numbers, *, is_defined: NDArray[np.bool_]
) -> Score:
    """Return the score of ratios as scikit-learn averages them: of two classes only those that rows have."""
    is_seen = (rows.n_by_label + rows.n_by_prediction > 0) | (not rows.is_binary)
    ratios = _Ratios(top, bottom, is_seen)
    if average == Average.BINARY:
        _require_binary(rows)
        if not is_defined[1]:
            verb = "is" if not rows.n_by_label[1] else "was predicted as"
            raise Undefined(f"No row of the window {verb} {rows.classes[1]!r}.")
        return float(ratios.each[1])
    if average == Average.PER_CLASS:
        return _by_class(rows, ratios.each, is_defined)
    return _average(rows, average, ratios, rows.n_by_label)


def _rate(rows: ClassifiedRows, average: Average, top: Numbers, bottom: Numbers) -> Score:
    """Return the score of ratios; classes whose denominator is 0 have no value and are in no average."""
    is_defined = bottom > 0
    ratios = _Ratios(top, bottom, is_defined)
    if average == Average.BINARY:
        _require_binary(rows)
        if not is_defined[1]:
            missing = rows.classes[0] if rows.n_by_label[1] else rows.classes[1]
            raise Undefined(f"No row of the window is {missing!r}.")
        return float(ratios.each[1])
    if average == Average.PER_CLASS:
        return _by_class(rows, ratios.each, is_defined)
    weights = np.where(is_defined, rows.n_by_label, 0)
    if not is_defined.any() or (average == Average.WEIGHTED and not weights.any()):
        raise Undefined("It needs rows with labels of more than one class.")
    return _average(rows, average, ratios, weights)


def _average(rows: ClassifiedRows, average: Average, ratios: _Ratios, weights: Numbers) -> Score:
    if average == Average.BINARY:
        _require_binary(rows)
        return float(ratios.each[1])
    if average == Average.PER_CLASS:
        return dict(zip(rows.classes, ratios.each.tolist(), strict=True))
    if average == Average.MACRO:
        return float(ratios.each[ratios.is_counted].mean())
    if average == Average.MICRO:
        bottom = ratios.bottom[ratios.is_counted].sum()
        return float(ratios.top[ratios.is_counted].sum() / bottom) if bottom else 0.0
    return float((ratios.each * weights).sum() / weights.sum()) if weights.sum() else 0.0


def _by_class(rows: ClassifiedRows, values: Numbers, is_defined: NDArray[np.bool_]) -> dict[str, float | None]:
    return {
        name: float(value) if defined else None
        for name, value, defined in zip(rows.classes, values, is_defined, strict=True)
    }


def _require_binary(rows: ClassifiedRows, name: str = "A score of the positive class") -> None:
    if not rows.is_binary:
        raise InvalidParameter(
            f"{name} needs two classes, and there are {len(rows.classes)}. Choose a scorer that ends in _per_class,"
            " _macro, _micro or _weighted."
        )


def _n(rows: ClassifiedRows) -> int:
    if not len(rows):
        raise Undefined("No row has a label that the model knows.")
    return len(rows)


def _ratio(top: float, bottom: float, reason: str) -> float:
    if not bottom:
        raise Undefined(f"It is a division by zero, because {reason}.")
    return float(top / bottom)

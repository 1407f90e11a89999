"""Estimate scores of predictions whose labels are not known yet (CBPE, confidence-based performance estimation).

A calibrated probability is the share of rows that have this label. So the expected numbers of right and wrong
predictions are sums of probabilities, and scores follow from them. Source: NannyML 0.13.1
(nannyml.performance_estimation.confidence_based; "How it works: Estimation of Performance of the Monitored Model" in
its documentation). The intervals are dcmon's own.

The estimate holds while only the distribution of the features changes (covariate shift). It can't see that features
come to mean something else (concept drift): that is the gap to the realised score.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcmon.statistics.calibration import Calibration
from dcmon.statistics.errors import InvalidParameter, Undefined
from dcmon.statistics.roc import expected_area

Numbers = NDArray[np.float64]

_Z = 1.959963984540054  # the 97.5 % quantile of the normal distribution: intervals of 95 %


class Estimate(NamedTuple):
    """An estimated score, and the interval in which the realised score lies in 95 % of windows."""

    value: float
    low: float
    high: float


class _ClassScore(NamedTuple):
    """An expected score of one class. `slope`: shape (rows,), its derivative by "the row's label is this class"."""

    value: float
    slope: Numbers


class _Score(NamedTuple):
    """An expected score. `gradient`: shape (classes, rows), its derivatives by the labels."""

    value: float
    gradient: Numbers


class ExpectedRows:
    """Rows of a window with predictions and probabilities, whose labels are known only by probability.

    `uncalibrated`: shape (rows, classes), at least one row, without NaN. `predictions`: shape (rows,), positions of the
    classes, -1 for a class that the model does not know.
    """

    def __init__(self, uncalibrated: Numbers, predictions: NDArray[np.int64], calibration: Calibration) -> None:
        if uncalibrated.shape[1] != len(calibration.curves) + calibration.is_binary:
            raise InvalidParameter("The window and the reference have probabilities of different numbers of classes.")
        if not len(uncalibrated):
            raise Undefined("No row has a prediction and probabilities.")
        self.uncalibrated, self.predictions, self.calibration = uncalibrated, predictions, calibration
        self.n, self.n_classes = uncalibrated.shape

    @cached_property
    def probabilities(self) -> Numbers:
        """The calibrated probabilities: shape (classes, rows)."""
        return np.ascontiguousarray(self.calibration.calibrated(self.uncalibrated).T)

    @cached_property
    def is_predicted(self) -> Numbers:
        """Shape (classes, rows): 1 for the predicted class of a row, 0 for the others."""
        is_predicted: Numbers = (self.predictions == np.arange(self.n_classes)[:, np.newaxis]).astype(np.float64)
        return is_predicted

    @cached_property
    def n_labels(self) -> Numbers:
        """Shape (classes,): the expected number of rows by label."""
        n_labels: Numbers = self.probabilities.sum(axis=1)
        return n_labels

    @cached_property
    def n_predictions(self) -> Numbers:
        """Shape (classes,): the number of rows by prediction."""
        n_predictions: Numbers = self.is_predicted.sum(axis=1)
        return n_predictions

    @cached_property
    def n_right(self) -> Numbers:
        """Shape (classes,): the expected number of right predictions by class."""
        n_right: Numbers = (self.is_predicted * self.probabilities).sum(axis=1)
        return n_right

    @cached_property
    def _bins(self) -> list[NDArray[np.intp]]:
        return self.calibration.bins(self.uncalibrated)

    def estimate(self, score: _Score) -> Estimate:
        """Return a score with its interval: 1.96 standard errors around the score without bias, cut at 0 and 1.

        The score is a function of the rows' labels, linearised around its expectation (delta method). A label is a
        draw from the row's probabilities p, and rows are independent: the variance is the sum over rows of
        sum(p g^2) - (sum(p g))^2, where g is the gradient; of an accuracy this is sum(p (1 - p)) / rows^2. The bias and
        the variance that the calibration gives are added (Calibration.error). The interval contains the score itself,
        which is NannyML's and keeps its bias.
        """
        weighted = self.probabilities * score.gradient
        drawn = (weighted * score.gradient).sum() - (weighted.sum(axis=0) ** 2).sum()
        error = self.calibration.error(self._bins, score.gradient)
        middle, margin = score.value + error.bias, _Z * (max(float(drawn), 0.0) + error.variance) ** 0.5
        low, high = min(score.value, middle - margin), max(score.value, middle + margin)
        return Estimate(score.value, max(low, 0.0), min(high, 1.0))


def _accuracy(rows: ExpectedRows) -> _Score:
    """Return sum of the predicted classes' probabilities / rows."""
    return _Score(float(rows.n_right.sum() / rows.n), rows.is_predicted / rows.n)


def _precision(rows: ExpectedRows, index: int) -> _ClassScore | None:
    """Return TP / (TP + FP), whose denominator is known; None without a prediction of the class."""
    n = rows.n_predictions[index]
    return _ClassScore(float(rows.n_right[index] / n), rows.is_predicted[index] / n) if n else None


def _recall(rows: ExpectedRows, index: int) -> _ClassScore | None:
    """Return TP / (TP + FN); derivative: (is predicted - recall) / (TP + FN).

    None if no row of the class is expected.
    """
    n = rows.n_labels[index]
    if n <= 0:
        return None
    value = float(rows.n_right[index] / n)
    return _ClassScore(value, (rows.is_predicted[index] - value) / n)


def _f1(rows: ExpectedRows, index: int) -> _ClassScore | None:
    """Return 2 TP / (2 TP + FP + FN); derivative: (2 is predicted - F1) / (2 TP + FP + FN).

    None if no row of the class is expected.
    """
    if rows.n_labels[index] <= 0:
        return None
    n = rows.n_predictions[index] + rows.n_labels[index]
    value = float(2 * rows.n_right[index] / n)
    return _ClassScore(value, (2 * rows.is_predicted[index] - value) / n)


def _roc_auc(rows: ExpectedRows, index: int) -> _ClassScore | None:
    """Return the area under the ROC curve of a class against all others; None if it has no row, or all rows."""
    try:
        area = expected_area(rows.uncalibrated[:, index], rows.probabilities[index])
    except Undefined:
        return None
    return _ClassScore(area.value, area.gradient)


_CLASS_SCORES: Mapping[str, Callable[[ExpectedRows, int], _ClassScore | None]] = {
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
    "roc_auc": _roc_auc,
}
_MACRO, _PER_CLASS = "_macro", "_per_class"

# The scorers that can be estimated; of a binary model without a suffix that of the second class.
SCORERS = (
    "accuracy",
    *_CLASS_SCORES,
    *(name + suffix for name in ("precision", "recall", "f1") for suffix in (_MACRO, _PER_CLASS)),
    "roc_auc_per_class",
)


def estimated_score(name: str, rows: ExpectedRows) -> Estimate:
    """Return an estimated score that is one number.

    `name`: "accuracy"; "precision", "recall", "f1" of the second of two classes; the same with "_macro", the mean over
    classes, in which a class that is never predicted (precision) or expected (recall, F1) counts 0; "roc_auc", of more
    than two classes their mean. Raises InvalidParameter, and Undefined if the rows do not determine the score.
    """
    if name == "accuracy":
        return rows.estimate(_accuracy(rows))
    of_class = _CLASS_SCORES.get(name.removesuffix(_MACRO))
    if of_class is None or name == f"roc_auc{_MACRO}":
        raise _unknown(name)
    if name.endswith(_MACRO) or (name == "roc_auc" and rows.n_classes > 2):
        return rows.estimate(_mean([of_class(rows, index) for index in range(rows.n_classes)], rows, name))
    if rows.n_classes > 2:
        raise InvalidParameter(f"A model of {rows.n_classes} classes has no {name}. Use {name}{_MACRO}.")
    score = of_class(rows, 1)
    if score is None:
        raise Undefined(f"The {name} has no value: no row is predicted or expected to be of the second class.")
    return _estimate_of_class(rows, 1, score)


def estimated_scores_per_class(name: str, rows: ExpectedRows) -> list[Estimate | None]:
    """Return the estimated score of each class against all others; None where the rows do not determine it.

    `name`: "precision_per_class", "recall_per_class", "f1_per_class" or "roc_auc_per_class". Raises InvalidParameter.
    """
    of_class = _CLASS_SCORES.get(name.removesuffix(_PER_CLASS))
    if of_class is None or not name.endswith(_PER_CLASS):
        raise _unknown(name)
    scores = [of_class(rows, index) for index in range(rows.n_classes)]
    return [None if score is None else _estimate_of_class(rows, index, score) for index, score in enumerate(scores)]


def _estimate_of_class(rows: ExpectedRows, index: int, score: _ClassScore) -> Estimate:
    gradient = np.zeros((rows.n_classes, rows.n))
    gradient[index] = score.slope
    return rows.estimate(_Score(score.value, gradient))


def _mean(scores: list[_ClassScore | None], rows: ExpectedRows, name: str) -> _Score:
    if name == "roc_auc" and None in scores:
        raise Undefined("The roc_auc has no value: a class is expected in no row, or in all rows.")
    none = _ClassScore(0.0, np.zeros(rows.n))
    defined = [score or none for score in scores]
    gradient = np.array([score.slope for score in defined]) / len(defined)
    return _Score(sum(score.value for score in defined) / len(defined), gradient)


def _unknown(name: str) -> InvalidParameter:
    return InvalidParameter(f"The score {name} can't be estimated. Use one of: {', '.join(SCORERS)}.")

"""Confidence intervals of scores by the scorer's name, for the scorers that have a closed form."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from dcmon.statistics import area_intervals, average_intervals, intervals, regression_scores
from dcmon.statistics.average_intervals import Ratio
from dcmon.statistics.class_scores import Average
from dcmon.statistics.columns import Numbers, NumericColumn, Rows
from dcmon.statistics.confusion import ClassifiedRows
from dcmon.statistics.intervals import LEVEL, Interval
from dcmon.statistics.scorer_names import scorer_name

ScoreInterval = Interval | Mapping[str, Interval] | None


def class_score_interval(name: str, rows: ClassifiedRows) -> ScoreInterval:
    """Return the interval of a score of classes or probabilities, by class for a score per class.

    None for a scorer without a closed form, such as average_precision. Averages over classes have none if rows have
    a class that the model does not know.
    """
    function = _CLASS_INTERVALS.get(scorer_name(name))
    with np.errstate(all="ignore"):
        return None if function is None or not len(rows) else function(rows)


def regression_score_interval(name: str, rows: Rows) -> Interval | None:
    """Return the interval of a score of predicted numbers; None for a scorer without a closed form."""
    function = _REGRESSION_INTERVALS.get(scorer_name(name))
    labels, predictions = rows.labels, rows.predictions
    if function is None or not isinstance(labels, NumericColumn) or not isinstance(predictions, NumericColumn):
        return None
    is_used = rows.output(labels=True, predictions=True).is_used
    with np.errstate(all="ignore"):
        return function(labels.values[is_used], predictions.values[is_used])


def _of_class(rows: ClassifiedRows, ratio: Ratio, index: int) -> Interval:
    """Return the interval of the score of one class, a share of its labels, predictions or other rows."""
    right, labels = rows.n_right[index], rows.n_by_label[index]
    predictions, others = rows.n_by_prediction[index], rows.n_by_label.sum() - labels
    if ratio in (Ratio.F1, Ratio.JACCARD):
        wrong = labels + predictions - 2 * right
        return intervals.f1(right, wrong) if ratio == Ratio.F1 else intervals.share(right, right + wrong)
    false_positives = predictions - right - rows.table[-1, index]
    count, n = {
        Ratio.PRECISION: (right, predictions),
        Ratio.RECALL: (right, labels),
        Ratio.FALSE_NEGATIVE_RATE: (labels - right, labels),
        Ratio.FALSE_POSITIVE_RATE: (false_positives, others),
        Ratio.TRUE_NEGATIVE_RATE: (others - false_positives, others),
    }[ratio]
    return intervals.share(count, n)


def _averaged(rows: ClassifiedRows, ratio: Ratio, average: Average) -> ScoreInterval:
    if average == Average.PER_CLASS:
        return {name: _of_class(rows, ratio, index) for index, name in enumerate(rows.classes)}
    if average == Average.BINARY:
        return _of_class(rows, ratio, 1) if rows.is_binary else None
    if rows.table[-1].any() or rows.table[:, -1].any() or len(rows.classes) < 2:
        return None
    if average == Average.MICRO:
        return average_intervals.micro(int(rows.n_right.sum()), len(rows), len(rows.classes), ratio)
    function = average_intervals.macro if average == Average.MACRO else average_intervals.weighted
    return function(rows.table[:-1, :-1], ratio)


def _accuracy(rows: ClassifiedRows) -> Interval:
    return intervals.share(np.trace(rows.table), len(rows))


def _balanced_accuracy(rows: ClassifiedRows) -> Interval:
    return average_intervals.balanced_accuracy(rows.table[:-1, :-1])


def _roc_auc(rows: ClassifiedRows, *, is_weighted: bool) -> Interval | None:
    if rows.probabilities is None:
        return None
    if rows.is_binary:
        return area_intervals.roc_auc(rows.labels == 1, rows.probabilities[:, 1])
    n_classes = len(rows.classes)
    weights = rows.n_by_label / rows.n_by_label.sum() if is_weighted else np.full(n_classes, 1 / n_classes)
    return area_intervals.mean_roc_auc(rows.labels, rows.probabilities, weights, LEVEL)


def _roc_auc_per_class(rows: ClassifiedRows) -> Mapping[str, Interval] | None:
    if rows.probabilities is None:
        return None
    return {
        name: area_intervals.roc_auc(rows.labels == index, rows.probabilities[:, index])
        for index, name in enumerate(rows.classes)
    }


def _negative_brier_score(rows: ClassifiedRows) -> Interval | None:
    if rows.probabilities is None or not rows.is_binary:
        return None
    return _negative(intervals.mean_loss(np.asarray((rows.probabilities[:, 1] - rows.labels) ** 2, dtype=np.float64)))


def _negative_log_loss(rows: ClassifiedRows) -> Interval | None:
    if rows.probabilities is None or not rows.is_binary:
        return None
    eps = np.finfo(float).eps
    if (rows.probabilities <= 0).any():
        return None  # rounded: the loss of a wrong one is 36, so that few rows make the mean, or will in other windows
    both = np.clip(np.column_stack((1 - rows.probabilities[:, 1], rows.probabilities[:, 1])), eps, 1 - eps)
    of_label = both[np.arange(len(rows)), rows.labels] / both.sum(axis=1)
    return _negative(intervals.mean_loss(-np.log(of_label)))


def _negative(interval: Interval) -> Interval:
    return Interval(-interval.high, -interval.low)


def _ratios() -> dict[str, Callable[[ClassifiedRows], ScoreInterval]]:
    return {
        ratio if average == Average.BINARY else f"{ratio}_{average}": partial(_averaged, ratio=ratio, average=average)
        for ratio in Ratio
        for average in Average
    }


_CLASS_INTERVALS: Mapping[str, Callable[[ClassifiedRows], ScoreInterval]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    **{f"{ratio}_samples": _accuracy for ratio in (Ratio.PRECISION, Ratio.RECALL, Ratio.F1, Ratio.JACCARD)},
    **_ratios(),
    **{name: partial(_roc_auc, is_weighted=False) for name in ("roc_auc", "roc_auc_ovr", "roc_auc_ovo")},
    **{name: partial(_roc_auc, is_weighted=True) for name in ("roc_auc_ovr_weighted", "roc_auc_ovo_weighted")},
    "roc_auc_per_class": _roc_auc_per_class,
    "neg_brier_score": _negative_brier_score,
    "neg_log_loss": _negative_log_loss,
}


def _mean_square(y: Numbers, p: Numbers) -> Interval:
    return intervals.mean_loss((y - p) ** 2)


def _root_mean_square(y: Numbers, p: Numbers) -> Interval:
    return intervals.root_mean_square(y - p)


def _mean_size(y: Numbers, p: Numbers) -> Interval:
    return intervals.mean_loss(np.abs(y - p))


def _median_size(y: Numbers, p: Numbers) -> Interval:
    return intervals.median(np.abs(y - p))


def _explained_variance(y: Numbers, p: Numbers) -> Interval:
    return intervals.r2(y, p + (y - p).mean())


def _mean_loss(losses: Callable[[Numbers, Numbers], Numbers], y: Numbers, p: Numbers) -> Interval:
    # Rounding could make the loss of an exact prediction negative.
    return intervals.mean_loss(np.maximum(losses(y, p), 0.0))


_ERRORS: Mapping[str, Callable[[Numbers, Numbers], Interval]] = {
    **dict.fromkeys(("mse", "mean_squared_error"), _mean_square),
    **dict.fromkeys(("rmse", "root_mean_squared_error"), _root_mean_square),
    **dict.fromkeys(("mae", "mean_absolute_error"), _mean_size),
}


_OTHER_ERRORS: Mapping[str, Callable[[Numbers, Numbers], Interval]] = {
    "median_absolute_error": _median_size,
    "mean_squared_log_error": partial(_mean_loss, regression_scores.squared_log_errors),
    "mean_poisson_deviance": partial(_mean_loss, regression_scores.poisson_deviances),
    "mean_gamma_deviance": partial(_mean_loss, regression_scores.gamma_deviances),
}


def _negative_error(function: Callable[[Numbers, Numbers], Interval], y: Numbers, p: Numbers) -> Interval:
    return _negative(function(y, p))


_REGRESSION_INTERVALS: Mapping[str, Callable[[Numbers, Numbers], Interval]] = {
    **_ERRORS,
    **{f"neg_{name}": partial(_negative_error, function) for name, function in _ERRORS.items()},
    "r2": intervals.r2,
    "explained_variance": _explained_variance,
    **{f"neg_{name}": partial(_negative_error, function) for name, function in _OTHER_ERRORS.items()},
}

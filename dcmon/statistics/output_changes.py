"""How far predictions and scores of a window are from those of the reference, in limits (statistics.changes)."""

import math
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import numpy as np

from dcmon.statistics import neighbours, noise, quantiles
from dcmon.statistics.changes import ERROR_RATE, Rise, distance
from dcmon.statistics.columns import ClassColumn, Column, CountedColumn, Numbers, NumericColumn, Rows, n_values
from dcmon.statistics.confusion import ClassifiedRows
from dcmon.statistics.description import describe_change
from dcmon.statistics.errors import InvalidParameter
from dcmon.statistics.features import Values
from dcmon.statistics.neighbours import Days
from dcmon.statistics.noise import MIN_ROWS, ErrorBudget, Share

LEAST_FALL = 0.03  # of a share of right rows
LEAST_ERROR_RISE = math.log(1.1)  # of the logarithm of an error of numbers: a tenth
WORST = 100.0  # in limits: an error that was 0 and is not


def prediction_drifts(
    current: Rows, reference: Rows, classes: Sequence[str] | None, error_rate: float = ERROR_RATE
) -> Values:
    """Return the distance of predictions, and of the probability of each class, from the reference's, in limits.

    Predicted classes: total variation. Numbers and probabilities: Kolmogorov-Smirnov.
    """
    now, before = _output_columns(current, classes), _output_columns(reference, classes)
    names = [name for name in before if name in now]
    budget = ErrorBudget(max(1, len(names)), error_rate)
    scale = neighbours.scale(current, reference)
    return {
        name: distance(
            now[name],
            before[name],
            budget,
            neighbours.of_column(reference, name, before[name], scale * n_values(now[name])),
        ).ratio
        for name in names
    }


def describe_outputs(
    current: Rows, reference: Rows, classes: Sequence[str] | None, names: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Return how these outputs, named as by `prediction_drifts`, differ from the reference's in their own units."""
    now, before = _output_columns(current, classes), _output_columns(reference, classes)
    return {name: describe_change(before[name], now[name], reference.n, current.n) for name in names}


def _output_columns(rows: Rows, classes: Sequence[str] | None) -> dict[str, Column]:
    """Return the predictions, and the probability of each class, by name."""
    predicted, probabilities = _predictions(rows, classes), rows.probabilities
    columns = {} if predicted is None else {"prediction": predicted}
    if probabilities is None or not classes or probabilities.shape[1] != len(classes):
        return columns
    # With two classes, the probability of the first is that of the second turned round.
    first = 1 if len(classes) == 2 else 0
    return columns | {
        f"probability of {name}": NumericColumn(probabilities[:, index])
        for index, name in enumerate(classes)
        if index >= first
    }


def _predictions(rows: Rows, classes: Sequence[str] | None) -> Column | None:
    predicted = rows.predicted(tuple(classes) if classes else None)
    return CountedColumn(predicted.counts(), 0, lambda: predicted) if isinstance(predicted, ClassColumn) else predicted


def score_falls(
    current: Rows, reference: Rows, classes: Sequence[str] | None, error_rate: float = ERROR_RATE
) -> Values:
    """Return how far scores have fallen since the reference, in limits; 0 where they rose.

    Classes: accuracy, and recall and precision of each class that has enough rows. Half of the error rate is for the
    accuracy, and half for all classes. Numbers: the rise of the root mean squared error and of the mean absolute error.
    """
    if isinstance(reference.labels, NumericColumn):
        return _error_rises(_errors(current), _errors(reference), error_rate)
    now = ClassifiedRows(current, classes, uses_probabilities=False)
    before = ClassifiedRows(reference, classes, uses_probabilities=False)
    names = before.classes
    rate = error_rate / (2 * 2 * max(1, len(names)))
    scale = neighbours.scale(current, reference)
    shares_now, shares_before = _wrong_shares(now), _wrong_shares(before)
    days = {name: _days(reference, before, name, scale * share.n_rows) for name, share in shares_now.items()}
    return {
        name: Rise(shares_now[name], share, days[name]).ratio(
            LEAST_FALL, partial(noise.normal_rise_limit, error_rate=error_rate / 2 if name == "accuracy" else rate)
        )
        for name, share in shares_before.items()
        if name in shares_now and min(share.n_rows, shares_now[name].n_rows) >= MIN_ROWS
    }


def describe_scores(
    current: Rows, reference: Rows, classes: Sequence[str] | None, names: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Return these scores, named as by `score_falls`, of the reference and of the window: {"score": [before, now]}."""
    before, now = _scores(reference, classes), _scores(current, classes)
    return {name: {"score": [before[name], now[name]]} for name in names}


def _scores(rows: Rows, classes: Sequence[str] | None) -> dict[str, float]:
    if isinstance(rows.labels, NumericColumn):
        errors = _errors(rows)
        return {"RMSE": math.sqrt(float((errors**2).mean())), "MAE": float(errors.mean())}
    shares = _wrong_shares(ClassifiedRows(rows, classes, uses_probabilities=False))
    return {name: 1 - share.value for name, share in shares.items()}


def _wrong_shares(rows: ClassifiedRows) -> dict[str, Share]:
    """Return the share of wrong rows by score."""
    n_right = float(rows.n_right.sum())
    shares = {"accuracy": Share(len(rows) - n_right, len(rows))}
    for index, name in enumerate(rows.classes):
        right = float(rows.n_right[index])
        by_label, by_prediction = float(rows.n_by_label[index]), float(rows.n_by_prediction[index])
        shares[f"recall {name}"] = Share(by_label - right, by_label)
        shares[f"precision {name}"] = Share(by_prediction - right, by_prediction)
    return {name: share for name, share in shares.items() if share.n_rows}


def _days(reference: Rows, before: ClassifiedRows, score: str, as_long: float) -> Days:
    """Return how much the share of wrong rows differs between blocks of the reference's rows, by name of a score."""
    kind, _, name = score.partition(" ")
    codes = {"recall": before.labels, "precision": before.predictions}.get(kind)
    is_in = np.ones(len(before), dtype=bool) if codes is None else codes == before.classes.index(name)
    size = neighbours.block_size(as_long, int(is_in.sum()))
    is_wrong = before.labels != before.predictions
    return reference.derived((score_falls, score, size), lambda: neighbours.of_indicator(is_wrong[is_in], size))


def _errors(rows: Rows) -> Numbers:
    """Return the absolute errors of the rows with a label and a prediction."""
    labels, predictions = rows.labels, rows.predictions
    if not isinstance(labels, NumericColumn) or not isinstance(predictions, NumericColumn):
        raise InvalidParameter("Scores of numbers need labels and predictions that are numbers.")
    is_used = rows.output(labels=True, predictions=True).is_used
    return np.abs(labels.values[is_used] - predictions.values[is_used])


def _error_rises(now: Numbers, before: Numbers, error_rate: float) -> Values:
    """Return the rise of two error measures in limits.

    Of the logarithm of a mean of x, whose standard error is sd(x) / (mean(x) sqrt(n)) (delta method). Of a root of a
    mean both are half as large, so that the ratio is the same.
    """
    if min(len(now), len(before)) < MIN_ROWS:
        return {}
    z = quantiles.normal(1 - error_rate / 2)
    return {
        "RMSE": _error_rise(now**2, before**2, z, 2 * LEAST_ERROR_RISE),
        "MAE": _error_rise(now, before, z, LEAST_ERROR_RISE),
    }


def _error_rise(now: Numbers, before: Numbers, z: float, least: float) -> float:
    mean_now, mean_before = float(now.mean()), float(before.mean())
    if mean_now <= mean_before:
        return 0.0
    if not mean_before:
        return WORST
    noise = z * math.hypot(*(values.std(ddof=1) / (values.mean() * math.sqrt(len(values))) for values in (now, before)))
    return math.log(mean_now / mean_before) / max(least, noise)

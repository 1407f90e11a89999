"""Drift of labels and predictions, and labels that the compared rows do not have."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dcmon.statistics import drift
from dcmon.statistics.columns import ClassColumn, Counts, Mask, Numbers, NumericColumn, OutputColumn, Rows
from dcmon.statistics.drift import DriftParameters
from dcmon.statistics.errors import InvalidParameter


class DriftMode(StrEnum):
    """What PredictionDrift compares: probabilities for a binary model and classes otherwise, or one of both."""

    AUTO = "auto"
    PROBABILITIES = "proba"
    CLASSES = "prediction"


@dataclass(frozen=True)
class OutputSides:
    """The labels or predictions of both sides. `is_compared`, `is_current`: the rows of each that are read."""

    compared: OutputColumn
    current: OutputColumn
    is_compared: Mask
    is_current: Mask


def label_sides(current: Rows, compared: Rows) -> OutputSides:
    """Return the labels of both sides."""
    assert compared.labels is not None
    assert current.labels is not None
    used = (rows.output(labels=True).is_used for rows in (compared, current))
    return OutputSides(compared.labels, current.labels, *used)


def predicted_sides(current: Rows, compared: Rows, classes: tuple[str, ...] | None) -> OutputSides:
    """Return the predictions of both sides; if a side has none, the most probable classes. Raises InvalidParameter."""
    is_derived = compared.predictions is None or current.predictions is None
    used = (rows.output(predictions=True, probabilities=is_derived).is_used for rows in (compared, current))
    predicted_before, predicted_now = compared.predicted(classes), current.predicted(classes)
    if predicted_before is None or predicted_now is None:
        raise InvalidParameter("A side has neither predictions nor probabilities of named classes.")
    return OutputSides(predicted_before, predicted_now, *used)


def drift_of(sides: OutputSides, parameters: DriftParameters) -> float:
    """Return the drift of labels (LabelDrift), or of predicted numbers or classes (PredictionDrift with "prediction").

    Raises TooFewValues, InvalidParameter and Undefined.
    """
    before, now = sides.compared, sides.current
    if isinstance(before, NumericColumn) and isinstance(now, NumericColumn):
        return drift.numeric(
            np.sort(before.values[sides.is_compared]), np.sort(now.values[sides.is_current]), parameters
        )
    assert isinstance(before, ClassColumn)
    assert isinstance(now, ClassColumn)
    return drift.categorical(before.counts(sides.is_compared), now.counts(sides.is_current), parameters)


@dataclass(frozen=True)
class ProbabilityDrift:
    """The drift of the probability of each class, in the order of classes; of a binary model only the second class.

    `weights`: how often each class was the most probable one, on both sides. `n_compared`, `n_current`: how many rows
    of each side were read.
    """

    values: dict[str, float]
    weights: dict[str, int]
    n_compared: int
    n_current: int


def probability_drift(
    current: Rows, compared: Rows, classes: Sequence[str] | None, parameters: DriftParameters
) -> ProbabilityDrift:
    """Return the drift of probabilities (PredictionDrift with drift_mode "proba").

    Raises TooFewValues, InvalidParameter and Undefined.
    """
    before, now = _probabilities(compared), _probabilities(current)
    n_classes = now.shape[1]
    if n_classes == 2:
        names = [str(classes[1]) if classes else "1"]
        before, now = before[:, 1:], now[:, 1:]
        weights = {names[0]: len(before) + len(now)}
    else:
        if classes is None or len(classes) != n_classes:
            raise InvalidParameter("The probabilities belong to classes that the version does not name.")
        names = list(classes)
        most_probable = np.concatenate([before.argmax(axis=1), now.argmax(axis=1)])
        weights = dict(zip(names, np.bincount(most_probable, minlength=n_classes).tolist(), strict=True))
    values = {
        name: drift.numeric(np.sort(before[:, index]), np.sort(now[:, index]), parameters)
        for index, name in enumerate(names)
    }
    return ProbabilityDrift(values, weights, len(before), len(now))


def _probabilities(rows: Rows) -> Numbers:
    assert rows.probabilities is not None
    return rows.probabilities[rows.output(predictions=True, probabilities=True).is_used]


def aggregate_classes(method: str | None, drifts: ProbabilityDrift) -> dict[str, float]:
    """Return the drift of the probabilities of all classes as one number, by the name that the library gives it.

    `method`: "none" or None (all numbers), "mean", "max" or "weighted", by how often a class was the most probable one.
    Raises InvalidParameter.
    """
    values = np.array(list(drifts.values.values()))
    if len(values) == 1:
        return {"Prediction Drift Score": float(values[0])}
    if method is None or method == "none":
        return {f"Drift Score class {name}": value for name, value in drifts.values.items()}
    if method == "mean":
        return {"Mean Drift Score": float(values.mean())}
    if method == "max":
        return {"Max Drift Score": float(values.max())}
    if method == "weighted":
        weights = np.array([drifts.weights[name] for name in drifts.values])
        return {"Weighted Drift Score": float(np.sum(values * (weights / weights.sum())))}
    raise InvalidParameter(f"There is no aggregation method {method!r} of classes. Use none, mean, max or weighted.")


def new_labels(current: Rows, compared: Rows) -> Counts:
    """Return the number of rows of the window by label, for labels that `compared` lacks (NewLabelTrainTest)."""
    assert isinstance(current.labels, ClassColumn)
    assert isinstance(compared.labels, ClassColumn)
    known = compared.labels.counts()
    return {label: n for label, n in current.labels.counts().items() if label not in known}

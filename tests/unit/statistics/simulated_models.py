"""Rows of simulated models, whose true probabilities are known."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcmon.statistics.roc import area


class Model(NamedTuple):
    """What rows to draw: `shift` moves the features, and a `sharpness` above 1 makes the model over-confident."""

    random: np.random.Generator
    n: int
    shift: float = 0.0
    sharpness: float = 1.0


class Rows(NamedTuple):
    """Rows of a model; probabilities of shape (rows, classes), labels and predictions as positions of classes."""

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]


def binary_rows(model: Model) -> Rows:
    log_odds = model.random.normal(model.shift, 1.0, model.n) * 1.8 - 0.3
    labels = (model.random.random(model.n) < logistic(log_odds)).astype(np.int64)
    positive = logistic(log_odds * model.sharpness)
    return Rows(np.column_stack((1 - positive, positive)), labels, (positive > 0.5).astype(np.int64))


def multiclass_rows(model: Model) -> Rows:
    evidence = model.random.normal(size=(model.n, 3)) * 1.5
    evidence[:, 0] += model.shift
    true = np.exp(evidence)
    true /= true.sum(axis=1, keepdims=True)
    labels = (true.cumsum(axis=1) < model.random.random((model.n, 1))).sum(axis=1)
    stated = true**model.sharpness
    stated /= stated.sum(axis=1, keepdims=True)
    return Rows(stated, labels, stated.argmax(axis=1))


def logistic(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-log_odds))


def realised_score(name: str, rows: Rows) -> float:
    """Return the score of the labels; of several classes "roc_auc" and names with "_macro" are means."""
    if name == "accuracy":
        return float((rows.labels == rows.predictions).mean())
    n_classes = rows.probabilities.shape[1]
    each = [_of_class(name.removesuffix("_macro"), rows, index) for index in range(n_classes)]
    return each[1] if n_classes == 2 else float(np.mean(each))


def _of_class(name: str, rows: Rows, index: int) -> float:
    is_label, is_predicted = rows.labels == index, rows.predictions == index
    n_right = (is_label & is_predicted).sum()
    if name == "precision":
        return float(n_right / is_predicted.sum())
    if name == "recall":
        return float(n_right / is_label.sum())
    if name == "f1":
        return float(2 * n_right / (is_label.sum() + is_predicted.sum()))
    return area(rows.probabilities[:, index], is_label)

"""Scores of predicted numbers, with the formulas of scikit-learn 1.x (sklearn.metrics).

Each function takes the labels y and the predictions p, both of shape (rows,), without NaN.
"""

import numpy as np

from dcmon.statistics.columns import Numbers
from dcmon.statistics.errors import Undefined


def mean_squared_error(y: Numbers, p: Numbers) -> float:
    """Return mean((y - p)^2)."""
    return float(np.mean((y - p) ** 2))


def root_mean_squared_error(y: Numbers, p: Numbers) -> float:
    """Return sqrt(mean((y - p)^2)), in the unit of the label."""
    return float(np.sqrt(np.mean((y - p) ** 2)))


def mean_absolute_error(y: Numbers, p: Numbers) -> float:
    """Return mean(|y - p|), in the unit of the label."""
    return float(np.mean(np.abs(y - p)))


def median_absolute_error(y: Numbers, p: Numbers) -> float:
    """Return median(|y - p|), in the unit of the label."""
    return float(np.median(np.abs(y - p)))


def mean_absolute_percentage_error(y: Numbers, p: Numbers) -> float:
    """Return mean(|y - p| / max(|y|, eps)), where eps is the smallest step of a float at 1."""
    return float(np.mean(np.abs(y - p) / np.maximum(np.abs(y), np.finfo(float).eps)))


def max_error(y: Numbers, p: Numbers) -> float:
    """Return max(|y - p|), in the unit of the label."""
    return float(np.max(np.abs(y - p)))


def r2(y: Numbers, p: Numbers) -> float:
    """Return 1 - sum((y - p)^2) / sum((y - mean(y))^2); of equal labels 1 if all are met, else 0.

    Raises Undefined for fewer than two rows.
    """
    if len(y) < 2:
        raise Undefined("It needs two rows.")
    return _share_explained(float(((y - p) ** 2).sum()), float(((y - y.mean()) ** 2).sum()))


def explained_variance(y: Numbers, p: Numbers) -> float:
    """Return 1 - var(y - p) / var(y); of equal labels 1 if all errors are equal, else 0."""
    error = y - p
    return _share_explained(float(((error - error.mean()) ** 2).mean()), float(((y - y.mean()) ** 2).mean()))


def _share_explained(unexplained: float, total: float) -> float:
    if total:
        return 1 - unexplained / total
    return 0.0 if unexplained else 1.0


def mean_squared_log_error(y: Numbers, p: Numbers) -> float:
    """Return mean((ln(1 + y) - ln(1 + p))^2). Raises Undefined for negative numbers."""
    return float(np.mean(squared_log_errors(y, p)))


def squared_log_errors(y: Numbers, p: Numbers) -> Numbers:
    """Return (ln(1 + y) - ln(1 + p))^2 of each row. Raises Undefined for negative numbers."""
    if (y < 0).any() or (p < 0).any():
        raise Undefined("It needs labels and predictions that are not negative.")
    return np.asarray((np.log1p(y) - np.log1p(p)) ** 2)


def mean_poisson_deviance(y: Numbers, p: Numbers) -> float:
    """Return mean(2 (y ln(y / p) - y + p)). Raises Undefined for y < 0 or p <= 0."""
    return float(np.mean(poisson_deviances(y, p)))


def poisson_deviances(y: Numbers, p: Numbers) -> Numbers:
    """Return 2 (y ln(y / p) - y + p) of each row. Raises Undefined for y < 0 or p <= 0."""
    if (y < 0).any() or (p <= 0).any():
        raise Undefined("It needs labels that are not negative, and predictions greater than 0.")
    with np.errstate(all="ignore"):
        return np.asarray(2 * (np.where(y > 0, y * np.log(y / p), 0) - y + p))


def mean_gamma_deviance(y: Numbers, p: Numbers) -> float:
    """Return mean(2 (ln(p / y) + y / p - 1)). Raises Undefined for y <= 0 or p <= 0."""
    return float(np.mean(gamma_deviances(y, p)))


def gamma_deviances(y: Numbers, p: Numbers) -> Numbers:
    """Return 2 (ln(p / y) + y / p - 1) of each row. Raises Undefined for y <= 0 or p <= 0."""
    if (y <= 0).any() or (p <= 0).any():
        raise Undefined("It needs labels and predictions greater than 0.")
    return np.asarray(2 * (np.log(p / y) + y / p - 1))

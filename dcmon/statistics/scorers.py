"""The scorers by name: those of deepchecks' three tables, and those of scikit-learn that it takes too."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from dcmon.statistics import class_scores, probability_scores, regression_scores
from dcmon.statistics.class_scores import Average, Score
from dcmon.statistics.columns import Numbers, NumericColumn, Rows
from dcmon.statistics.confusion import ClassifiedRows
from dcmon.statistics.errors import InvalidParameter, Undefined
from dcmon.statistics.scorer_names import LIBRARY_PREFIX, RATES, scorer_name

ClassScorer = Callable[[ClassifiedRows], Score]
RegressionScorer = Callable[[Numbers, Numbers], float]

_AVERAGED: Mapping[str, Callable[..., Score]] = {
    "precision": class_scores.precision,
    "recall": class_scores.recall,
    "f1": class_scores.f1,
    "jaccard": class_scores.jaccard,
    "fpr": class_scores.false_positive_rate,
    "fnr": class_scores.false_negative_rate,
    "tnr": class_scores.true_negative_rate,
    **{f"{LIBRARY_PREFIX}{name}": class_scores.library_rate(name) for name in RATES},
}
_PROBABILITY: Mapping[str, ClassScorer] = {
    "roc_auc": probability_scores.roc_auc,
    "roc_auc_ovr": probability_scores.roc_auc,
    "roc_auc_ovo": probability_scores.roc_auc,
    "roc_auc_ovr_weighted": probability_scores.roc_auc_weighted,
    "roc_auc_ovo_weighted": probability_scores.roc_auc_weighted,
    "roc_auc_per_class": probability_scores.roc_auc_per_class,
    "average_precision": probability_scores.average_precision,
    "neg_brier_score": probability_scores.negative_brier_score,
    "neg_log_loss": probability_scores.negative_log_loss,
    "top_k_accuracy": probability_scores.top_two_accuracy,
}


def _averages() -> dict[str, ClassScorer]:
    scorers: dict[str, ClassScorer] = {}
    for metric, function in _AVERAGED.items():
        for average in Average:
            name = metric if average == Average.BINARY else f"{metric}_{average}"
            scorers[name] = partial(function, average=average)
    return scorers


CLASS_SCORERS: Mapping[str, ClassScorer] = {
    "accuracy": class_scores.accuracy,
    "balanced_accuracy": class_scores.balanced_accuracy,
    "matthews_corrcoef": class_scores.matthews_correlation,
    "positive_likelihood_ratio": class_scores.positive_likelihood_ratio,
    "neg_negative_likelihood_ratio": class_scores.negative_negative_likelihood_ratio,
    **{f"{metric}_samples": class_scores.matched_samples for metric in ("precision", "recall", "f1", "jaccard")},
    **_averages(),
    **_PROBABILITY,
}


def _negative(score: RegressionScorer) -> RegressionScorer:
    return lambda y, p: -score(y, p)


_ERRORS: Mapping[str, RegressionScorer] = {
    "mse": regression_scores.mean_squared_error,
    "mean_squared_error": regression_scores.mean_squared_error,
    "rmse": regression_scores.root_mean_squared_error,
    "root_mean_squared_error": regression_scores.root_mean_squared_error,
    "mae": regression_scores.mean_absolute_error,
    "mean_absolute_error": regression_scores.mean_absolute_error,
}
REGRESSION_SCORERS: Mapping[str, RegressionScorer] = {
    **_ERRORS,
    **{f"neg_{name}": _negative(score) for name, score in _ERRORS.items()},
    "r2": regression_scores.r2,
    "explained_variance": regression_scores.explained_variance,
    "max_error": _negative(regression_scores.max_error),
    "neg_mean_absolute_percentage_error": _negative(regression_scores.mean_absolute_percentage_error),
    "neg_mean_squared_log_error": _negative(regression_scores.mean_squared_log_error),
    "neg_median_absolute_error": _negative(regression_scores.median_absolute_error),
    "neg_mean_poisson_deviance": _negative(regression_scores.mean_poisson_deviance),
    "neg_mean_gamma_deviance": _negative(regression_scores.mean_gamma_deviance),
}


def reads_probabilities(name: str) -> bool:
    """Return True if a scorer reads probabilities."""
    return scorer_name(name) in _PROBABILITY


def class_score(name: str, rows: ClassifiedRows) -> Score:
    """Return the score of predicted classes or probabilities.

    Raises InvalidParameter for a scorer that the model can't have, and Undefined if the rows have no such score.
    """
    scorer = CLASS_SCORERS.get(scorer_name(name))
    if scorer is None:
        raise InvalidParameter(f"Scorer name {name} is unknown.")
    return scorer(rows)


def regression_score(name: str, rows: Rows) -> float:
    """Return the score of predicted numbers. Raises InvalidParameter and Undefined."""
    scorer = REGRESSION_SCORERS.get(scorer_name(name))
    if scorer is None:
        raise InvalidParameter(f"Scorer name {name} is unknown.")
    labels, predictions = rows.labels, rows.predictions
    if not isinstance(labels, NumericColumn) or not isinstance(predictions, NumericColumn):
        raise InvalidParameter("Scores of a regression need labels and predictions that are numbers.")
    is_used = rows.output(labels=True, predictions=True).is_used
    if not is_used.any():
        raise Undefined("No row has a label and a prediction.")
    with np.errstate(all="ignore"):
        return scorer(labels.values[is_used], predictions.values[is_used])

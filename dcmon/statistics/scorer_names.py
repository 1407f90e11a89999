"""The names of the scorers of each task type. This module loads nothing heavy, because commands import it."""

from collections.abc import Mapping

from dcmon.states import TaskType

_AVERAGES = ("macro", "micro", "weighted")
# The rates of which deepchecks 0.19 computes others than their names say: its formulas have names of their own.
RATES, LIBRARY_PREFIX = ("fpr", "fnr", "tnr"), "deepchecks_"
_CLASS_SCORERS = (
    "accuracy",
    *(f"{metric}_{average}" for metric in ("precision", "recall", "f1", "jaccard") for average in _AVERAGES),
)
_SCORERS: Mapping[str, tuple[str, ...]] = {
    TaskType.BINARY: (
        *("balanced_accuracy", "average_precision", "neg_brier_score", "precision", "recall", "f1", "fpr", "fnr"),
        *("tnr", "jaccard", "roc_auc", "neg_log_loss"),
        *_CLASS_SCORERS,
        *(f"{LIBRARY_PREFIX}{rate}" for rate in RATES),
    ),
    TaskType.MULTICLASS: (
        *("roc_auc_per_class", "roc_auc_ovr", "roc_auc_ovo", "roc_auc_ovr_weighted", "roc_auc_ovo_weighted"),
        *("precision_per_class", "recall_per_class", "f1_per_class"),
        *(f"{metric}_{average}" for metric in RATES for average in _AVERAGES),
        *("fpr_per_class", "fnr_per_class", "tnr_per_class", "jaccard_per_class"),
        *_CLASS_SCORERS,
        *(f"{LIBRARY_PREFIX}{rate}_{average}" for rate in RATES for average in (*_AVERAGES, "per_class")),
    ),
    TaskType.REGRESSION: (
        *("mean_squared_error", "mse", "root_mean_squared_error", "rmse", "mae", "mean_absolute_error"),
        *("neg_mse", "neg_rmse", "neg_mae", "r2", "explained_variance", "max_error", "neg_mean_squared_log_error"),
        *("neg_median_absolute_error", "neg_mean_poisson_deviance", "neg_mean_gamma_deviance"),
    ),
}
# The scorers of a check that names none, by the names of their metrics.
DEFAULT_SCORERS: Mapping[str, Mapping[str, str]] = {
    TaskType.BINARY: {"Accuracy": "accuracy", "Precision": "precision", "Recall": "recall"},
    TaskType.MULTICLASS: {
        "Accuracy": "accuracy",
        "Precision - Macro Average": "precision_macro",
        "Recall - Macro Average": "recall_macro",
    },
    TaskType.REGRESSION: {"RMSE": "rmse"},
}
# Scorers of scikit-learn, which deepchecks takes too.
_OTHER_CLASS_SCORERS = (
    *("f1_samples", "jaccard_samples", "matthews_corrcoef", "neg_negative_likelihood_ratio"),
    *("positive_likelihood_ratio", "precision_samples", "recall_samples", "top_k_accuracy"),
)
_OTHER_REGRESSION_SCORERS = (
    *("neg_mean_absolute_error", "neg_mean_absolute_percentage_error", "neg_mean_squared_error"),
    "neg_root_mean_squared_error",
)
# The scorers that can be estimated without labels (statistics.estimated_performance).
_ESTIMATED_PER_CLASS = tuple(f"{metric}_per_class" for metric in ("precision", "recall", "f1"))
_ESTIMATED_MEANS = tuple(f"{metric}_macro" for metric in ("precision", "recall", "f1"))
_ESTIMATED: Mapping[str, tuple[str, ...]] = {
    TaskType.BINARY: (
        *("accuracy", "precision", "recall", "f1", "roc_auc"), *_ESTIMATED_MEANS, *_ESTIMATED_PER_CLASS,
    ),
    TaskType.MULTICLASS: ("accuracy", "roc_auc", *_ESTIMATED_MEANS, *_ESTIMATED_PER_CLASS, "roc_auc_per_class"),
    TaskType.REGRESSION: (),
}  # fmt: skip


def estimated_scorers(task_type: str) -> tuple[str, ...]:
    """Return the scorers that can be estimated without labels, for models of this task type."""
    return _ESTIMATED[task_type]


def scorers(task_type: str) -> tuple[str, ...]:
    """Return the scorers of a task type, in the order of deepchecks' table."""
    return _SCORERS[task_type]


def known_scorers(task_type: str) -> frozenset[str]:
    """Return all scorers that a model of this task type can have.

    A binary model also takes the scorers of a multiclass model, and vice versa.
    """
    if task_type == TaskType.REGRESSION:
        return frozenset((*_SCORERS[TaskType.REGRESSION], *_OTHER_REGRESSION_SCORERS))
    return frozenset((*_SCORERS[TaskType.BINARY], *_SCORERS[TaskType.MULTICLASS], *_OTHER_CLASS_SCORERS))


def scorer_name(name: str) -> str:
    """Return a scorer's name as the tables write it.

    "Roc Auc" is roc_auc, and "Sensitivity" is recall.
    """
    return name.lower().replace("sensitivity", "recall").replace("specificity", "tnr").replace(" ", "_")

"""Test cases for every check of the catalogue: each parameter, aggregation, scorer and feature selection."""

from collections.abc import Iterator

from dcmon.checks.catalogue import KINDS, CheckKind, scorers
from dcmon.checks.kinds import FEATURE_AGGREGATIONS
from tests.helpers.deepchecks_library import Case

PARAMETERS = {
    "FeatureDrift": [
        {"min_samples": 100},
        {"numerical_drift_method": "EMD"},
        {"categorical_drift_method": "PSI", "max_num_categories_for_drift": 3},
        {"ignore_na": False},
        {"columns": ["amount", "city"], "aggregation_method": "max"},
        {"ignore_columns": ["amount"], "aggregation_method": "mean"},
    ],
    "PredictionDrift": [{"drift_mode": "prediction"}, {"numerical_drift_method": "EMD"}, {"min_samples": 100}],
    "LabelDrift": [{"ignore_na": True, "min_samples": 100}, {"numerical_drift_method": "EMD"}],
    "NewLabelTrainTest": [],
    "NewCategoryTrainTest": [],
    "MixedNulls": [{"null_string_list": ["free"]}, {"check_nan": False}],
    "PercentOfNulls": [],
    "StringMismatch": [],
    "SingleDatasetPerformance": [],
}


def cases_of_kind(kind: CheckKind, task_type: str) -> Iterator[Case]:
    """Yield the cases of a check. Raises KeyError for a check without parameters in PARAMETERS."""
    name, parameters = kind.class_name, PARAMETERS[kind.implementation]
    if kind.needs_classes and task_type == "regression":
        return
    yield Case(name)
    if kind.is_alias:
        return
    yield from (Case(name, params) for params in parameters)
    if "aggregation method" in kind.choices:
        # In the library itself, StringMismatch with weights fails for a feature that is not text.
        weighted = kind.implementation != "StringMismatch"
        for method in FEATURE_AGGREGATIONS:
            if weighted or "weighted" not in method:
                yield Case(name, {}, {"aggregation method": [method]})
        feature = "city" if kind.column_types else "amount"
        yield Case(name, {}, {"feature": [feature], "aggregation method": ["max"]})
        yield Case(name, {}, {"feature": [feature, "plan"], "aggregation method": ["none"]})
    if "scorer" in kind.choices:
        yield from cases_of_scorers(name, task_type)


def cases_of_scorers(name: str, task_type: str) -> Iterator[Case]:
    """Yield each scorer alone, in both notations, some together, and some for selected classes."""
    names = scorers(task_type)
    yield from (Case(name, {"scorers": [scorer]}) for scorer in names)
    yield Case(name, {}, {"scorer": [scorer.replace("_", " ").title() for scorer in names[:3]]})
    if task_type == "multiclass":
        yield Case(name, {}, {"scorer": ["F1 Per Class", "accuracy"], "class": ["b"]})
        yield Case(name, {}, {"scorer": ["recall_per_class"]}, ["a", "c"])


def cases_of_task(task_type: str) -> list[Case]:
    """Return all cases of a task type."""
    return [case for kind in KINDS for case in cases_of_kind(kind, task_type)]

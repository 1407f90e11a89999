"""Cases of every check of the catalogue: with each parameter, aggregation, scorer and choice that there is."""

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


def of_kind(kind: CheckKind, task_type: str) -> Iterator[Case]:
    """The cases of a check. Raises KeyError for one that nobody thought of."""
    name, parameters = kind.class_name, PARAMETERS[kind.implementation]
    if kind.needs_classes and task_type == "regression":
        return
    yield Case(name)
    if kind.is_alias:
        return
    yield from (Case(name, params) for params in parameters)
    if "aggregation method" in kind.choices:
        # StringMismatch with weights fails in the library itself when a feature is not a string.
        weighted = kind.implementation != "StringMismatch"
        for method in FEATURE_AGGREGATIONS:
            if weighted or "weighted" not in method:
                yield Case(name, {}, {"aggregation method": [method]})
        feature = "city" if kind.column_types else "amount"
        yield Case(name, {}, {"feature": [feature], "aggregation method": ["max"]})
        yield Case(name, {}, {"feature": [feature, "plan"], "aggregation method": ["none"]})
    if "scorer" in kind.choices:
        yield from of_scorers(name, task_type)


def of_scorers(name: str, task_type: str) -> Iterator[Case]:
    """Each scorer of the library's tables alone, as written in either way, some together, and some classes only."""
    names = scorers(task_type)
    yield from (Case(name, {"scorers": [scorer]}) for scorer in names)
    yield Case(name, {}, {"scorer": [scorer.replace("_", " ").title() for scorer in names[:3]]})
    if task_type == "multiclass":
        yield Case(name, {}, {"scorer": ["F1 Per Class", "accuracy"], "class": ["b"]})
        yield Case(name, {}, {"scorer": ["recall_per_class"]}, ["a", "c"])


def of_task(task_type: str) -> list[Case]:
    """All cases of a task type."""
    return [case for kind in KINDS for case in of_kind(kind, task_type)]

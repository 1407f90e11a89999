"""The parameters that checks take, with their defaults, which are those of deepchecks.

Unknown names are refused, because deepchecks ignores them without a message.
"""

from collections.abc import Mapping
from typing import Any

from dcmon.checks.kinds import CheckKind
from dcmon.errors import InvalidInput
from dcmon.nearest import meant

# The library draws a sample of its own with these; dcmon's samples are drawn when rows are read.
SET_BY_DCMON = ("n_samples", "random_state")
# The library shows only so many in its pictures: a monitor has no pictures.
_SHOWN: Mapping[str, tuple[str, ...]] = {
    "FeatureDrift": ("n_top_columns",),
    "MixedNulls": ("n_top_columns",),
    "StringMismatch": ("n_top_columns",),
}
_DRIFT: Mapping[str, Any] = {
    "margin_quantile_filter": 0.025,
    "max_num_categories_for_drift": None,
    "min_category_size_ratio": 0.01,
    "max_num_categories_for_display": 10,
    "show_categories_by": "largest_difference",
    "numerical_drift_method": "KS",
    "categorical_drift_method": "cramers_v",
}
_FEATURES: Mapping[str, Any] = {"columns": None, "ignore_columns": None}
_MIN_SAMPLES: Mapping[str, Any] = {"min_samples": 10}
# The probability that noise changes any feature, in one window (statistics.changes.ERROR_RATE, which loads numpy).
_ERROR_RATE: Mapping[str, Any] = {"error_rate": 0.001}
# The defaults by the name of the class that runs, which is CheckKind.implementation.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "SingleDatasetPerformance": {"scorers": None},
    "FeatureDrift": {
        **_FEATURES,
        "sort_feature_by": "drift + importance",
        **_DRIFT,
        "ignore_na": True,
        "aggregation_method": "l3_weighted",
        **_MIN_SAMPLES,
    },
    "PredictionDrift": {
        "drift_mode": "auto",
        **_DRIFT,
        "balance_classes": False,
        "ignore_na": True,
        "aggregation_method": "max",
        "max_classes_to_display": 3,
        **_MIN_SAMPLES,
    },
    "LabelDrift": {**_DRIFT, "balance_classes": False, "ignore_na": False, **_MIN_SAMPLES},
    "NewLabelTrainTest": {},
    "NewCategoryTrainTest": {
        **_FEATURES,
        "max_features_to_show": 5,
        "max_new_categories_to_show": 5,
        "aggregation_method": "max",
    },
    "MixedNulls": {"null_string_list": None, "check_nan": True, **_FEATURES, "aggregation_method": "max"},
    "PercentOfNulls": {**_FEATURES, "max_features_to_show": 5, "aggregation_method": "max"},
    "StringMismatch": {**_FEATURES, "aggregation_method": "max"},
    **{name: {**_FEATURES, **_ERROR_RATE} for name in ("DriftBeyondNoise", "NullRise", "RepeatedValueRise")},
    "NewValueRise": {**_FEATURES, **_ERROR_RATE},
    "PredictionDriftBeyondNoise": _ERROR_RATE,
    # Every window is compared with the same reference, whose own error lasts all year.
    "ScoreFall": {"error_rate": 0.0005},
    "EstimatedPerformance": {"scorers": None, "min_labels": 30},
}


def defaults(kind: CheckKind) -> Mapping[str, Any]:
    """Return the parameters of a check of the catalogue with their defaults."""
    return {} if kind.is_flow else DEFAULTS[kind.implementation]


def known(kind: CheckKind) -> frozenset[str]:
    """Return the names of the parameters that a check of the catalogue has."""
    if kind.is_flow:
        return frozenset()
    name = kind.implementation
    return frozenset((*DEFAULTS[name], *_SHOWN.get(name, ()), *SET_BY_DCMON))


def effective(kind: CheckKind, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters that a check runs with: those that are stored, without the "args" of an alias.

    The classes of aliases take any arguments, so deepchecks writes `{"args": []}` into their config for any
    arguments that they were created with.
    """
    return {name: value for name, value in params.items() if not _is_empty_args(kind, name, value)}


def _is_empty_args(kind: CheckKind, name: str, value: Any) -> bool:
    return kind.is_alias and name == "args" and value in ([], (), None)


def require(kind: CheckKind, params: Mapping[str, Any]) -> None:
    """Raise InvalidInput for a parameter that the check does not have.

    Any parameter is accepted for a user's check, whose parameters are not known here.
    """
    if kind.is_own:
        return
    for name in effective(kind, params):
        if name not in known(kind):
            raise InvalidInput(
                f"{kind.class_name} has no parameter {name!r}.{meant(name, known(kind))}"
                f' "dcmon check show {kind.class_name}" lists all.'
            )

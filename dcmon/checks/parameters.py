"""The names of the parameters that checks take.

Unknown names are refused, because deepchecks ignores them without a message.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from dcmon.checks.kinds import CheckKind
from dcmon.errors import InvalidInput

_ALL = ("n_samples", "random_state")
_FEATURES = ("columns", "ignore_columns", "aggregation_method")
_DRIFT = (
    "margin_quantile_filter", "max_num_categories_for_drift", "min_category_size_ratio",
    "max_num_categories_for_display", "show_categories_by", "numerical_drift_method", "categorical_drift_method",
    "ignore_na", "min_samples",
)  # fmt: skip
# By the name of the class that runs, which is CheckKind.implementation.
NAMES: Mapping[str, tuple[str, ...]] = {
    "SingleDatasetPerformance": ("scorers",),
    "FeatureDrift": (*_FEATURES, *_DRIFT, "n_top_columns", "sort_feature_by"),
    "PredictionDrift": (*_DRIFT, "drift_mode", "balance_classes", "aggregation_method", "max_classes_to_display"),
    "LabelDrift": (*_DRIFT, "balance_classes"),
    "NewLabelTrainTest": (),
    "NewCategoryTrainTest": (*_FEATURES, "max_features_to_show", "max_new_categories_to_show"),
    "MixedNulls": (*_FEATURES, "null_string_list", "check_nan", "n_top_columns"),
    "PercentOfNulls": (*_FEATURES, "max_features_to_show"),
    "StringMismatch": (*_FEATURES, "n_top_columns"),
}


def known(kind: CheckKind) -> frozenset[str]:
    """Return the names of the parameters that a check of the catalogue has."""
    return frozenset() if kind.is_flow else frozenset((*NAMES[kind.implementation], *_ALL))


def require(kind: CheckKind, names: Iterable[str]) -> None:
    """Raise InvalidInput for a parameter that the check does not have.

    Any parameter is accepted for a user's check, whose parameters are not known here.
    """
    if kind.is_own:
        return
    for name in names:
        if name not in known(kind):
            matches = get_close_matches(name, known(kind), 1)
            suggestion = f"Do you mean {matches[0]!r}? " if matches else ""
            raise InvalidInput(
                f"{kind.class_name} has no parameter {name!r}."
                f' {suggestion}"dcmon check show {kind.class_name}" lists all.'
            )

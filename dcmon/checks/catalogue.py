"""The table of the checks that a monitor can run.

A module that a client names is only looked up in this table, and is never imported.
"""

from collections.abc import Mapping
from dataclasses import replace

from dcmon.checks import plugins
from dcmon.checks.kinds import (
    CATEGORICAL_TYPES,
    DATA_FLOW_CLASS,
    DCMON,
    FEATURE_AGGREGATIONS,
    NUMERIC_TYPES,
    PACKAGE,
    PERFORMANCE,
    REGISTRY,
    STRING_TYPES,
    CheckKind,
    Choice,
)
from dcmon.errors import CheckNotFound, InvalidInput
from dcmon.nearest import meant
from dcmon.statistics.scorer_names import estimated_scorers, known_scorers, scorer_name, scorers

__all__ = [
    "CATEGORICAL_TYPES",
    "CHANGE_KINDS",
    "DATA_FLOW",
    "DCMON_KINDS",
    "ESTIMATED_PERFORMANCE",
    "FEATURE_AGGREGATIONS",
    "KINDS",
    "LIBRARY_VERSION",
    "NOT_REDUCIBLE",
    "NUMERIC_TYPES",
    "CheckKind",
    "by_class",
    "class_names",
    "docs_link",
    "estimated_scorers",
    "find",
    "for_config",
    "known_scorers",
    "reads_importance",
    "scorer_name",
    "scorers",
    "uses_late_labels",
]  # fmt: skip

# The version of deepchecks whose definitions dcmon.statistics has; tests compare their values.
LIBRARY_VERSION = "0.19.1"
_INTEGRITY, _VALIDATION, _EVALUATION = ("data_integrity", "train_test_validation", "model_evaluation")
_BY_FEATURE: tuple[Choice, ...] = ("feature", "aggregation method", "max features")


def _with_alias(kind: CheckKind, class_name: str, module: str) -> tuple[CheckKind, CheckKind]:
    """Return a check and its alias: a second class name in deepchecks."""
    return kind, replace(kind, class_name=class_name, module=module)


def _kind(group: str, class_name: str, module: str, *, labels: bool = False, reference: bool = False) -> CheckKind:
    return CheckKind(class_name, class_name, group, module, needs_labels=labels, needs_reference=reference)


KINDS: tuple[CheckKind, ...] = (
    replace(
        _kind(_EVALUATION, PERFORMANCE, "single_dataset_performance", labels=True),
        reads_predictions=True,
        choices=("scorer", "class"),
    ),
    *_with_alias(
        replace(
            _kind(_VALIDATION, "FeatureDrift", "feature_drift", reference=True),
            choices=_BY_FEATURE,
            column_types=NUMERIC_TYPES | CATEGORICAL_TYPES,
        ),
        "TrainTestFeatureDrift",
        "train_test_feature_drift",
    ),
    *_with_alias(
        replace(_kind(_EVALUATION, "PredictionDrift", "prediction_drift", reference=True), reads_predictions=True),
        "TrainTestPredictionDrift",
        "train_test_prediction_drift",
    ),
    *_with_alias(
        _kind(_VALIDATION, "LabelDrift", "label_drift", labels=True, reference=True),
        "TrainTestLabelDrift",
        "train_test_label_drift",
    ),
    replace(
        _kind(_VALIDATION, "NewLabelTrainTest", "new_label_train_test", labels=True, reference=True),
        needs_classes=True,
    ),
    *_with_alias(
        replace(
            _kind(_VALIDATION, "NewCategoryTrainTest", "new_category_train_test", reference=True),
            choices=_BY_FEATURE,
            column_types=CATEGORICAL_TYPES,
        ),
        "CategoryMismatchTrainTest",
        "category_mismatch_train_test",
    ),
    replace(_kind(_INTEGRITY, "MixedNulls", "mixed_nulls"), choices=_BY_FEATURE),
    replace(_kind(_INTEGRITY, "PercentOfNulls", "percent_of_nulls"), choices=_BY_FEATURE),
    replace(_kind(_INTEGRITY, "StringMismatch", "string_mismatch"), choices=_BY_FEATURE, column_types=STRING_TYPES),
)
# The check of dcmon itself, which counts arriving rows (monitoring.flow_metrics).
DATA_FLOW = CheckKind(DATA_FLOW_CLASS, DATA_FLOW_CLASS, DCMON, "flow", False, False, choices=("metric",))


def _change(class_name: str, *, labels: bool = False, types: frozenset[str] | None = None) -> CheckKind:
    """Return a check of dcmon's own that compares the rows of a window with the reference."""
    return CheckKind(class_name, class_name, DCMON, "changes", labels, True, column_types=types)


_VALUE_TYPES = NUMERIC_TYPES | CATEGORICAL_TYPES
# The checks of dcmon itself that measure changes against noise (checks.change_checks).
CHANGE_KINDS: tuple[CheckKind, ...] = (
    replace(_change("DriftBeyondNoise", types=_VALUE_TYPES), choices=("feature",)),
    replace(_change("NullRise"), choices=("feature",)),
    replace(_change("RepeatedValueRise", types=_VALUE_TYPES), choices=("feature",)),
    replace(_change("NewValueRise", types=_VALUE_TYPES), choices=("feature",)),
    replace(_change("PredictionDriftBeyondNoise"), reads_predictions=True),
    replace(_change("ScoreFall", labels=True), reads_predictions=True),
)
# The check of dcmon itself that estimates scores before labels come (checks.estimates).
ESTIMATED_PERFORMANCE = replace(
    CheckKind("EstimatedPerformance", "EstimatedPerformance", DCMON, "estimates", False, True),
    reads_predictions=True,
    choices=("scorer", "class"),
    needs_classes=True,
    uses_late_labels=True,
)
DCMON_KINDS: tuple[CheckKind, ...] = (DATA_FLOW, *CHANGE_KINDS, ESTIMATED_PERFORMANCE)
_BY_CLASS: Mapping[str, CheckKind] = {kind.class_name: kind for kind in KINDS}
_DCMON_BY_CLASS: Mapping[str, CheckKind] = {kind.class_name: kind for kind in DCMON_KINDS}

# Checks of deepchecks that return only tables and plots.
# fmt: off
NOT_REDUCIBLE = frozenset({
    "BoostingOverfit", "CalibrationScore", "ClassImbalance", "ColumnsInfo", "ConflictingLabels",
    "ConfusionMatrixReport", "DataDuplicates", "DatasetsSizeComparison", "DateTrainTestLeakageDuplicates",
    "DateTrainTestLeakageOverlap", "FeatureFeatureCorrelation", "FeatureLabelCorrelation",
    "FeatureLabelCorrelationChange", "IdentifierLabelCorrelation", "IndexTrainTestLeakage", "IsSingleValue",
    "MixedDataTypes", "ModelInferenceTime", "ModelInfo", "MultiModelPerformanceReport", "MultivariateDrift",
    "OutlierSampleDetection", "RegressionErrorDistribution", "RegressionSystematicError", "RocReport",
    "SegmentPerformance", "SimpleModelComparison", "SpecialCharacters", "StringLengthOutOfBounds",
    "StringMismatchComparison", "TrainTestPerformance", "TrainTestSamplesMix", "UnusedFeatures",
    "WeakSegmentsPerformance", "WholeDatasetDrift",
})
# fmt: on


def class_names() -> list[str]:
    """Return the sorted names of all checks: of deepchecks and dcmon, then of users' packages."""
    return [
        *sorted([*_BY_CLASS, *_DCMON_BY_CLASS]),
        *(name for name in sorted(plugins.registered()) if name not in _BY_CLASS),
    ]


def by_class(class_name: str) -> CheckKind | None:
    """Return the check of this class name or registered name; None if it is unknown.

    Raises InvalidInput for a user's check that can't be loaded.
    """
    if class_name in _DCMON_BY_CLASS:
        return _DCMON_BY_CLASS[class_name]
    return _BY_CLASS.get(class_name) or plugins.find_kind(class_name)


def find(name: str) -> CheckKind:
    """Return the check of this name. Raises CheckNotFound, which suggests the most similar name."""
    kind = by_class(name)
    if kind is not None:
        return kind
    if name in NOT_REDUCIBLE:
        raise _no_number(name)
    raise CheckNotFound(name=name, meant=meant(name.replace(" ", ""), class_names()))


def for_config(module_name: str, class_name: str) -> CheckKind:
    """Return the check that a config names.

    A class that is not a check of deepchecks is looked up among the checks that installed packages register; no other
    module is ever imported. Raises InvalidInput for an unknown class, with the names of the known classes.
    """
    if module_name == DCMON and class_name in _DCMON_BY_CLASS:
        return _DCMON_BY_CLASS[class_name]
    kind = _BY_CLASS.get(class_name)
    if kind is not None and module_name in kind.module_names:
        return kind
    if (registered := plugins.registered_as(module_name, class_name)) and (own := plugins.find_kind(registered)):
        return own
    if module_name == REGISTRY:
        raise InvalidInput(
            f"The package that registers the check {class_name!r} is not installed here. Install it on each machine"
            " where dcmon runs, above all where windows are evaluated."
        )
    if (module_name == PACKAGE or module_name.startswith(PACKAGE + ".")) and class_name in NOT_REDUCIBLE:
        raise _no_number(class_name)
    known = ", ".join(sorted(_BY_CLASS))
    raise InvalidInput(
        f"There is no check {class_name!r} in {module_name!r}. Use one of: {known}, of {PACKAGE}; or a check of your"
        f" own that an installed package registers in {REGISTRY!r}."
    )


def uses_late_labels(module_name: str, class_name: str) -> bool:
    """Return True if the check of a config uses labels without waiting for them."""
    kind = _DCMON_BY_CLASS.get(class_name)
    return module_name == DCMON and kind is not None and kind.uses_late_labels


def reads_importance(module_name: str, class_name: str) -> bool:
    """Return True if the values of a check may depend on the importance of features: if it aggregates features.

    A check that is not installed here may.
    """
    try:
        return "aggregation method" in for_config(module_name, class_name).choices
    except InvalidInput:
        return True


def _no_number(class_name: str) -> InvalidInput:
    known = ", ".join(sorted(_BY_CLASS))
    return InvalidInput(
        f"The check {class_name} returns a report, not a number, so a monitor can't run it. Use one of: {known}."
    )


def docs_link(module_name: str, class_name: str) -> str | None:
    """Return the link to deepchecks' description of a check; None for other checks."""
    kind = _BY_CLASS.get(class_name)
    return kind.docs_link if kind is not None and module_name in kind.module_names else None

"""Which checks of deepchecks a monitor can watch, as a table: no client ever names a module that gets imported."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version as installed
from typing import Literal

from dcmon.errors import InvalidInput

PACKAGE = "deepchecks.tabular.checks"
FEATURE_AGGREGATIONS = ("mean", "max", "weighted", "l3_weighted", "l5_weighted")
NUMBERS = frozenset({"numeric", "integer", "bigint"})
CATEGORIES = frozenset({"categorical", "boolean"})
STRINGS = frozenset({"categorical", "text"})

Choice = Literal["scorer", "class", "feature", "aggregation method"]


@dataclass(frozen=True)
class CheckKind:
    """One check of deepchecks that reduces to numbers.

    `implementation` is the class that runs (an alias runs what it is an alias of); `choices` are the keys that
    `check_conf` may carry; `column_types` those that the check reads, None when it reads every column or none.
    """

    class_name: str
    implementation: str
    group: str
    module: str
    needs_labels: bool
    needs_reference: bool
    reads_predictions: bool = False
    choices: tuple[Choice, ...] = ()
    column_types: frozenset[str] | None = None

    @property
    def module_name(self) -> str:
        """The module as deepchecks writes it into a check's config."""
        return f"{PACKAGE}.{self.group}.{self.module}"

    @property
    def module_names(self) -> frozenset[str]:
        """All modules the class can be named by."""
        return frozenset({self.module_name, f"{PACKAGE}.{self.group}", PACKAGE})

    @property
    def docs_link(self) -> str:
        return f"https://docs.deepchecks.com/stable/tabular/auto_checks/{self.group}/plot_{self.module}.html"

    @property
    def reads_features(self) -> bool:
        return "feature" in self.choices

    @property
    def aggregations(self) -> tuple[str, ...]:
        return FEATURE_AGGREGATIONS if "aggregation method" in self.choices else ()


_INTEGRITY, _VALIDATION, _EVALUATION = ("data_integrity", "train_test_validation", "model_evaluation")
_BY_FEATURE: tuple[Choice, ...] = ("feature", "aggregation method")


def _kinds(
    group: str,
    classes: Mapping[str, str],
    *,
    labels: bool,
    reference: bool,
    predictions: bool = False,
    choices: tuple[Choice, ...] = (),
    column_types: frozenset[str] | None = None,
) -> tuple[CheckKind, ...]:
    """A check and its aliases: `classes` maps class names to module names, the first is the one that runs."""
    implementation = next(iter(classes))
    return tuple(
        CheckKind(name, implementation, group, module, labels, reference, predictions, choices, column_types)
        for name, module in classes.items()
    )


KINDS: tuple[CheckKind, ...] = (
    *_kinds(
        _EVALUATION,
        {"SingleDatasetPerformance": "single_dataset_performance"},
        labels=True,
        reference=False,
        predictions=True,
        choices=("scorer", "class"),
    ),
    *_kinds(
        _VALIDATION,
        {"FeatureDrift": "feature_drift", "TrainTestFeatureDrift": "train_test_feature_drift"},
        labels=False,
        reference=True,
        choices=_BY_FEATURE,
        column_types=NUMBERS | CATEGORIES,
    ),
    *_kinds(
        _EVALUATION,
        {"PredictionDrift": "prediction_drift", "TrainTestPredictionDrift": "train_test_prediction_drift"},
        labels=False,
        reference=True,
        predictions=True,
    ),
    *_kinds(
        _VALIDATION,
        {"LabelDrift": "label_drift", "TrainTestLabelDrift": "train_test_label_drift"},
        labels=True,
        reference=True,
    ),
    *_kinds(_VALIDATION, {"NewLabelTrainTest": "new_label_train_test"}, labels=True, reference=True),
    *_kinds(
        _VALIDATION,
        {
            "NewCategoryTrainTest": "new_category_train_test",
            "CategoryMismatchTrainTest": "category_mismatch_train_test",
        },
        labels=False,
        reference=True,
        choices=_BY_FEATURE,
        column_types=CATEGORIES,
    ),
    *_kinds(_INTEGRITY, {"MixedNulls": "mixed_nulls"}, labels=False, reference=False, choices=_BY_FEATURE),
    *_kinds(_INTEGRITY, {"PercentOfNulls": "percent_of_nulls"}, labels=False, reference=False, choices=_BY_FEATURE),
    *_kinds(
        _INTEGRITY,
        {"StringMismatch": "string_mismatch"},
        labels=False,
        reference=False,
        choices=_BY_FEATURE,
        column_types=STRINGS,
    ),
)
_BY_CLASS: Mapping[str, CheckKind] = {kind.class_name: kind for kind in KINDS}

# Checks of deepchecks that give tables and plots only.
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


@cache
def library_version() -> str:
    """The version of deepchecks that is installed; the library is not loaded for it."""
    return installed("deepchecks")


def class_names() -> list[str]:
    """The classes that there are, sorted."""
    return sorted(_BY_CLASS)


def by_class(class_name: str) -> CheckKind | None:
    """The kind of check of a class; None when there is none."""
    return _BY_CLASS.get(class_name)


def entry(module_name: str, class_name: str) -> CheckKind:
    """The kind of check that a config names.

    Raises InvalidInput for a class that is not in the catalogue, naming those that are.
    """
    kind = _BY_CLASS.get(class_name)
    if kind is not None and module_name in kind.module_names:
        return kind
    known = ", ".join(sorted(_BY_CLASS))
    inside = module_name == PACKAGE or module_name.startswith(PACKAGE + ".")
    if inside and class_name in NOT_REDUCIBLE:
        raise InvalidInput(
            f"The check {class_name} gives a report, not a number, so no monitor can watch it. Use one of: {known}."
        )
    raise InvalidInput(f"There is no check {class_name!r} in {module_name!r}. Use one of: {known}, of {PACKAGE}.")


_ON_CLASSES = (
    "accuracy",
    *(
        f"{metric}_{how}"
        for metric in ("precision", "recall", "f1", "jaccard")
        for how in ("macro", "micro", "weighted")
    ),
)
_SCORERS: Mapping[str, tuple[str, ...]] = {
    "binary": (
        *("balanced_accuracy", "average_precision", "neg_brier_score", "precision", "recall", "f1", "fpr", "fnr"),
        *("tnr", "jaccard", "roc_auc", "neg_log_loss"),
        *_ON_CLASSES,
    ),
    "multiclass": (
        *("roc_auc_per_class", "roc_auc_ovr", "roc_auc_ovo", "roc_auc_ovr_weighted", "roc_auc_ovo_weighted"),
        *("precision_per_class", "recall_per_class", "f1_per_class"),
        *(f"{metric}_{how}" for metric in ("fpr", "fnr", "tnr") for how in ("macro", "micro", "weighted")),
        *("fpr_per_class", "fnr_per_class", "tnr_per_class", "jaccard_per_class"),
        *_ON_CLASSES,
    ),
    "regression": (
        *("mean_squared_error", "mse", "root_mean_squared_error", "rmse", "mae", "mean_absolute_error"),
        *("neg_mse", "neg_rmse", "neg_mae", "r2", "explained_variance", "max_error", "neg_mean_squared_log_error"),
        *("neg_median_absolute_error", "neg_mean_poisson_deviance", "neg_mean_gamma_deviance"),
    ),
}


def scorers(task_type: str) -> tuple[str, ...]:
    """The scorers of deepchecks' own table for "binary", "multiclass" or "regression", in its order."""
    return _SCORERS[task_type]

"""States and reasons of a check when rows, reference or parameters do not fit."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dcmon.checks import no_value_reasons
from dcmon.checks.catalogue import CheckKind, for_config
from dcmon.checks.check_run import CheckSetup
from dcmon.checks.dataset_schema import CheckValue, DatasetSchema, chosen_features
from dcmon.checks.defaults import for_task
from dcmon.checks.runner import run
from dcmon.errors import InvalidInput
from tests.helpers.check_rows import COLUMNS, IMPORTANCE, make_layout, make_rows
from tests.helpers.packed_rows import decoded


def kind_of(class_name: str) -> CheckKind:
    return for_config("deepchecks.tabular.checks", class_name)


def value(
    class_name: str,
    current: pd.DataFrame,
    reference: pd.DataFrame | None = None,
    *,
    layout: DatasetSchema | None = None,
    params: dict[str, Any] | None = None,
    **conf: Any,
) -> CheckValue:
    layout = layout or make_layout("binary", IMPORTANCE)
    kwargs = {"check_conf": {key.replace("_", " "): chosen for key, chosen in conf.items() if key != "res_conf"}}
    both = [None if rows is None else decoded(rows, layout) for rows in (current, reference)]
    assert both[0] is not None
    kwargs["res_conf"] = conf.get("res_conf")
    return run(CheckSetup(kind_of(class_name), params or {}, kwargs, layout), both[0], both[1])


def test_too_few_rows_are_insufficient() -> None:
    few = make_rows("binary", 50, 5)
    result = value("FeatureDrift", few, make_rows("binary", 500, 1), params={"min_samples": 100})
    assert (result.state, result.metrics) == ("INSUFFICIENT", {})
    assert result.reason
    assert result.reason == (
        "Too few rows: 50 in the window and 500 in the reference, and at least 100 with a value are needed on each"
        " side. Widen the monitor's window, or lower the check's min_samples."
    )


def test_feature_with_too_few_values_is_named() -> None:
    current = make_rows("binary", 300, 5)
    current.loc[20:, "amount"] = None
    result = value("FeatureDrift", current, make_rows("binary", 500, 1), params={"min_samples": 100})
    assert result.state == "OK"
    assert result.reason == "too few values in amount"
    assert "amount" not in result.entries


@pytest.mark.parametrize("class_name", ["FeatureDrift", "PredictionDrift", "LabelDrift", "NewCategoryTrainTest"])
def test_missing_reference_is_no_data(class_name: str) -> None:
    result = value(class_name, make_rows("binary", 300, 5))
    assert result.state == "NO_DATA"
    assert result.reason
    assert "reference" in result.reason


def test_empty_window_is_no_data() -> None:
    result = value("MixedNulls", make_rows("binary", 300, 5).head(0))
    assert (result.state, result.reason) == ("NO_DATA", no_value_reasons.NO_ROWS)


@pytest.mark.parametrize(
    ("column", "class_name", "missing_name"),
    [("_dc_label", "LabelDrift", "label"), ("_dc_prediction", "SingleDatasetPerformance", "prediction")],
)
@pytest.mark.parametrize("where", ["window", "reference"])
def test_rows_without_labels_or_predictions_are_no_data(
    column: str, class_name: str, missing_name: str, where: str
) -> None:
    current, reference = make_rows("binary", 300, 5), make_rows("binary", 300, 1)
    bare = current if where == "window" else reference
    bare[[column, "_dc_prediction_probabilities"]] = None
    result = value(class_name, current, reference)
    if where == "reference" and class_name == "SingleDatasetPerformance":
        assert result.state == "OK"
    else:
        assert result.state == "NO_DATA"
        assert result.reason
        assert result.reason.startswith(f"No row of the {where} has a {missing_name}. ")


def test_rows_without_a_label_are_ignored_by_label_checks() -> None:
    current = make_rows("binary", 300, 5)
    half = current.copy()
    half.loc[150:, "_dc_label"] = None
    assert value("SingleDatasetPerformance", half) == value("SingleDatasetPerformance", current.head(150))


def test_rows_without_probabilities_are_skipped_where_needed() -> None:
    """They are left out only where the check reads probabilities."""
    current, reference = make_rows("binary", 300, 5), make_rows("binary", 500, 1)
    holes = current.copy()
    holes.loc[200:, "_dc_prediction_probabilities"] = None
    drift = value("PredictionDrift", holes, reference)
    assert drift.metrics == value("PredictionDrift", current.head(200), reference).metrics
    assert drift.reason == "left out 100 rows of the window without a prediction and probabilities"
    accuracy = value("SingleDatasetPerformance", holes, scorer=["Accuracy"])
    assert accuracy == value("SingleDatasetPerformance", current, scorer=["Accuracy"])
    auc = value("SingleDatasetPerformance", holes, scorer=["Roc Auc"])
    assert auc.metrics == value("SingleDatasetPerformance", current.head(200), scorer=["Roc Auc"]).metrics


def test_probabilities_on_one_side_only_compare_classes() -> None:
    current, reference = make_rows("binary", 300, 5), make_rows("binary", 500, 1)
    bare = reference.assign(_dc_prediction_probabilities=None)
    result = value("PredictionDrift", current, bare)
    assert result.metrics == value("PredictionDrift", current, reference, params={"drift_mode": "prediction"}).metrics
    assert result.reason == "compared classes, because only one side has probabilities"


@pytest.mark.parametrize(
    ("vector", "remark"),
    [
        ([20.0, 80.0], "2 rows of the window have probabilities below 0 or above 1 (percent?)"),
        ([-0.2, 1.2], "2 rows of the window have probabilities below 0 or above 1 (percent?)"),
        ([0.5, 0.6], "2 rows of the window have probabilities that do not add up to 1"),
        ([0.333, 0.666], None),
    ],
)
def test_probabilities_that_are_none_are_counted(vector: list[float], remark: str | None) -> None:
    current, reference = make_rows("binary", 300, 5), make_rows("binary", 500, 1)
    for row in (3, 7):
        current.at[row, "_dc_prediction_probabilities"] = vector
    assert value("PredictionDrift", current, reference).reason == remark
    assert value("SingleDatasetPerformance", current, scorer=["roc_auc"]).reason == remark
    assert value("SingleDatasetPerformance", current, scorer=["Accuracy"]).reason is None


def test_probability_scorer_without_probabilities_is_no_data() -> None:
    current = make_rows("binary", 300, 5).assign(_dc_prediction_probabilities=None)
    assert value("SingleDatasetPerformance", current, scorer=["roc_auc"]).state == "NO_DATA"


def test_rows_without_prediction_are_left_out_of_performance() -> None:
    current = make_rows("regression", 300, 5)
    holes = current.copy()
    holes.loc[250:, "_dc_prediction"] = np.nan
    layout = make_layout("regression")
    result = value("SingleDatasetPerformance", holes, layout=layout, scorer=["RMSE"])
    assert (
        result.metrics == value("SingleDatasetPerformance", current.head(250), layout=layout, scorer=["RMSE"]).metrics
    )
    assert result.reason == "left out 50 rows of the window without a prediction"


def test_chosen_feature_is_the_only_one_evaluated() -> None:
    current, reference = make_rows("binary", 300, 5), make_rows("binary", 500, 1)
    result = value("FeatureDrift", current, reference, feature=["amount"], aggregation_method=["max"])
    assert list(result.entries) == ["amount"]
    assert result.metrics == {"Max Drift Score": result.entries["amount"]}


def test_limited_number_of_features_is_said() -> None:
    current = make_rows("binary", 300, 5)
    result = value("PercentOfNulls", current, max_features=[2])
    assert (set(result.entries), result.reason) == (
        {"age", "amount"}, "read 2 of 9 features, because the monitor reads no more (--max-features)"
    )  # fmt: skip


def test_mean_under_the_name_of_a_weighted_number_is_said() -> None:
    current, reference = make_rows("binary", 300, 5), make_rows("binary", 500, 1)
    result = value("FeatureDrift", current, reference, layout=make_layout("binary"))
    assert result.metrics["L3 Weighted Drift Score"] == pytest.approx(np.mean(list(result.entries.values())))
    assert result.reason == (
        "L3 Weighted Drift Score is the plain mean of 6 features, because the version has no importance of each feature"
    )
    assert value("FeatureDrift", current, reference).reason is None


def test_aggregation_none_gives_a_metric_per_feature() -> None:
    result = value("PercentOfNulls", make_rows("binary", 300, 5), aggregation_method=["none"])
    assert set(result.metrics) == set(COLUMNS)


def test_entries_name_the_driving_feature_first() -> None:
    """The first entry is the feature with the largest effect on the value."""
    current, reference = make_rows("binary", 300, 5), make_rows("binary", 500, 1)
    current["amount"] = current["amount"].astype(float) + 5
    result = value("FeatureDrift", current, reference, aggregation_method=["max"])
    assert next(iter(result.entries)) == "amount"
    assert result.entries["amount"] == max(result.metrics.values())


def test_entries_of_the_new_label_check_are_the_new_labels() -> None:
    layout = make_layout("multiclass")
    current, reference = make_rows("multiclass", 300, 5), make_rows("multiclass", 500, 1)
    current.loc[:3, "_dc_label"] = "d"
    result = value("NewLabelTrainTest", current, reference, layout=layout)
    assert (result.metrics, result.entries) == ({"Samples with New Labels": 4.0}, {"d": 4.0})


def test_res_conf_and_class_keep_the_metrics_of_a_class() -> None:
    layout = make_layout("multiclass")
    current = make_rows("multiclass", 300, 5)
    result = value("SingleDatasetPerformance", current, layout=layout, scorer=["F1 Per Class"], res_conf=["b"])
    assert list(result.metrics) == ["F1 Per Class b"]
    scorers = ["F1 Per Class", "Accuracy"]
    chosen = value("SingleDatasetPerformance", current, layout=layout, scorer=scorers, **{"class": ["a"]})
    assert list(chosen.metrics) == ["F1 Per Class a", "Accuracy"]
    none = value("SingleDatasetPerformance", current, layout=layout, scorer=["F1 Per Class"], res_conf=["z"])
    assert none.state == "INSUFFICIENT"


@pytest.mark.parametrize(
    ("class_name", "params", "conf", "says"),
    [
        ("FeatureDrift", {}, {"feature": ["nowhere"]}, "There is no feature nowhere"),
        ("FeatureDrift", {}, {"aggregation_method": ["best"]}, "There is no aggregation method 'best'"),
        ("FeatureDrift", {"numerical_drift_method": 3}, {}, "FeatureDrift failed: AttributeError"),
        ("SingleDatasetPerformance", {}, {"scorer": ["luck"]}, "Scorer name luck is unknown"),
        ("SingleDatasetPerformance", {"scorers": 7}, {}, "Scorer name 7 is unknown"),
    ],
)
def test_invalid_parameter_is_an_error_of_one_line(
    class_name: str, params: dict[str, Any], conf: dict[str, Any], says: str
) -> None:
    result = value(class_name, make_rows("binary", 300, 5), make_rows("binary", 500, 1), params=params, **conf)
    assert result.state == "ERROR"
    assert result.reason
    assert says in result.reason
    assert "\n" not in result.reason


@pytest.mark.parametrize("class_name", ["NewCategoryTrainTest", "StringMismatch", "FeatureDrift"])
def test_check_without_a_readable_column_has_a_reason(class_name: str) -> None:
    layout = DatasetSchema("regression", {"opened": "datetime"})
    current = make_rows("regression", 300, 5)
    result = value(class_name, current, current, layout=layout)
    assert result.state == "INSUFFICIENT"
    assert result.reason
    assert result.reason.startswith("None of the features has a type that the check reads")


def test_check_accepts_columns_without_any_value() -> None:
    current, reference = make_rows("binary", 300, 5), make_rows("binary", 500, 1)
    current[list(COLUMNS)] = None
    for class_name in ("NewCategoryTrainTest", "MixedNulls", "PercentOfNulls", "PredictionDrift", "LabelDrift"):
        assert value(class_name, current, reference).state == "OK", class_name
    assert value("FeatureDrift", current, reference).state == "INSUFFICIENT"
    assert value("PercentOfNulls", current).metrics == {"Max Null Ratio": 1.0}


def test_none_and_nan_in_a_column_are_the_same_null() -> None:
    current = make_rows("binary", 300, 5)
    current["city"] = "Rome"
    current.loc[:9, "city"] = None
    current.loc[10:19, "city"] = np.nan
    result = value("MixedNulls", current, feature=["city"])
    assert result.metrics == {"Max Percent Mixed Nulls": 0.0}


def test_numeric_classes_are_the_strings_that_the_sdk_sends() -> None:
    """Classes sent as numbers equal the class names, which the SDK sends as text."""
    current = make_rows("binary", 300, 5)
    numbers = current.assign(
        _dc_label=current["_dc_label"].map({"no": 0.0, "yes": 1.0}),
        _dc_prediction=current["_dc_prediction"].map({"no": 0, "yes": 1}),
    )
    layout = DatasetSchema("binary", COLUMNS, ["0", "1"])
    accuracy = value("SingleDatasetPerformance", numbers, layout=layout, scorer=["Accuracy"])
    assert accuracy == value("SingleDatasetPerformance", current, scorer=["Accuracy"])


def test_columns_and_ignore_columns_select_the_features() -> None:
    current = make_rows("binary", 300, 5)
    only = value("PercentOfNulls", current, params={"columns": ["plan"], "ignore_columns": None})
    assert list(only.entries) == ["plan"]
    without = value("PercentOfNulls", current, params={"ignore_columns": ["plan", "gone"]})
    assert set(without.entries) == set(COLUMNS) - {"plan"}


@pytest.mark.parametrize("class_name", ["LabelDrift", "PredictionDrift"])
def test_schema_with_balanced_classes_sets_the_parameter(class_name: str) -> None:
    """`balance_classes` of the schema has the effect of the library's parameter."""
    current, reference = make_rows("binary", 300, 5), make_rows("binary", 500, 1)
    balanced = replace(make_layout("binary"), balance_classes=True)
    asked = value(class_name, current, reference, params={"balance_classes": True})
    assert value(class_name, current, reference, layout=balanced).metrics == asked.metrics
    assert asked.metrics != value(class_name, current, reference).metrics


def test_balanced_classes_do_not_change_probability_drift() -> None:
    current, reference = make_rows("binary", 300, 5), make_rows("binary", 500, 1)
    balanced = replace(make_layout("binary"), balance_classes=True)
    params = {"drift_mode": "proba"}
    result = value("PredictionDrift", current, reference, layout=balanced, params=params)
    assert result == value("PredictionDrift", current, reference, params=params)


def test_default_monitors_of_a_window_take_little_cpu() -> None:
    """A window of 900 rows takes less than 0.3 seconds of CPU time."""
    layout = make_layout("binary", IMPORTANCE)
    reference = decoded(make_rows("binary", 10_000, 1), layout)
    watched = [check for check in for_task("binary") if check.monitor]
    spent = []
    for seed in range(2, 6):
        rows = make_rows("binary", 900, seed)
        start = time.process_time()
        current = decoded(rows, layout)
        for check in watched:
            assert check.monitor
            kwargs = check.monitor.additional_kwargs
            assert run(CheckSetup(check.kind, check.params, kwargs or {}, layout), current, reference).state == "OK"
        spent.append(time.process_time() - start)
    assert min(spent) < 0.3


def test_all_features_are_chosen_unless_a_number_is() -> None:
    """Features of equal importance are ordered by name."""
    features = {f"f{index:02}": "numeric" for index in range(40)}
    assert chosen_features(DatasetSchema("binary", features)) == sorted(features)
    important = DatasetSchema("binary", features, None, {"f39": 0.5, "f38": 0.5})
    assert chosen_features(important, {"max features": [3]}) == ["f38", "f39", "f00"]
    assert chosen_features(important, {"feature": ["f07"]}) == ["f07"]


def test_scores_of_absent_classes_have_one_remark() -> None:
    current = make_rows("multiclass", 300, 5)
    current[["_dc_label", "_dc_prediction"]] = "a"
    result = value("SingleDatasetPerformance", current, layout=make_layout("multiclass"), scorer=["fnr_per_class"])
    assert (result.metrics, result.reason) == ({"fnr a": 0.0}, f"no fnr b, fnr c: {no_value_reasons.ABSENT_CLASS}")


def test_feature_without_a_value_has_one_remark() -> None:
    current = make_rows("binary", 300, 5).assign(amount=None)
    conf = {"feature": ["amount", "age"], "aggregation_method": ["none"]}
    result = value("FeatureDrift", current, make_rows("binary", 500, 1), **conf)
    assert (list(result.metrics), result.reason) == (["age"], "too few values in amount")


def test_rows_without_a_feature_column_are_refused() -> None:
    rows = decoded(make_rows("binary", 10, 1).drop(columns="amount"), make_layout("binary"))
    with pytest.raises(InvalidInput, match="no feature amount"):
        run(CheckSetup(kind_of("PercentOfNulls"), {}, {}, make_layout("binary")), rows)


def test_overflow_of_a_scorer_is_reported_as_infinite() -> None:
    current = make_rows("regression", 300, 5)
    current["_dc_prediction"], current["_dc_label"] = 1e200, 1.0  # equal labels are not the reason
    result = value("SingleDatasetPerformance", current, layout=make_layout("regression"), scorer=["Neg RMSE"])
    assert (result.state, result.metrics) == ("INSUFFICIENT", {})
    assert result.reason is not None
    assert result.reason.startswith("Neg RMSE is infinite: values of the window are too large")

"""Our numbers are deepchecks' numbers: each check is also run on the library directly, on the same rows."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dcmon.checks.catalogue import FEATURE_AGGREGATIONS, KINDS, CheckKind, entry, scorers
from dcmon.checks.layout import Layout, Value
from dcmon.checks.run import dataset, run
from tests.unit.checks.check_rows import CLASSES, COLUMNS, IMPORTANCE, TASKS, make_layout, make_rows

PERFORMANCE = entry("deepchecks.tabular.checks", "SingleDatasetPerformance")
# Log and deviance errors refuse values of other signs; our rows are positive, so that each scorer has a value.
SCORERS = [(task_type, name) for task_type in TASKS for name in scorers(task_type)]


def library_dataset(rows: pd.DataFrame, task_type: str, labelled: bool) -> Any:
    from deepchecks.tabular import Dataset

    frame = rows[list(COLUMNS)].copy()
    frame["amount"] = frame["amount"].astype(float)
    frame["vector"] = frame["vector"].map(tuple)
    if labelled:
        frame["target"] = rows["_dc_label"]
    return Dataset(
        frame,
        label="target" if labelled else None,
        cat_features=["city", "plan", "vip"],
        features=list(COLUMNS),
        label_type=task_type,
    )


def library_value(
    kind: CheckKind, params: dict[str, Any], task_type: str, current: pd.DataFrame, reference: pd.DataFrame
) -> dict[str, float]:
    from deepchecks.tabular import checks

    def outputs(rows: pd.DataFrame, suffix: str) -> dict[str, Any]:
        probabilities = None if task_type == "regression" else np.array(rows["_dc_prediction_probabilities"].tolist())
        return {f"y_pred{suffix}": rows["_dc_prediction"].to_numpy(), f"y_proba{suffix}": probabilities}

    common = {
        "feature_importance": pd.Series(IMPORTANCE),
        "model_classes": CLASSES[task_type],
        "with_display": False,
    }
    check = getattr(checks, kind.class_name)(**params, n_samples=None)
    test = library_dataset(current, task_type, kind.needs_labels)
    if kind.needs_reference:
        train = library_dataset(reference, task_type, kind.needs_labels)
        result = check.run(train, test, **outputs(reference, "_train"), **outputs(current, "_test"), **common)
    else:
        result = check.run(test, **outputs(current, ""), **common)
    return {
        " ".join(key) if isinstance(key, tuple) else str(key): float(value)
        for key, value in check.reduce_output(result).items()
    }


def our_value(kind: CheckKind, params: dict[str, Any], layout: Layout, *both: pd.DataFrame) -> Value:
    current, reference = (dataset(rows, layout, list(COLUMNS), True) for rows in both)
    return run(kind, params, None, layout, current, reference)


def parameters_of(kind: CheckKind) -> list[dict[str, Any]]:
    if kind.reads_features:
        # StringMismatch with weights fails in the library itself when a feature is not a string.
        weighted = kind.implementation != "StringMismatch"
        methods = [method for method in FEATURE_AGGREGATIONS if weighted or "weighted" not in method]
        return [{}, *({"aggregation_method": method} for method in methods)]
    if kind.implementation == "PredictionDrift":
        return [{}, {"drift_mode": "prediction"}]
    return [{}]


CASES = [
    (kind, params, task_type)
    for kind in KINDS
    for params in parameters_of(kind)
    for task_type in TASKS
    if not (kind.implementation == "NewLabelTrainTest" and task_type == "regression")
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "params", "task_type"), CASES, ids=lambda part: getattr(part, "class_name", str(part))
)
def test_a_check_has_the_value_of_the_library(kind: CheckKind, params: dict[str, Any], task_type: str) -> None:
    current, reference = make_rows(task_type, 300, 5), make_rows(task_type, 1000, 1)
    if kind.implementation == "NewLabelTrainTest":
        reference = reference[reference["_dc_label"] == (CLASSES[task_type] or [])[0]].reset_index(drop=True)
    ours = our_value(kind, params, make_layout(task_type, IMPORTANCE), current, reference)
    assert ours.state == "OK", ours.reason
    assert all(ours.metrics.values()), "a value of 0 proves little"
    assert ours.metrics == pytest.approx(library_value(kind, params, task_type, current, reference), rel=0, abs=1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("task_type", "scorer"), SCORERS)
def test_a_scorer_of_the_librarys_tables_has_the_value_of_the_library(task_type: str, scorer: str) -> None:
    current = make_rows(task_type, 300, 5)
    ours = our_value(PERFORMANCE, {"scorers": [scorer]}, make_layout(task_type), current, current)
    assert ours.state == "OK", ours.reason
    if scorer.endswith("per_class"):
        assert len(ours.metrics) == len(CLASSES[task_type] or [])
    theirs = library_value(PERFORMANCE, {"scorers": [scorer]}, task_type, current, current)
    assert ours.metrics == pytest.approx(theirs, rel=0, abs=1e-12)


def test_a_reference_that_serves_many_windows_gives_each_the_value_of_a_fresh_one() -> None:
    layout = make_layout("binary", IMPORTANCE)
    reference_rows = make_rows("binary", 1000, 1)
    kept = dataset(reference_rows, layout, list(COLUMNS), True)
    for seed in (2, 3, 4):
        current = make_rows("binary", 300, seed)
        for kind in KINDS:
            fresh = our_value(kind, {}, layout, current, reference_rows)
            again = run(kind, {}, None, layout, dataset(current, layout, list(COLUMNS), True), kept)
            assert again.state == fresh.state == "OK"
            assert again.metrics == pytest.approx(fresh.metrics, rel=0, abs=1e-12)


def test_no_warning_leaves_the_door() -> None:
    current = make_rows("binary", 300, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in KINDS:
            assert our_value(kind, {}, make_layout("binary"), current, current).state == "OK"

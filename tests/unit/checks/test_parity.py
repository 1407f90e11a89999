"""Values of checks equal the values of deepchecks, called directly on the same rows."""

import warnings

import pandas as pd
import pytest

from dcmon.checks.catalogue import KINDS, CheckKind, by_class, for_config
from dcmon.checks.check_run import CheckSetup
from dcmon.checks.dataset_schema import CheckValue, DatasetSchema
from dcmon.checks.runner import run
from tests.helpers.check_cases import cases_of_task
from tests.helpers.check_rows import CLASSES, COLUMNS, IMPORTANCE, TASKS, make_layout, make_rows
from tests.helpers.deepchecks_library import Case, World
from tests.helpers.expected_values import expected_value
from tests.helpers.packed_rows import decoded

PERFORMANCE = for_config("deepchecks.tabular.checks", "SingleDatasetPerformance")
# Rows and seed. Log and deviance errors refuse negative values; these rows are positive, so every scorer has a value.
ROWS_AND_SEED = ((300, 5), (1000, 1))
CASES = [(task_type, case) for task_type in TASKS for case in cases_of_task(task_type)]


def our_value(kind: CheckKind, case: Case, layout: DatasetSchema, *both: pd.DataFrame) -> CheckValue:
    current, reference = (decoded(rows, layout) for rows in both)
    kwargs = {"check_conf": case.conf, "res_conf": case.res_conf}
    return run(CheckSetup(kind, case.params, kwargs, layout), current, reference)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("task_type", "case"), CASES, ids=[f"{task_type}: {case.name}" for task_type, case in CASES])
def test_check_value_equals_the_value_of_the_library(task_type: str, case: Case) -> None:
    current, reference = make_rows(task_type, 300, 5), make_rows(task_type, 1000, 1)
    if case.class_name == "NewLabelTrainTest":
        reference = reference[reference["_dc_label"] == (CLASSES[task_type] or [])[0]].reset_index(drop=True)
    kind = by_class(case.class_name)
    assert kind is not None
    dcmon_values = our_value(kind, case, make_layout(task_type, IMPORTANCE), current, reference)
    assert dcmon_values.state == "OK", dcmon_values.reason
    if "feature" not in case.conf:
        assert all(dcmon_values.metrics.values()), "a value of 0 proves little"
    if str(case.params.get("scorers")).endswith("per_class']"):
        assert len(dcmon_values.metrics) == len(CLASSES[task_type] or [])
    world = World(task_type, COLUMNS, CLASSES[task_type], IMPORTANCE, current, reference)
    assert dcmon_values.metrics == pytest.approx(expected_value(case, world), rel=0, abs=1e-12)


def test_cached_reference_gives_the_values_of_a_fresh_one() -> None:
    """A prepared reference is used for many windows."""
    layout = make_layout("binary", IMPORTANCE)
    reference_rows = make_rows("binary", 1000, 1)
    cached_reference = decoded(reference_rows, layout)
    for seed in (2, 3, 4):
        current = make_rows("binary", 300, seed)
        for kind in KINDS:
            fresh = our_value(kind, Case(kind.class_name), layout, current, reference_rows)
            again = run(CheckSetup(kind, {}, {}, layout), decoded(current, layout), cached_reference)
            assert again.state == fresh.state == "OK"
            assert again.metrics == pytest.approx(fresh.metrics, rel=0, abs=1e-12)


def test_check_emits_no_warning() -> None:
    current = make_rows("binary", 300, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in KINDS:
            assert our_value(kind, Case(kind.class_name), make_layout("binary"), current, current).state == "OK"


def test_failing_scorer_does_not_affect_other_scorers() -> None:
    layout, current = make_layout("binary"), make_rows("binary", 300, 5)
    current["_dc_label"] = "no"
    both = Case("SingleDatasetPerformance", {"scorers": ["accuracy", "fnr", "precision_macro"]})
    dcmon_values = our_value(PERFORMANCE, both, layout, current, current)
    alone = [
        our_value(
            PERFORMANCE, Case("SingleDatasetPerformance", {"scorers": [scorer]}), layout, current, current
        ).metrics
        for scorer in ("accuracy", "precision_macro")
    ]
    assert (dcmon_values.state, dcmon_values.metrics) == ("OK", alone[0] | alone[1])
    assert dcmon_values.reason is not None
    assert dcmon_values.reason.startswith("no fnr: All labels of the window are 'no'")


def test_class_scorers_read_rows_without_probabilities_too() -> None:
    """Only scorers of probabilities leave out rows without probabilities."""
    layout, current = make_layout("binary"), make_rows("binary", 300, 5)
    current.loc[::3, "_dc_prediction_probabilities"] = None
    both = Case("SingleDatasetPerformance", {"scorers": {"how often": "accuracy", "area": "roc_auc"}})
    dcmon_values = our_value(PERFORMANCE, both, layout, current, current)
    accuracy = (current["_dc_label"] == current["_dc_prediction"]).mean()
    assert dcmon_values.metrics["how often"] == pytest.approx(accuracy, rel=0, abs=1e-12)
    complete_rows = current[current["_dc_prediction_probabilities"].notna()].reset_index(drop=True)
    area = our_value(PERFORMANCE, Case("", {"scorers": ["roc_auc"]}), layout, complete_rows, complete_rows)
    assert dcmon_values.metrics["area"] == area.metrics["roc_auc"]
    assert dcmon_values.reason == "left out 100 rows of the window without a prediction and probabilities"

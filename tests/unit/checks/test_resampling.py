"""Checks on drawn rows give what they give on the same rows when these come from the database."""

import numpy as np
import pandas as pd
import pytest

from dcmon.checks.catalogue import by_class
from dcmon.checks.check_run import CheckSetup
from dcmon.checks.dataset_schema import CheckValue
from dcmon.checks.resampling import ResampledCheck
from dcmon.checks.runner import run
from dcmon.checks.workload import CheckRequest, RowsKey
from tests.helpers.check_cases import cases_of_task
from tests.helpers.check_rows import TASKS, make_layout, make_rows
from tests.helpers.deepchecks_library import Case
from tests.helpers.packed_rows import decoded, packed

SOURCE_ROWS = 400
CASES = [(task_type, case) for task_type in TASKS for case in cases_of_task(task_type)]


def resampled(task_type: str, case: Case) -> ResampledCheck:
    kind = by_class(case.class_name)
    assert kind is not None
    key = RowsKey(1, 1, None, 1, "null", False, None)
    conf = {"check_conf": case.conf or {}, "res_conf": case.res_conf}
    request = CheckRequest(
        1, kind.module_name, kind.class_name, case.params, conf, (), key, key if kind.needs_reference else None
    )
    layout = make_layout(task_type)
    return ResampledCheck(request, layout, packed(source(task_type), layout, blocks=3))


def source(task_type: str) -> pd.DataFrame:
    return make_rows(task_type, SOURCE_ROWS, 3)


def direct(task_type: str, case: Case, current: np.ndarray, compared: np.ndarray) -> CheckValue:
    kind, layout, rows = by_class(case.class_name), make_layout(task_type), source(task_type)
    assert kind is not None
    setup = CheckSetup(kind, case.params, {"check_conf": case.conf or {}, "res_conf": case.res_conf}, layout)
    sides = [decoded(rows.iloc[positions].reset_index(drop=True), layout) for positions in (current, compared)]
    return run(setup, sides[0], sides[1] if kind.needs_reference else None)


@pytest.mark.parametrize(("task_type", "case"), CASES[::3], ids=str)
def test_value_of_drawn_rows_equals_that_of_the_same_rows(task_type: str, case: Case) -> None:
    chance = np.random.default_rng(len(case.name))
    current, compared = chance.integers(0, SOURCE_ROWS, 250), chance.integers(0, SOURCE_ROWS, SOURCE_ROWS)
    check = resampled(task_type, case)
    value = check.value(check.rows(current), check.rows(compared))
    expected = direct(task_type, case, current, compared)
    assert value.state == expected.state
    assert value.metrics == pytest.approx(expected.metrics, rel=1e-12)
    assert value.entries == pytest.approx(expected.entries, rel=1e-12)


def test_drawn_rows_without_an_output_count_as_without_it() -> None:
    """A window whose rows have no label is a window without labels, although the sample has some."""
    rows = source("binary")
    rows.loc[10:, "_dc_label"] = None
    case = Case("SingleDatasetPerformance")
    kind, layout = by_class(case.class_name), make_layout("binary")
    assert kind is not None
    key = RowsKey(1, 1, None, 1, "null", False, None)
    check = ResampledCheck(
        CheckRequest(1, kind.module_name, kind.class_name, {}, {}, (), key), layout, packed(rows, layout)
    )
    unlabelled, labelled = check.rows(np.arange(20, 60)), check.rows(np.arange(60))
    assert (unlabelled.labels, check.n_read(unlabelled), check.n_read(labelled)) == (None, 0, 10)
    assert check.value(unlabelled, None).state == "NO_DATA"

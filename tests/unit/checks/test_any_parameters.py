"""Parameters are any JSON: a value that a check can't use gives a result that says so, and never an exception."""

from collections.abc import Mapping
from typing import Any

import pytest

from dcmon.checks.catalogue import KINDS
from dcmon.checks.check_run import CheckSetup
from dcmon.checks.parameters import DEFAULTS
from dcmon.checks.runner import run
from dcmon.states import ResultState
from tests.helpers.check_rows import IMPORTANCE, make_layout, make_rows
from tests.helpers.packed_rows import decoded

JSON_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 0.5, -0.5, 1e300, "", "x", "PSI", "EMD", "proba", "max", [], {}, ["city"], ["x"]),
    *([1], [None], [["a"]], {"a": 1}, {"x": "accuracy"}, {"x": 3}, ["accuracy", "accuracy"], ["city", "city"], [{}]),
)
CASES = [(kind, name) for kind in KINDS if not kind.is_alias for name in DEFAULTS[kind.implementation]]
ROWS = {
    task_type: (decoded(make_rows(task_type, 60, 5), layout), decoded(make_rows(task_type, 90, 1), layout), layout)
    for task_type in ("binary", "multiclass", "regression")
    for layout in [make_layout(task_type, IMPORTANCE)]
}


def results(kind: Any, params: Mapping[str, Any]) -> list[Any]:
    return [run(CheckSetup(kind, params, {}, layout), *sides) for *sides, layout in ROWS.values()]


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{kind.class_name} {name}" for kind, name in CASES])
def test_any_value_of_a_parameter_gives_a_result(kind: Any, name: str) -> None:
    for value in JSON_VALUES:
        for result in results(kind, {name: value}):
            assert bool(result.metrics) == (result.state == ResultState.OK), value
            if result.state != ResultState.OK:
                assert result.reason, value
                assert "\n" not in result.reason
                assert result.reason.endswith((".", "parameters.")), result.reason


@pytest.mark.parametrize("class_name", ["FeatureDrift", "PercentOfNulls", "MixedNulls", "NewCategoryTrainTest"])
def test_parameters_that_leave_no_feature_are_named(class_name: str) -> None:
    kind = next(kind for kind in KINDS if kind.class_name == class_name)
    for result in results(kind, {"ignore_columns": list(IMPORTANCE), "aggregation_method": "weighted"}):
        assert (result.state, result.metrics) == (ResultState.INSUFFICIENT, {})
        assert result.reason is not None
        assert result.reason.startswith("The check's parameters columns and ignore_columns leave no feature")

"""The names of values that a rule may look at are those that checks give."""

import pytest

from dcmon.checks import value_names
from dcmon.checks.catalogue import CHANGE_KINDS, by_class
from dcmon.checks.check_run import CheckSetup
from dcmon.checks.runner import run
from dcmon.checks.value_names import ValueNames
from tests.helpers.check_cases import cases_of_task
from tests.helpers.check_rows import TASKS, make_layout, make_rows
from tests.helpers.deepchecks_library import Case
from tests.helpers.packed_rows import decoded

CASES = [
    (task_type, case)
    for task_type in TASKS
    for case in [*cases_of_task(task_type), *(Case(kind.class_name) for kind in CHANGE_KINDS)]
]


def names_of(task_type: str, case: Case) -> ValueNames:
    kind = by_class(case.class_name)
    assert kind is not None
    choices = {"check_conf": case.conf, "res_conf": case.res_conf}
    names = value_names.of_check(kind, case.params, choices, [make_layout(task_type)])
    assert names is not None
    return names


@pytest.mark.parametrize(("task_type", "case"), CASES, ids=str)
def test_all_names_of_a_value_are_known(task_type: str, case: Case) -> None:
    kind, layout = by_class(case.class_name), make_layout(task_type)
    assert kind is not None
    setup = CheckSetup(kind, case.params, {"check_conf": case.conf, "res_conf": case.res_conf}, layout)
    current, compared = (decoded(make_rows(task_type, count, seed), layout) for count, seed in ((300, 1), (500, 2)))
    value = run(setup, current, compared if kind.needs_reference else None)
    names = names_of(task_type, case)
    assert [name for name in value.metrics if not names.has_metric(name)] == []
    assert [name for name in value.entries if not names.has_entry(name)] == []


def test_other_names_are_not_known() -> None:
    drift = names_of("binary", Case("FeatureDrift"))
    assert not drift.has_metric("Drift Scor")
    assert not drift.has_entry("agee")
    assert not drift.has_entry("note")  # a text, which the check does not read
    scores = names_of("multiclass", Case("SingleDatasetPerformance", {"scorers": ["f1_per_class", "accuracy"]}))
    assert (scores.has_metric("f1 a"), scores.has_metric("ACCURACY")) == (True, True)
    assert (scores.has_metric("f1"), scores.has_metric("recall a"), scores.has_entry("a")) == (False, False, False)

"""A worker evaluates windows for months: what it has read of one is gone before the next one comes."""

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from dcmon.checks.catalogue import DATA_FLOW, DCMON_KINDS, KINDS, CheckKind
from dcmon.checks.check_run import CheckSetup
from dcmon.checks.decoding import decode
from dcmon.checks.runner import run
from dcmon.states import ResultState
from tests.helpers.check_rows import IMPORTANCE, make_layout, make_rows
from tests.helpers.packed_rows import decoded, packed

FRAMES = {task_type: make_rows(task_type, 100, 5) for task_type in ("binary", "multiclass", "regression")}
REFERENCES = {
    task_type: decoded(make_rows(task_type, 200, 1), make_layout(task_type, IMPORTANCE)) for task_type in FRAMES
}
CATALOGUE = [kind for kind in (*KINDS, *DCMON_KINDS) if kind is not DATA_FLOW]


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("kind", CATALOGUE, ids=lambda kind: kind.class_name)
@pytest.mark.parametrize("rows", [100, 3], ids=["values", "too few rows"])
@pytest.mark.parametrize(
    "params", [{}, {"scorers": ["f1", "precision_micro", "roc_auc"]}, {"scorers": ["no such"]}], ids=str
)
def test_rows_are_freed_with_the_result(no_collector: None, kind: CheckKind, rows: int, params: dict[str, Any]) -> None:
    """No circle of references keeps the rows until the garbage collector runs, which is rare in a worker."""
    for task_type, frame in FRAMES.items():
        layout = make_layout(task_type, IMPORTANCE)
        sample = packed(frame[:rows], layout)
        current, reference = decode(sample, layout), REFERENCES[task_type]
        alive = [weakref.ref(read) for read in (sample, current)]
        result = run(CheckSetup(kind, params, {}, layout), current, reference)
        assert result.state in tuple(ResultState)
        del sample, current
        assert [read() for read in alive] == [None, None], f"{result.state}: {result.reason}"

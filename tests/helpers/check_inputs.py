"""Input rows for checks: ordinary rows, and rows with one unusual property."""

from collections.abc import Callable, Mapping

import pandas as pd

from tests.helpers.check_rows import CLASSES, COLUMNS, IMPORTANCE, TASKS, make_rows
from tests.helpers.deepchecks_library import LABEL, PREDICTION, PROBABILITIES, World


def plain(task_type: str) -> World:
    """Return rows with every column type and some nulls."""
    return _world(task_type, make_rows(task_type, 300, 5))


def nulls(task_type: str) -> World:
    """Return rows with nulls in every column, an empty and a constant column, and missing labels."""
    rows = make_rows(task_type, 300, 5)
    for number, name in enumerate(("age", "big", "opened", "vector", "city"), 3):
        rows[name] = _without(rows[name], number)
    rows["note"], rows["plan"] = None, "free"
    rows[LABEL] = _without(rows[LABEL], 3)
    return _world(task_type, rows)


def unicode_(task_type: str) -> World:
    """Return rows with hundreds of non-ASCII categories and with class names that look like numbers."""
    rows, reference = make_rows(task_type, 300, 5), make_rows(task_type, 1000, 1)
    for frame in (rows, reference):
        frame["city"] = [f"Zürich 🏔 {number % 200}" if number % 7 else "" for number in range(len(frame))]
        frame["plan"] = [("01", "1", "1.0", "true", "Ωmega")[number % 5] for number in range(len(frame))]
        if task_type != "regression":
            names = dict(zip(CLASSES[task_type] or [], ("1", "10", "2"), strict=False))
            frame[LABEL], frame[PREDICTION] = frame[LABEL].map(names), frame[PREDICTION].map(names)
    classes = None if task_type == "regression" else ["1", "10", "2"][: len(CLASSES[task_type] or [])]
    return World(task_type, COLUMNS, classes, IMPORTANCE, rows, reference)


def one_class(task_type: str) -> World:
    """Return rows with the same label in all of them."""
    rows = make_rows(task_type, 300, 5)
    rows[LABEL] = rows[LABEL].iloc[0]
    return _world(task_type, rows)


def new_class(task_type: str) -> World:
    """Return rows with labels of a class that the version does not have."""
    rows = make_rows(task_type, 300, 5)
    rows[LABEL] = rows[LABEL].where(rows.index > 20, "zebra" if task_type != "regression" else 9.0)
    return _world(task_type, rows)


def missing_class(task_type: str) -> World:
    """Return rows without one class among labels and predictions."""
    rows = make_rows(task_type, 300, 5)
    if task_type != "regression":
        first = (CLASSES[task_type] or [])[0]
        rows = rows[(rows[LABEL] != first) & (rows[PREDICTION] != first)].reset_index(drop=True)
    return _world(task_type, rows)


def some_probabilities(task_type: str) -> World:
    """Return rows of which a third has no probabilities."""
    rows = make_rows(task_type, 300, 5)
    rows[PROBABILITIES] = _without(rows[PROBABILITIES], 3)
    return _world(task_type, rows)


def unnamed_classes(task_type: str) -> World:
    """Return rows of a version without class names, probabilities and feature importance."""
    world = plain(task_type)
    for frame in (world.current, world.reference):
        frame[PROBABILITIES] = None
    return World(task_type, COLUMNS, None, None, world.current, world.reference)


def few(task_type: str) -> World:
    """Return five rows."""
    return _world(task_type, make_rows(task_type, 5, 5))


def unlabelled(task_type: str) -> World:
    """Return rows without labels."""
    rows = make_rows(task_type, 300, 5)
    rows[LABEL] = None
    return _world(task_type, rows)


def _world(task_type: str, rows: pd.DataFrame) -> World:
    return World(task_type, COLUMNS, CLASSES[task_type], IMPORTANCE, rows, make_rows(task_type, 1000, 1))


def _without(column: "pd.Series[object]", interval: int) -> "pd.Series[object]":
    return column.astype(object).where(column.index % interval != 0, None)


ODD: Mapping[str, Callable[[str], World]] = {
    "nulls": nulls,
    "unicode": unicode_,
    "one class": one_class,
    "new class": new_class,
    "missing class": missing_class,
    "some probabilities": some_probabilities,
    "unnamed classes": unnamed_classes,
    "few": few,
    "unlabelled": unlabelled,
}
# Classification only: for a regression model these worlds equal the plain one.
SAME = {("regression", name) for name in ("missing class", "some probabilities", "unnamed classes")}
WORLDS = {
    **{(task_type, "plain"): plain(task_type) for task_type in TASKS},
    **{(task, name): make(task) for name, make in ODD.items() for task in TASKS if (task, name) not in SAME},
}

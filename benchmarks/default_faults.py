"""Faults of a model's rows, and what an alert must name."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.default_worlds import Numbers, Table
from dcmon.checks.kinds import MEAN_DRIFT

Change = Callable[[Table, np.random.Generator], None]
CLASS_SCORES = tuple(f"{score} {name}" for score in ("precision", "recall") for name in ("0", "1", "a", "b", "c"))
SCORES = ("accuracy", *CLASS_SCORES, "RMSE", "MAE")
PREDICTIONS = ("prediction", *(f"probability of {name}" for name in ("0", "1", "a", "b", "c")))
CELSIUS = 9 / 5  # Fahrenheit is this times Celsius, and 32


@dataclass(frozen=True)
class Fault:
    """A fault of the rows of a window, and the entries or metrics of which an alert must name one.

    `needs_classes`: only models that predict classes can have it.
    """

    name: str
    break_rows: Change
    names: tuple[str, ...] = ("n0",)
    needs_classes: bool = False


def _set(name: str, change: Callable[[Numbers], Numbers]) -> Change:
    def break_rows(table: Table, _: np.random.Generator) -> None:
        table[name] = change(table[name])

    return break_rows


def _set_some(name: str, share: float, value: float) -> Change:
    def break_rows(table: Table, generator: np.random.Generator) -> None:
        table[name] = np.where(generator.random(len(table[name])) < share, value, table[name])

    return break_rows


def _shift_all(table: Table, _: np.random.Generator) -> None:
    for name in table:
        if name.startswith("n"):
            table[name] = table[name] + 0.25


def _break_labels(table: Table, generator: np.random.Generator) -> None:
    """Give 30 % of rows another label: the other class, the next class, or that of another row."""
    labels, is_broken = table["label"], generator.random(len(table["label"])) < 0.3
    n_classes = sum(name.startswith("probability") for name in table)
    others = (labels + 1) % n_classes if n_classes else generator.permutation(labels)
    table["label"] = np.where(is_broken, others, labels)


def _swap(table: Table, _: np.random.Generator) -> None:
    table["n0"], table["c0"] = table["c0"], np.round(np.abs(table["n0"]) * 2)


def _copy(table: Table, _: np.random.Generator) -> None:
    table["n0"] = 2 * table["n1"]


def _units_of_one_category(table: Table, _: np.random.Generator) -> None:
    table["n0"] = np.where(table["c0"] == 0, 10 * table["n0"], table["n0"])


def _lose_last_class(table: Table, _: np.random.Generator) -> None:
    last = max(name for name in table if name.startswith("probability"))
    n_classes = sum(name.startswith("probability") for name in table)
    table["prediction"] = np.where(table["prediction"] == n_classes - 1, 0, table["prediction"])
    table["probability " + "0" if last.endswith("1") else "probability a"] += table[last]
    table[last] = np.zeros_like(table[last])


def _freeze_probabilities(table: Table, _: np.random.Generator) -> None:
    for name in table:
        if name.startswith("probability"):
            table[name] = np.full_like(table[name], table[name].mean())


def _move_predictions(table: Table, _: np.random.Generator) -> None:
    """Numbers: half a standard deviation higher. Classes: half of the rows get the first."""
    values = table["prediction"]
    if any(name.startswith("probability") for name in table):
        table["prediction"] = np.where(np.arange(len(values)) % 2 == 0, 1.0, values)
    else:
        table["prediction"] = values + 0.5


BLIND = (
    Fault("all null", _set("n0", lambda values: np.full_like(values, np.nan))),
    Fault("half null", _set_some("n0", 0.5, np.nan)),
    Fault("times ten", _set("n0", lambda values: 10 * values)),
    Fault("constant", _set("n0", np.zeros_like)),
    Fault("+3 sigma", _set("n0", lambda values: values + 3)),
    Fault("all numbers +0.25 sigma", _shift_all, (MEAN_DRIFT,)),
    Fault("one category left", _set("c0", np.zeros_like), ("c0",)),
    Fault("30 % of labels wrong", _break_labels, SCORES),
)
OTHERS = (
    Fault("frozen at a value", _set("n0", lambda values: np.full_like(values, values[0]))),
    Fault("columns swapped", _swap, ("n0", "c0")),
    Fault("a category renamed", _set("c0", lambda codes: np.where(codes == 0, 99, codes)), ("c0",)),
    Fault("times ten in one category", _units_of_one_category),
    Fault("times 1,000", _set("n0", lambda values: 1000 * values)),
    Fault("times 0.001", _set("n0", lambda values: values / 1000)),
    Fault("Fahrenheit for Celsius", _set("n0", lambda values: CELSIUS * (values + 2) + 1.2)),
    Fault("another sign (of positive numbers)", _set("n0", lambda values: -np.abs(values))),
    Fault("clipped at 0", _set("n0", lambda values: np.maximum(values, 0))),
    Fault("rounded", _set("n0", np.round)),
    Fault("copy of another feature", _copy),
    Fault("a category merged into another", _set("c0", lambda codes: np.where(codes == 1, 0, codes)), ("c0",)),
    Fault("other case of all categories", _set("c0", lambda codes: codes + 100), ("c0",)),
    Fault("other case of 10 % of categories", _set_some("c0", 0.1, 100), ("c0",)),
    Fault("10 % are -1", _set_some("n0", 0.1, -1)),
    Fault("30 % are -1", _set_some("n0", 0.3, -1)),
    Fault("10 % are 999", _set_some("n0", 0.1, 999)),
    Fault("30 % are 0", _set_some("n0", 0.3, 0)),
    Fault("10 % null", _set_some("n0", 0.1, np.nan)),
    Fault("inverted boolean", _set("n0", lambda values: 1 - values)),
    Fault("a class is not predicted", _lose_last_class, PREDICTIONS, needs_classes=True),
    Fault("probabilities constant", _freeze_probabilities, PREDICTIONS, needs_classes=True),
    Fault("predictions move", _move_predictions, PREDICTIONS),
    Fault("all labels of one class", _set("label", np.zeros_like), SCORES),
    Fault("noise instead of predictions", lambda table, generator: generator.shuffle(table["prediction"]), SCORES),
)
FAULTS = BLIND + OTHERS


def named(names: Sequence[str], task: str) -> Iterable[Fault]:
    """Return the faults with these names, or all, that models of a task can have."""
    return [
        fault
        for fault in FAULTS
        if (not names or fault.name in names) and not (fault.needs_classes and task == "regression")
    ]

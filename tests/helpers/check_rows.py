"""Fixed rows of the three task types, with every column type and with nulls."""

import numpy as np
import pandas as pd

from dcmon.checks.dataset_schema import DatasetSchema

COLUMNS = {
    "age": "integer",
    "amount": "numeric",
    "big": "bigint",
    "city": "categorical",
    "note": "text",
    "opened": "datetime",
    "plan": "categorical",
    "vector": "array_float",
    "vip": "boolean",
}
IMPORTANCE = {
    "age": 0.2,
    "amount": 0.3,
    "big": 0.05,
    "city": 0.15,
    "note": 0.0,
    "opened": 0.05,
    "plan": 0.1,
    "vector": 0.05,
    "vip": 0.1,
}
CLASSES = {"binary": ["no", "yes"], "multiclass": ["a", "b", "c"], "regression": None}
TASKS = tuple(CLASSES)


def make_rows(task_type: str, count: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    shift = seed % 7 / 10
    rows = pd.DataFrame(
        {
            "age": random.integers(18, 80, count),
            "amount": random.normal(shift, 1, count),
            "big": random.integers(2**40, 2**41, count),
            "city": random.choice(["Paris", "paris", "Rome", f"new{seed}"], count, p=[0.5, 0.05, 0.4, 0.05]),
            "note": random.choice(["ok", "O.K.", "late"], count),
            "opened": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(random.integers(0, 9**6, count), "s"),
            "plan": random.choice(["free", "pro", "null", "N/A"], count),
            "vector": [list(pair) for pair in random.normal(size=(count, 2))],
            "vip": random.random(count) < 0.3,
        }
    )
    for name in ("amount", "plan", "vip", "note"):
        rows[name] = rows[name].astype(object).where(random.random(count) > 0.1, None)
    if task_type == "regression":
        rows["_dc_prediction"] = random.gamma(2, 1 + shift, count)
        rows["_dc_label"] = rows["_dc_prediction"] + np.abs(random.normal(size=count)) + 0.1
        rows["_dc_prediction_probabilities"] = None
        return rows
    classes = np.array(CLASSES[task_type])
    probabilities = random.dirichlet([1 + 4 * shift, *np.ones(len(classes) - 1)], count)
    rows["_dc_prediction"] = classes[probabilities.argmax(axis=1)]
    rows["_dc_label"] = np.where(random.random(count) < 0.6, rows["_dc_prediction"], random.choice(classes, count))
    rows["_dc_prediction_probabilities"] = [list(vector) for vector in probabilities]
    return rows


def make_layout(task_type: str, importance: dict[str, float] | None = None) -> DatasetSchema:
    return DatasetSchema(task_type, COLUMNS, CLASSES[task_type], importance)

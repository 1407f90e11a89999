"""A model of each task with every type of column, and the rows that are sent to it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from deepchecks.tabular import Dataset
from deepchecks_client import DeepchecksClient

CLASSES = {"binary": ["no", "yes"], "multiclass": ["blue", "green", "red"], "regression": None}
START = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
END = START + 1_000
MOMENT = datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)
VALUES: dict[str, list[Any]] = {
    "numeric": [1.5, -2.25, None, 1e300, 0.1, -0.0, 5e-324, 7],
    "integer": [1, 2, 3, -4, 5, None, 7, 2**31 - 1],
    "bigint": [2**53 + 1, -(2**63), 2**63 - 1, 0, 1, 2, 3, 4],
    "categorical": ["a", "b", "", "ünï", None, "😀", "a b", "a"],
    "boolean": [True, False, None, True, False, True, False, True],
    "text": ["", "line\nbreak", "\"quoted\"", "😀", None, "tab\t", "\\", "a"],
    "array_float": [[1.0, 2.5], [], None, [0.1], [1e300], [-1.0], [0.0, 0.0, 0.0], [3.0]],
    "array_float_2d": [[[1.0, 2.0], [3.0, 4.0]], [], None, [[0.5]], [[1.0], [2.0]], [[-1.0]], [[0.0]], [[9.0]]],
    "datetime": [MOMENT, MOMENT, None, MOMENT, MOMENT, MOMENT, MOMENT, MOMENT],
}  # fmt: skip
ROWS = len(VALUES["numeric"])
IDS = [f"s{number}" for number in range(ROWS)]
LABELLED = 6
FEATURES = {name: name for name in VALUES}
ADDITIONAL = {f"{name}_2": name for name in VALUES}
SCHEMA = {"features": FEATURES, "additional_data": ADDITIONAL}
IMPORTANCE = {name: number / 8 for number, name in enumerate(FEATURES)}


def column(name: str, values: list[Any]) -> list[Any]:
    """Return values as the endpoint returns them: a time is milliseconds since 1970."""
    if name.startswith("datetime"):
        return [None if value is None else int(value.timestamp() * 1000) for value in values]
    return values


def frame() -> pd.DataFrame:
    """Return all columns, each of them as Python's own objects."""
    columns = {name: VALUES[kind] for name, kind in (FEATURES | ADDITIONAL).items()}
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})


@dataclass
class World:
    """One task: its clients, and what was sent."""

    host: str
    token: str
    task: str
    client: DeepchecksClient
    seen: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"model {self.task}"

    @property
    def classes(self) -> list[str] | None:
        return CLASSES[self.task]

    @property
    def model(self) -> Any:
        return self.client.get_or_create_model(self.name)

    @property
    def version(self) -> Any:
        return self.client.get_model_version(self.name, "v1")

    @property
    def predictions(self) -> list[Any]:
        if self.classes is None:
            return [number / 4 for number in range(ROWS)]
        return [self.classes[number % len(self.classes)] for number in range(ROWS)]

    @property
    def labels(self) -> list[Any]:
        return self.predictions[::-1]

    @property
    def probabilities(self) -> np.ndarray | None:
        if self.classes is None:
            return None
        likely = 1 - 0.25 * (len(self.classes) - 1)
        return np.array([[likely if name == value else 0.25 for name in self.classes] for value in self.predictions])

    def expected_rows(self) -> dict[str, dict[str, Any]]:
        """Return what get_production_data has to return, by sample id."""
        rows = {}
        for number, sample_id in enumerate(IDS):
            row = {name: column(name, VALUES[kind])[number] for name, kind in (FEATURES | ADDITIONAL).items()}
            row["_dc_prediction"] = self.predictions[number]
            row["_dc_label"] = self.labels[number] if number < LABELLED else None
            row["_dc_sample_id"] = sample_id
            row["_dc_time"] = datetime.fromtimestamp(START + number, UTC).isoformat()
            if self.classes is not None:
                row["_dc_prediction_probabilities"] = list(self.probabilities[number])
            rows[sample_id] = row
        return rows

    def reference(self) -> Dataset:
        return Dataset(
            frame().assign(label=self.labels), label="label", cat_features=["categorical"], label_type=self.task
        )

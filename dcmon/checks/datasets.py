"""Prepare rows for deepchecks, once for all checks that read them."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from deepchecks.tabular import Dataset

from dcmon.checks import no_value_reasons
from dcmon.checks.dataset_schema import DatasetSchema
from dcmon.checks.kinds import CATEGORICAL_TYPES, NUMERIC_TYPES
from dcmon.errors import InvalidInput

LABEL, PREDICTION, PROBABILITIES = ("_dc_label", "_dc_prediction", "_dc_prediction_probabilities")


class ReadOnlyDataset(Dataset):  # type: ignore[misc]
    """A Dataset that several checks read.

    Each check copies its dataset; deepchecks would then copy the rows and infer the column types again. Here a copy is
    a new frame over the same values, which no check of the library changes.
    """

    def copy(self, new_data: pd.DataFrame) -> "ReadOnlyDataset":
        """Return a copy with these rows."""
        if new_data is not self._data:
            return super().copy(new_data)  # type: ignore[no-any-return]
        return self._with(self._data.copy(deep=False))

    def with_numbers_alike(self) -> "ReadOnlyDataset":
        """Return a copy with the same nulls, where each numeric column has one number only.

        MixedNulls searches each distinct value for words that mean null, and no number is such a word.
        """
        numbers = self._data.select_dtypes("number")
        alike = {name: numbers[name].where(numbers[name].isna(), 0) for name in numbers}
        return self._with(self._data.assign(**alike))

    def _with(self, rows: pd.DataFrame) -> "ReadOnlyDataset":
        made = copy.copy(self)
        made._data = rows
        return made


@dataclass(frozen=True)
class Side:
    """One side of a check: a deepchecks Dataset, the model's output on its rows, and how many rows were left out."""

    dataset: Dataset
    y_pred: "np.ndarray[Any, Any] | None"
    y_proba: "np.ndarray[Any, Any] | None"
    left_out: int


@dataclass
class PreparedRows:
    """Cleaned rows: `frame` the features, and each of the rest one value a row, or None when no row has one.

    Sides are kept, so a reference that is prepared once serves all windows. The rows must not be changed.
    """

    schema: DatasetSchema
    frame: pd.DataFrame
    labels: "pd.Series[Any] | None"
    predictions: "pd.Series[Any] | None"
    probabilities: "np.ndarray[Any, Any] | None"
    _sides: dict[tuple[Any, ...], Side] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def has_all_probabilities(self) -> bool:
        """Whether every row has probabilities, or none."""
        return self.probabilities is None or not bool(np.isnan(self.probabilities).any())

    def side(
        self,
        features: Sequence[str],
        *,
        labelled: bool = False,
        predicted: bool = False,
        with_probabilities: bool = False,
        reference: bool = False,
        shared: bool = True,
    ) -> Side:
        """The rows with the asked columns; rows that lack an asked label, prediction or probabilities are left out.

        `shared`: with other checks, which must not change them.
        """
        kind = ReadOnlyDataset if shared else Dataset
        key = (*features, labelled, predicted, with_probabilities, reference, kind)
        if key not in self._sides:
            self._sides[key] = self._side(kind, list(features), labelled, predicted, with_probabilities, reference)
        return self._sides[key]

    def _side(
        self, kind: type[Dataset], features: list[str], labelled: bool, predicted: bool, probable: bool, reference: bool
    ) -> Side:
        kept = np.ones(len(self), dtype=bool)
        if labelled and self.labels is not None:
            kept &= self.labels.notna().to_numpy()
        wanted = int(kept.sum())
        if predicted and self.predictions is not None:
            kept &= self.predictions.notna().to_numpy()
        if probable and self.probabilities is not None:
            kept &= ~np.isnan(self.probabilities).any(axis=1)
        frame = self.frame[features].assign(**({LABEL: self.labels} if labelled else {}))
        # Deepchecks rewrites the index of both sides when they share a row number: keep the reference's apart.
        frame.index = pd.RangeIndex(-len(self), 0) if reference else pd.RangeIndex(len(self))
        return Side(
            self._dataset(kind, frame[kept], features, labelled),
            self.predictions.to_numpy()[kept] if predicted and self.predictions is not None else None,
            self.probabilities[kept] if probable and self.probabilities is not None else None,
            wanted - int(kept.sum()),
        )

    def _dataset(self, kind: type[Dataset], frame: pd.DataFrame, features: list[str], labelled: bool) -> Dataset:
        return kind(
            frame,
            label=LABEL if labelled else None,
            features=features,
            cat_features=[name for name in features if self.schema.features[name] in CATEGORICAL_TYPES],
            label_type=self.schema.task_type,
        )


def prepare(rows: pd.DataFrame, schema: DatasetSchema, features: Sequence[str], with_label: bool) -> PreparedRows:
    """Make rows ready: the feature columns, and `_dc_prediction`, `_dc_prediction_probabilities`, `_dc_label` if there.

    Columns without a single value count as absent. Missing numbers become NaN, other missing values None; classes are
    strings. Raises InvalidInput when a feature is unknown or has no column.
    """
    absent = [name for name in features if name not in schema.features or name not in rows.columns]
    if absent:
        raise InvalidInput(no_value_reasons.unknown_features(absent, schema.features))
    frame = pd.DataFrame({name: _column(rows[name], schema.features[name]) for name in features}, index=rows.index)
    return PreparedRows(
        schema,
        frame.reset_index(drop=True),
        _output(rows, LABEL, schema) if with_label else None,
        _output(rows, PREDICTION, schema),
        _probabilities(rows, schema),
    )


def _column(column: "pd.Series[Any]", column_type: str) -> "pd.Series[Any]":
    if column_type in NUMERIC_TYPES:
        return _numbers(column)
    if column_type == "datetime":
        return pd.to_datetime(column, utc=True, errors="coerce")
    if column_type.startswith("array"):
        return _objects(column).map(_hashable)
    if column_type == "boolean":
        return _objects(column)
    return _strings(column)


def _numbers(column: "pd.Series[Any]") -> "pd.Series[Any]":
    numbers = pd.to_numeric(column, errors="coerce")
    whole = pd.api.types.is_integer_dtype(numbers) and not numbers.isna().any()
    return numbers.astype("int64" if whole else "float64")


def _objects(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """One kind of null, None: two kinds in a column would count as mixed nulls."""
    objects = column.astype(object)
    return objects.where(objects.notna(), None)


def _strings(column: "pd.Series[Any]") -> "pd.Series[Any]":
    objects = _objects(column)
    if pd.api.types.infer_dtype(objects, skipna=True) in ("string", "empty"):
        return objects
    return objects.map(str, na_action="ignore")


def _hashable(value: Any) -> Any:
    """Arrays as tuples: deepchecks counts values."""
    return tuple(_hashable(item) for item in value) if isinstance(value, list | tuple | np.ndarray) else value


def _class_name(value: Any) -> str:
    """A class as the SDK writes it: whole numbers without a fraction."""
    whole = isinstance(value, int | float | np.number | np.bool_) and value == int(value)
    return str(int(value)) if whole else str(value)


def _output(rows: pd.DataFrame, name: str, schema: DatasetSchema) -> "pd.Series[Any] | None":
    if name not in rows.columns or rows[name].isna().all():
        return None
    column = rows[name].reset_index(drop=True)
    if schema.task_type == "regression":
        return pd.to_numeric(column, errors="coerce").astype("float64")
    objects = _objects(column)
    if pd.api.types.infer_dtype(objects, skipna=True) == "string":
        return objects
    return objects.map(_class_name, na_action="ignore")


def _probabilities(rows: pd.DataFrame, schema: DatasetSchema) -> "np.ndarray[Any, Any] | None":
    """One row of numbers a sample, NaN where a sample has none or not as many as there are classes."""
    if PROBABILITIES not in rows.columns or schema.task_type == "regression":
        return None
    vectors = rows[PROBABILITIES].tolist()
    known = [index for index, vector in enumerate(vectors) if isinstance(vector, list | tuple | np.ndarray)]
    width = len(schema.classes) if schema.classes else max((len(vectors[index]) for index in known), default=0)
    fitting = [index for index in known if len(vectors[index]) == width]
    if not fitting or not width:
        return None
    table = np.full((len(vectors), width), np.nan)
    table[fitting] = np.array([vectors[index] for index in fitting], dtype=float)
    return table

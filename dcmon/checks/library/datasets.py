"""Prepare rows for checks that derive from deepchecks, once for all that read them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from deepchecks.tabular import Dataset

from dcmon.checks import no_value_reasons
from dcmon.checks.dataset_schema import DatasetSchema
from dcmon.checks.kinds import CATEGORICAL_TYPES, NUMERIC_TYPES
from dcmon.errors import InvalidInput
from dcmon.states import TaskType

LABEL, PREDICTION, PROBABILITIES = ("_dc_label", "_dc_prediction", "_dc_prediction_probabilities")


@dataclass(frozen=True)
class Side:
    """One side of a check: a window, or the rows that it is compared with.

    `y_pred` and `y_proba`: the model's output on these rows. `left_out`: the number of rows that lack an output.
    """

    dataset: Dataset
    y_pred: "np.ndarray[Any, Any] | None"
    y_proba: "np.ndarray[Any, Any] | None"
    left_out: int


@dataclass(frozen=True)
class SideRequest:
    """The columns that a check reads of one side.

    Rows without a label, a prediction or probabilities are left out if the check needs that column.
    """

    features: tuple[str, ...]
    needs_labels: bool = False
    needs_predictions: bool = False
    needs_probabilities: bool = False
    is_reference: bool = False


@dataclass
class PreparedRows:
    """Cleaned rows for deepchecks.

    `frame` has the features; each other attribute has one value for each row, or is None when no row has a value.
    Sides are cached, so that a reference is prepared once for all windows. The rows must not be changed.
    """

    schema: DatasetSchema
    frame: pd.DataFrame
    labels: "pd.Series[Any] | None"
    predictions: "pd.Series[Any] | None"
    probabilities: "np.ndarray[Any, Any] | None"
    _sides: dict[SideRequest, Side] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def n_labelled(self) -> int:
        """The number of rows with a label."""
        return 0 if self.labels is None else int(self.labels.notna().sum())

    @property
    def only_label(self) -> Any:
        """The label that all labelled rows have; None if they have several."""
        if self.labels is None or self.labels.nunique() != 1:
            return None
        return self.labels.dropna().iloc[0]

    @cached_property
    def drawable(self) -> "PreparedRows":
        """The same rows with booleans as text: deepchecks selects rows with a list of categories that are booleans."""
        booleans = [name for name in self.frame if self.schema.features[str(name)] == "boolean"]
        if not booleans:
            return self
        return replace(
            self, frame=self.frame.assign(**{name: as_text(self.frame[name]) for name in booleans}), _sides={}
        )

    def are_null(self, features: Sequence[str]) -> bool:
        """Return True if no row has a value of these features."""
        return bool(self.frame[list(features)].isna().all(axis=None))

    def side(self, request: SideRequest) -> Side:
        """Return the rows with the requested columns.

        Equal requests get the same object.
        """
        if request not in self._sides:
            self._sides[request] = self._new_side(request)
        return self._sides[request]

    def _new_side(self, request: SideRequest) -> Side:
        predictions = self.predictions if request.needs_predictions else None
        probabilities = self.probabilities if request.needs_probabilities else None
        is_used = np.ones(len(self), dtype=bool)
        if request.needs_labels and self.labels is not None:
            is_used &= self.labels.notna().to_numpy()
        labelled = int(is_used.sum())
        if predictions is not None:
            is_used &= predictions.notna().to_numpy()
        if probabilities is not None:
            is_used &= ~np.isnan(probabilities).any(axis=1)
        features = list(request.features)
        frame = self.frame[features].assign(**({LABEL: self.labels} if request.needs_labels else {}))
        # deepchecks rewrites the index of both sides when they share a row number: the reference gets other numbers.
        frame.index = pd.RangeIndex(-len(self), 0) if request.is_reference else pd.RangeIndex(len(self))
        return Side(
            self._dataset(frame[is_used], features, request.needs_labels),
            predictions.to_numpy()[is_used] if predictions is not None else None,
            probabilities[is_used] if probabilities is not None else None,
            labelled - int(is_used.sum()),
        )

    def _dataset(self, frame: pd.DataFrame, features: list[str], has_labels: bool) -> Dataset:
        return Dataset(
            frame,
            label=LABEL if has_labels else None,
            features=features,
            cat_features=[name for name in features if self.schema.features[name] in CATEGORICAL_TYPES],
            label_type=self.schema.task_type,
        )


def prepare(rows: pd.DataFrame, schema: DatasetSchema, features: Sequence[str], with_label: bool) -> PreparedRows:
    """Clean the columns of rows that checks read: features, predictions, probabilities and labels.

    A column without any value counts as absent. Missing numbers become NaN, other missing values None; classes become
    strings. Raises InvalidInput when a feature is unknown or has no column.
    """
    unknown = [name for name in features if name not in schema.features or name not in rows.columns]
    if unknown:
        raise InvalidInput(no_value_reasons.unknown_features(unknown, schema.features))
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
    is_integer = pd.api.types.is_integer_dtype(numbers) and not numbers.isna().any()
    return numbers.astype("int64" if is_integer else "float64")


def _objects(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Replace each null by None.

    The check MixedNulls would count NaN and None in one column as two kinds of null.
    """
    objects = column.astype(object)
    return objects.where(objects.notna(), None)


def _strings(column: "pd.Series[Any]") -> "pd.Series[Any]":
    objects = _objects(column)
    if pd.api.types.infer_dtype(objects, skipna=True) in ("string", "empty"):
        return objects
    return objects.map(str, na_action="ignore")


def as_text(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return a column of booleans as "true" and "false"; what is missing stays missing."""
    return column.map(lambda value: str(bool(value)).lower(), na_action="ignore")


def _hashable(value: Any) -> Any:
    """Return an array as a tuple, because deepchecks counts values in a dict."""
    return tuple(_hashable(item) for item in value) if isinstance(value, list | tuple | np.ndarray) else value


def _class_name(value: Any) -> str:
    """Return the name of a class as the SDK writes it.

    A number that has no fraction is written without one: the class 1.0 is "1".
    """
    is_integer = isinstance(value, int | float | np.number | np.bool_) and value == int(value)
    return str(int(value)) if is_integer else str(value)


def _output(rows: pd.DataFrame, name: str, schema: DatasetSchema) -> "pd.Series[Any] | None":
    if name not in rows.columns or rows[name].isna().all():
        return None
    column = rows[name].reset_index(drop=True)
    if schema.task_type == TaskType.REGRESSION:
        return pd.to_numeric(column, errors="coerce").astype("float64")
    objects = _objects(column)
    if pd.api.types.infer_dtype(objects, skipna=True) == "string":
        return objects
    return objects.map(_class_name, na_action="ignore")


def _probabilities(rows: pd.DataFrame, schema: DatasetSchema) -> "np.ndarray[Any, Any] | None":
    """Return the probabilities, one row for each sample.

    A sample gets NaN if its probabilities are missing, or if their number is not the number of classes.
    """
    if PROBABILITIES not in rows.columns or schema.task_type == TaskType.REGRESSION:
        return None
    vectors = rows[PROBABILITIES].tolist()
    present = [index for index, vector in enumerate(vectors) if isinstance(vector, list | tuple | np.ndarray)]
    n_classes = len(schema.classes) if schema.classes else max((len(vectors[index]) for index in present), default=0)
    valid = [index for index in present if len(vectors[index]) == n_classes]
    if not valid or not n_classes:
        return None
    probabilities = np.full((len(vectors), n_classes), np.nan)
    probabilities[valid] = np.array([vectors[index] for index in valid], dtype=float)
    return probabilities

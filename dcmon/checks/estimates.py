"""The check EstimatedPerformance of dcmon itself: scores before labels come, and their gap to the realised scores.

Each scorer has up to three metrics: "accuracy estimated" of all rows, and when labels come "accuracy realised" of the
rows that have one, and "accuracy gap": realised minus estimated, of these same rows.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcmon.checks import no_value_reasons
from dcmon.checks.check_run import Reduced
from dcmon.checks.dataset_schema import DatasetSchema
from dcmon.checks.estimated_metrics import PER_CLASS, EstimatedMetric, scorers_by_name
from dcmon.checks.no_value_reasons import NoValue, SideName
from dcmon.states import ResultState
from dcmon.statistics import calibration, score_intervals, scorers
from dcmon.statistics.calibration import Calibration
from dcmon.statistics.class_scores import Score
from dcmon.statistics.columns import ClassColumn, Numbers, Rows
from dcmon.statistics.confusion import ClassifiedRows
from dcmon.statistics.errors import InvalidParameter, TooFewValues, Undefined, Untrusted
from dcmon.statistics.estimated_performance import (
    Estimate,
    ExpectedRows,
    estimated_score,
    estimated_scores_per_class,
)
from dcmon.statistics.intervals import Interval

_NOT_DETERMINED = "the rows do not determine it"
_CALIBRATION = "calibration"  # the name in what is derived of the reference


class _Output(NamedTuple):
    """The rows of a side with predictions and probabilities: arrays of shape (rows,), or (rows, classes).

    `predictions`, `labels`: positions of the classes, -1 for a class that the model does not know and for no label.
    `has_label`: False also for the label of no class of a binary model.
    """

    probabilities: Numbers
    predictions: NDArray[np.int64]
    labels: NDArray[np.int64]
    has_label: NDArray[np.bool_]


class Estimates:
    """The estimated scores of a window. `remarks` collects what was left out."""

    def __init__(self, schema: DatasetSchema, current: Rows, reference: Rows, remarks: list[str]) -> None:
        if not schema.classes:
            raise NoValue(ResultState.ERROR, no_value_reasons.classes_needed())
        self.classes, self.current, self.reference = tuple(schema.classes), current, reference
        self.remarks = remarks
        self._reasons: dict[str, str] = {}  # why a metric has no value

    def reduced(self, arguments: Mapping[str, Any]) -> Reduced:
        """Return the metrics of the chosen scorers. Raises NoValue and InvalidParameter."""
        named, min_labels = scorers_by_name(arguments.get("scorers")), _min_labels(arguments)
        n_left_out = len(self.current) - len(self._window.predictions)
        self.remarks += no_value_reasons.left_out(n_left_out, SideName.WINDOW, uses_probabilities=True)
        for side, rows in ((SideName.WINDOW, self.current), (SideName.REFERENCE, self.reference)):
            self.remarks += no_value_reasons.unlikely_probabilities(*rows.unlikely_probabilities, side)
        n_labelled = int(self._window.has_label.sum())
        if 0 < n_labelled < min_labels:
            self.remarks.append(no_value_reasons.too_few_labels(n_labelled, min_labels))
        metrics, intervals = dict[Any, Any](), dict[Any, Interval]()
        for name, scorer in named.items():
            estimated = self._estimated(EstimatedMetric.ESTIMATED.of(name), scorer, lambda: self._all_rows)
            metrics |= _metrics(EstimatedMetric.ESTIMATED.of(name), estimated)
            intervals |= _intervals(EstimatedMetric.ESTIMATED.of(name), estimated)
            if n_labelled < min_labels:
                continue
            realised = self._realised(EstimatedMetric.REALISED.of(name), scorer)
            if n_labelled < len(self._window.predictions):
                estimated = self._estimated(EstimatedMetric.GAP.of(name), scorer, lambda: self._labelled_rows)
            metrics |= _metrics(EstimatedMetric.REALISED.of(name), realised)
            gap = _difference(realised, estimated)
            metrics |= _metrics(EstimatedMetric.GAP.of(name), gap)
            intervals |= _intervals(EstimatedMetric.GAP.of(name), gap)
            of_realised = score_intervals.class_score_interval(scorer, self._classified)
            intervals |= _intervals(EstimatedMetric.REALISED.of(name), of_realised)
        missing = [key for key, value in metrics.items() if value is None]
        reasons = {key: self._reasons.get(key, _NOT_DETERMINED) for key in missing}
        return Reduced(metrics, reasons=reasons, intervals=intervals)

    @cached_property
    def calibration(self) -> Calibration:
        """The calibration of the reference, which is computed once for all windows. Raises NoValue."""
        fitted = self.reference.derived(_CALIBRATION, self._fitted)
        if isinstance(fitted, NoValue):
            raise NoValue(fitted.state, str(fitted))
        return fitted

    def _fitted(self) -> Calibration | NoValue:
        if self.reference.labels is None:
            return NoValue(ResultState.NO_DATA, no_value_reasons.no_label(SideName.REFERENCE))
        if self.reference.probabilities is None:
            return NoValue(ResultState.NO_DATA, no_value_reasons.no_probabilities_to_calibrate())
        output = self._output(self.reference)
        probabilities, labels = output.probabilities[output.has_label], output.labels[output.has_label]
        try:
            fitted = calibration.fit(probabilities, labels)
            calibration.require_trust(fitted, probabilities, labels, self.classes)
        except TooFewValues as error:
            return NoValue(ResultState.INSUFFICIENT, no_value_reasons.too_few_to_calibrate(str(error)))
        except Untrusted as error:
            return NoValue(ResultState.INSUFFICIENT, no_value_reasons.not_estimated(str(error)))
        return fitted

    def _output(self, rows: Rows) -> _Output:
        if rows.probabilities is None:
            raise NoValue(ResultState.NO_DATA, no_value_reasons.no_probabilities())
        if rows.probabilities.shape[1] != len(self.classes):
            raise InvalidParameter(
                f"There are {rows.probabilities.shape[1]} probabilities a row, and {len(self.classes)} classes."
            )
        is_used = rows.output(predictions=True, probabilities=True).is_used
        predicted, labels = rows.predicted(self.classes), rows.labels
        assert isinstance(predicted, ClassColumn)
        predictions = predicted.codes_in(self.classes)[is_used]
        if len(self.classes) == 2:  # as deepchecks takes each class that is not the first one for the second one
            predictions = np.where(predictions < 0, 1, predictions)
        label_codes = np.full(len(predictions), -1)
        has_label = np.zeros(len(predictions), dtype=bool)
        if isinstance(labels, ClassColumn):
            label_codes = labels.codes_in(self.classes)[is_used]
            has_label = label_codes >= 0 if len(self.classes) == 2 else labels.is_present[is_used]
        return _Output(rows.probabilities[is_used], predictions, label_codes, has_label)

    @cached_property
    def _window(self) -> _Output:
        return self._output(self.current)

    @cached_property
    def _all_rows(self) -> ExpectedRows:
        return ExpectedRows(self._window.probabilities, self._window.predictions, self.calibration)

    @cached_property
    def _labelled_rows(self) -> ExpectedRows:
        has_label = self._window.has_label
        return ExpectedRows(
            self._window.probabilities[has_label], self._window.predictions[has_label], self.calibration
        )

    def _estimated(
        self, metric: str, scorer: str, expected: Callable[[], ExpectedRows]
    ) -> Estimate | dict[str, Estimate | None] | None:
        """Return the estimate of rows; None if they do not determine it."""
        try:
            rows = expected()
            if not scorer.endswith(PER_CLASS):
                return estimated_score(scorer, rows)
        except Undefined as error:
            self._reasons[metric] = str(error)
            return None
        return dict(zip(self.classes, estimated_scores_per_class(scorer, rows), strict=True))

    def _realised(self, metric: str, scorer: str) -> Score | None:
        try:
            return scorers.class_score(scorer, self._classified)
        except Undefined as error:
            self._reasons[metric] = str(error)
            return None

    @cached_property
    def _classified(self) -> ClassifiedRows:
        return ClassifiedRows(self.current, self.classes, uses_probabilities=True)


def _metrics(metric: str, value: Any) -> dict[Any, Any]:
    """Return a score, or the scores of classes, by the names of their metrics."""
    if isinstance(value, Mapping):
        return {(metric, class_name): _number(score) for class_name, score in value.items()}
    return {metric: _number(value)}


def _number(value: Estimate | float | None) -> float | None:
    return value.value if isinstance(value, Estimate) else value


def _intervals(metric: str, value: Any) -> dict[Any, Interval]:
    """Return the interval of a score, or those of the scores of classes, by the names of their metrics."""
    if isinstance(value, Mapping):
        by_class = {(metric, class_name): of_class for class_name, of_class in value.items()}
        return {key: _limits(of_class) for key, of_class in by_class.items() if of_class is not None}
    return {} if value is None else {metric: _limits(value)}


def _limits(value: Estimate | Interval) -> Interval:
    return Interval(np.asarray(value.low), np.asarray(value.high))


def _difference(realised: Any, estimated: Any) -> Any:
    """Return realised minus estimated scores, with intervals that contain 0 if the realised score is as estimated."""
    if isinstance(realised, Mapping) and isinstance(estimated, Mapping):
        return {name: _difference(realised[name], estimated[name]) for name in realised}
    if realised is None or estimated is None:
        return None
    return Estimate(realised - estimated.value, realised - estimated.high, realised - estimated.low)


def _min_labels(arguments: Mapping[str, Any]) -> int:
    number = arguments.get("min_labels", 30)
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise InvalidParameter(f"min_labels is a number of rows, at least 1, not {number!r}.")
    return number

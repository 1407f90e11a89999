"""The check SingleDatasetPerformance: scores of a model's output against labels.

A scorer that has no value does not affect the others.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from dcmon.checks import no_value_reasons
from dcmon.checks.check_run import Reduced, listed
from dcmon.checks.dataset_schema import DatasetSchema
from dcmon.checks.kinds import PERFORMANCE
from dcmon.checks.no_value_reasons import NoValue, SideName
from dcmon.states import ResultState, TaskType
from dcmon.statistics import score_intervals, scorers
from dcmon.statistics.class_scores import Score
from dcmon.statistics.columns import ClassColumn, Rows
from dcmon.statistics.confusion import ClassifiedRows
from dcmon.statistics.errors import StatisticsError, Undefined
from dcmon.statistics.intervals import Interval
from dcmon.statistics.score_intervals import ScoreInterval
from dcmon.statistics.scorer_names import DEFAULT_SCORERS

_PER_CLASS = "_per_class"


class _Refusal(NamedTuple):
    """Why a scorer has no value. (A kept exception would keep the rows, by its traceback.)"""

    state: ResultState
    reason: str


class Performance:
    """The scores of the rows of a window. `remarks` collects what was left out."""

    def __init__(self, schema: DatasetSchema, rows: Rows, remarks: list[str]) -> None:
        self.schema, self.rows, self.remarks = schema, rows, remarks
        self._classified_rows: dict[bool, ClassifiedRows] = {}  # by whether probabilities are used

    def reduced(self, chosen: Any) -> Reduced:
        """Return the scores by name. `chosen`: names of scorers, or scorers by name; None: those of the task type.

        Raises NoValue if no scorer has a value.
        """
        metrics, reasons, refusals = dict[Any, Any](), dict[Any, str](), list[_Refusal]()
        intervals = dict[Any, Interval]()
        named = _named(chosen or DEFAULT_SCORERS[self.schema.task_type])
        for name, scorer in named.items():
            try:
                score = self._score(scorer)
            except (StatisticsError, NoValue) as error:
                refusals.append(self._refusal(error, scorer))
                if len(named) > 1:
                    self.remarks.append(f"no {name}: {refusals[-1].reason}")
                continue
            intervals |= self._intervals(name, scorer)
            if not isinstance(score, Mapping):
                metrics[name] = score
                continue
            metrics |= {(name, class_name): value for class_name, value in score.items()}
            reasons |= {(name, key): no_value_reasons.ABSENT_CLASS for key, value in score.items() if value is None}
        self.remarks[:] = dict.fromkeys(self.remarks)
        if not metrics:
            raise NoValue(*refusals[0])
        return Reduced(metrics, reasons=reasons, intervals=intervals)

    def _intervals(self, name: str, scorer: str) -> dict[Any, Interval]:
        """Return the interval of a score by the key of its metric: by name and class for a score per class."""
        if self.schema.task_type == TaskType.REGRESSION:
            interval: ScoreInterval = score_intervals.regression_score_interval(scorer, self.rows)
        else:
            classified = self._classified(scorers.reads_probabilities(scorer))
            interval = score_intervals.class_score_interval(scorer, classified)
        if isinstance(interval, Mapping):
            return {(name, class_name): of_class for class_name, of_class in interval.items()}
        return {} if interval is None else {name: interval}

    def _score(self, scorer: str) -> Score:
        if self.schema.task_type == TaskType.REGRESSION:
            self._remark_left_out(self.rows.output(labels=True, predictions=True).n_left_out, False)
            return scorers.regression_score(scorer, self.rows)
        uses_probabilities = scorers.reads_probabilities(scorer)
        if uses_probabilities and self.rows.probabilities is None:
            raise NoValue(ResultState.NO_DATA, no_value_reasons.no_probabilities())
        return scorers.class_score(scorer, self._classified(uses_probabilities))

    def _classified(self, uses_probabilities: bool) -> ClassifiedRows:
        """Return the rows by class, the same for all scorers."""
        # No functools.cache on a method of this object: it would refer to the rows in a circle and keep them in memory.
        if uses_probabilities not in self._classified_rows:
            self._classified_rows[uses_probabilities] = self._new_classified(uses_probabilities)
        return self._classified_rows[uses_probabilities]

    def _new_classified(self, uses_probabilities: bool) -> ClassifiedRows:
        classified = ClassifiedRows(self.rows, self.schema.classes, uses_probabilities=uses_probabilities)
        self._remark_left_out(classified.n_left_out, uses_probabilities or self.rows.predictions is None)
        if uses_probabilities:
            unlikely = self.rows.unlikely_probabilities
            self.remarks += no_value_reasons.unlikely_probabilities(*unlikely, SideName.WINDOW)
        if classified.n_unknown:
            names = no_value_reasons.first_names(self._unknown_labels(classified.classes))
            self.remarks.append(f"{classified.n_unknown} rows have a label that is no class of the model ({names})")
        return classified

    def _remark_left_out(self, n: int, uses_probabilities: bool) -> None:
        self.remarks += no_value_reasons.left_out(n, SideName.WINDOW, uses_probabilities)

    def _unknown_labels(self, classes: tuple[str, ...]) -> list[str]:
        assert isinstance(self.rows.labels, ClassColumn)
        counts = Counter(dict(self.rows.labels.counts()))
        return [repr(name) for name, _ in counts.most_common() if name not in classes]

    def _refusal(self, error: Exception, scorer: str) -> "_Refusal":
        """Return why a scorer has no value: from the rows if they explain it, otherwise from the error itself."""
        if isinstance(error, NoValue):
            return _Refusal(error.state, str(error))
        if isinstance(error, Undefined):
            label = self.rows.only_label
            if label is not None and self.schema.task_type != TaskType.REGRESSION:
                return _Refusal(ResultState.INSUFFICIENT, no_value_reasons.one_class(str(label), [scorer]))
            return _Refusal(ResultState.INSUFFICIENT, no_value_reasons.undefined(scorer, str(error)))
        sentence = no_value_reasons.error_sentence(error, StatisticsError)
        reason = no_value_reasons.check_failed(PERFORMANCE, sentence)
        if self.schema.classes or self.schema.task_type == TaskType.REGRESSION:
            return _Refusal(ResultState.ERROR, reason)
        return _Refusal(ResultState.ERROR, no_value_reasons.classes_not_named(reason))


def _named(chosen: Any) -> dict[str, str]:
    """Return the scorers by the names of their metrics, which deepchecks makes of the scorers' names."""
    if isinstance(chosen, Mapping):
        return {str(name): str(scorer) for name, scorer in chosen.items()}
    return {str(name).removesuffix(_PER_CLASS): str(name) for name in listed(chosen)}

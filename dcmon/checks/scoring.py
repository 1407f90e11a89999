"""Performance by several scorers: one that can't be computed costs itself only. Importing it loads deepchecks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepchecks.core.errors import DeepchecksBaseError
from deepchecks.tabular.metric_utils.scorers import DeepcheckScorer

from dcmon.checks import no_value_reasons
from dcmon.checks.dataset_schema import DatasetSchema
from dcmon.checks.datasets import PreparedRows
from dcmon.checks.no_value_reasons import NoValue
from dcmon.states import ResultState

NAME = "SingleDatasetPerformance"


def reads_probabilities(scorers: Iterable[Any]) -> bool:
    """Whether one of the scorers reads probabilities."""
    return any(DeepcheckScorer(scorer, None, None, "any")._is_proba_scorer for scorer in scorers)


@dataclass(frozen=True)
class Scoring:
    """A performance check on rows; `result` runs it with the scorers that it has at the time."""

    check: Any
    schema: DatasetSchema
    current: PreparedRows
    result: Callable[[], Mapping[Any, Any]]

    def reduced(self, remarks: list[str]) -> Mapping[Any, Any]:
        """What the scorers say: all at once, or each by itself where one can't, or where they read other rows.

        What is missing, and why, is added to the remarks. Raises NoValue when nothing is left.
        """
        wanted = self.check.scorers or ()
        named = list(wanted.items()) if isinstance(wanted, Mapping) else [(None, scorer) for scorer in wanted]
        try:
            if len(named) < 2 or self._read_the_same([scorer for _, scorer in named]):
                return self.result()
        except MemoryError:
            raise
        except Exception as error:
            if len(named) < 2:
                raise self._failed(error) from error
        return self._one_by_one(named, remarks)

    def _read_the_same(self, scorers: Sequence[Any]) -> bool:
        """Whether all scorers read the same rows: those on probabilities leave out rows that have none."""
        return self.current.has_all_probabilities or len({reads_probabilities([each]) for each in scorers}) < 2

    def _one_by_one(self, named: Sequence[tuple[Any, Any]], remarks: list[str]) -> Mapping[Any, Any]:
        found, failed = dict[Any, Any](), list[NoValue]()
        remarks.clear()
        for name, scorer in named:
            self.check.scorers = [scorer] if name is None else {name: scorer}
            try:
                found |= self.result()
            except MemoryError:
                raise
            except Exception as error:
                failed.append(self._failed(error))
                remarks.append(f"no {name or scorer}: {failed[-1]}")
        if not found:
            raise failed[0]
        remarks[:] = dict.fromkeys(remarks)
        return found

    def _failed(self, error: Exception) -> NoValue:
        """Why a scorer gave nothing: by what its rows are like, where that explains it."""
        if isinstance(error, NoValue):
            return error
        why = no_value_reasons.not_suited(NAME, no_value_reasons.error_sentence(error, DeepchecksBaseError))
        if self.schema.task_type == "regression" or "is unknown" in str(error) or self.current.labels is None:
            return NoValue(ResultState.ERROR, why)
        seen, classes = sorted(set(self.current.labels.dropna())), self.schema.classes
        if len(seen) == 1:
            return NoValue(ResultState.INSUFFICIENT, no_value_reasons.one_class(seen[0], self.check.scorers or [NAME]))
        if classes and len(classes) == 2 and (unknown := [each for each in seen if each not in classes]):
            return NoValue(ResultState.ERROR, no_value_reasons.unknown_classes(unknown, classes))
        return NoValue(ResultState.ERROR, why if classes else no_value_reasons.classes_not_named(why))

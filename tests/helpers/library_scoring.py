"""Compute performance by several scorers of the library; a scorer that fails does not affect the others."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from deepchecks.core.errors import DeepchecksBaseError
from deepchecks.tabular.metric_utils.scorers import DeepcheckScorer

from dcmon.checks import no_value_reasons
from dcmon.checks.dataset_schema import DatasetSchema
from dcmon.checks.kinds import PERFORMANCE
from dcmon.checks.library.datasets import PreparedRows
from dcmon.checks.no_value_reasons import NoValue
from dcmon.states import ResultState, TaskType


def reads_probabilities(scorers: Iterable[Any]) -> bool:
    """Return True if one of the scorers reads probabilities."""
    return any(DeepcheckScorer(scorer, None, None, "any")._is_proba_scorer for scorer in scorers)


@dataclass(frozen=True)
class Scoring:
    """A performance check on rows.

    `result`: runs the check with its current scorers.
    """

    check: Any
    schema: DatasetSchema
    current: PreparedRows
    result: Callable[[], Mapping[Any, Any]]

    def reduced(self, remarks: list[str]) -> Mapping[Any, Any]:
        """Return the values of the scorers, by name.

        All scorers run together, or one by one if one of them fails or if they read different rows. For each scorer
        without a value its reason is added to `remarks`. Raises NoValue when no scorer has a value.
        """
        scorers = self.check.scorers or ()
        named = list(scorers.items()) if isinstance(scorers, Mapping) else [(None, scorer) for scorer in scorers]
        try:
            if len(named) < 2 or self._have_same_rows([scorer for _, scorer in named]):
                return self.result()
        except MemoryError:
            raise
        except Exception as error:
            if len(named) < 2:
                raise self._failed(error) from error
        return self._one_by_one(named, remarks)

    def _have_same_rows(self, scorers: Sequence[Any]) -> bool:
        """Return True if all scorers read the same rows.

        Scorers that read probabilities leave out rows without probabilities.
        """
        probabilities = self.current.probabilities
        is_complete = probabilities is None or not np.isnan(probabilities).any()
        return is_complete or len({reads_probabilities([scorer]) for scorer in scorers}) < 2

    def _one_by_one(self, named: Sequence[tuple[Any, Any]], remarks: list[str]) -> Mapping[Any, Any]:
        values, failed = dict[Any, Any](), list[NoValue]()
        remarks.clear()
        for name, scorer in named:
            self.check.scorers = [scorer] if name is None else {name: scorer}
            try:
                values |= self.result()
            except MemoryError:
                raise
            except Exception as error:
                failed.append(self._failed(error))
                remarks.append(f"no {name or scorer}: {failed[-1]}")
        if not values:
            raise failed[0]
        remarks[:] = dict.fromkeys(remarks)
        return values

    def _failed(self, error: Exception) -> NoValue:
        """Return why a scorer has no value.

        The reason comes from the rows if they explain the error, otherwise from the error itself.
        """
        if isinstance(error, NoValue):
            return error
        reason = no_value_reasons.check_failed(PERFORMANCE, no_value_reasons.error_sentence(error, DeepchecksBaseError))
        if self.schema.task_type == TaskType.REGRESSION or "is unknown" in str(error) or self.current.labels is None:
            return NoValue(ResultState.ERROR, reason)
        labels, classes = sorted(set(self.current.labels.dropna())), self.schema.classes
        if len(labels) == 1:
            return NoValue(
                ResultState.INSUFFICIENT, no_value_reasons.one_class(labels[0], self.check.scorers or [PERFORMANCE])
            )
        if classes and len(classes) == 2 and (unknown := [label for label in labels if label not in classes]):
            return NoValue(ResultState.ERROR, no_value_reasons.unknown_classes(unknown, classes))
        return NoValue(ResultState.ERROR, reason if classes else no_value_reasons.classes_not_named(reason))

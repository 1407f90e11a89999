"""Run the library's own check in place of dcmon's, with the parameters and choices of a monitor.

Importing this module loads the library.
"""

import warnings
from collections.abc import Mapping
from typing import Any

from deepchecks.core.errors import DeepchecksBaseError
from deepchecks.tabular import checks as library

from dcmon.checks import no_value_reasons
from dcmon.checks.check_run import CheckSetup, Reduced
from dcmon.checks.dataset_schema import CheckValue, DatasetSchema, storable
from dcmon.checks.kinds import PERFORMANCE
from dcmon.checks.library.runner import OwnCheckRun, PreparedRows, without_na
from dcmon.checks.no_value_reasons import NoValue
from dcmon.checks.worker import CachedRows
from dcmon.states import ResultState, TaskType
from dcmon.storage.column_blocks import ColumnarSample
from tests.helpers.library_scoring import Scoring, reads_probabilities


def prepared(sample: ColumnarSample, schema: DatasetSchema) -> PreparedRows:
    """Return rows with all features of the schema, ready for the library."""
    return CachedRows(sample, schema).prepared(tuple(schema.features))


def run(setup: CheckSetup, current: PreparedRows, reference: PreparedRows | None = None) -> CheckValue:
    """Return the library's value of a check of the catalogue."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return storable(_LibraryRun(setup).value(current, reference))
    except NoValue as no_value:
        return CheckValue(no_value.state, reason=str(no_value))
    except MemoryError:
        raise
    except Exception as error:  # the library raises any exception for parameters that it does not know
        reason = no_value_reasons.error_sentence(error, DeepchecksBaseError)
        return CheckValue(ResultState.ERROR, reason=no_value_reasons.check_failed(setup.kind.class_name, reason))


class _LibraryRun(OwnCheckRun):
    """One run of a check by the library."""

    def new_check(self, params: Mapping[str, Any]) -> Any:
        return getattr(library, self.kind.implementation)(**self.arguments)

    def reduce(self, current: PreparedRows, reference: PreparedRows | None) -> Reduced:
        if self.kind.implementation != PERFORMANCE:
            return super().reduce(current, reference)
        scoring = Scoring(self.check, self.schema, current, lambda: self.reduce_result(self.result(current, None)))
        return Reduced(without_na(scoring.reduced(self.remarks)))

    def uses_probabilities(self, *sides: PreparedRows) -> bool:
        """Return True if the check reads probabilities, and all sides have them.

        Raises NoValue if the check needs probabilities and a side has none.
        """
        if not self.kind.reads_predictions:
            return False
        if not self._wants_probabilities():
            return any(side.predictions is None for side in sides)
        without = [side for side in sides if side.probabilities is None]
        if not without:
            return True
        if getattr(self.check, "drift_mode", "proba") != "auto":
            raise NoValue(ResultState.NO_DATA, no_value_reasons.no_probabilities())
        if len(without) < len(sides):
            self.remarks.append("compared classes, because only one side has probabilities")
        return False

    def _wants_probabilities(self) -> bool:
        if self.schema.task_type == TaskType.REGRESSION:
            return False
        if self.kind.implementation == "PredictionDrift":
            mode, balanced = self.check.drift_mode, self.check.balance_classes
            return mode == "proba" or (mode == "auto" and self.schema.task_type == TaskType.BINARY and not balanced)
        scorers = self.check.scorers or []
        return reads_probabilities(scorers.values() if isinstance(scorers, Mapping) else scorers)

    def entry_scores(self, result: Any) -> Mapping[Any, Any]:
        if self.kind.implementation == "PredictionDrift" and isinstance(result.value["Drift score"], Mapping):
            return dict(result.value["Drift score"])
        if self.kind.implementation == "NewLabelTrainTest":
            return dict(result.value["n_samples_per_new_label"])
        return super().entry_scores(result)

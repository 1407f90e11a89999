"""Run a check of deepchecks, or of a user's package, and reduce its result to numbers.

Importing this module loads deepchecks, which takes seconds and 400 MB of memory.
"""

import inspect
import logging
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint
from typing import Any

import pandas as pd

from dcmon.checks.library.quick_import import quick_import

with quick_import():
    from deepchecks.core.errors import DeepchecksBaseError, NotEnoughSamplesError
    from deepchecks.tabular import checks as library

    from dcmon.checks.library.datasets import PreparedRows, Side, SideRequest, prepare
    from dcmon.checks.library.scoring import Scoring, reads_probabilities

from dcmon.checks import no_value_reasons
from dcmon.checks.check_run import CheckRun, CheckSetup, Reduced
from dcmon.checks.dataset_schema import CheckValue, storable
from dcmon.checks.kinds import PERFORMANCE, REGISTRY
from dcmon.checks.no_value_reasons import NoValue, SideName
from dcmon.states import ResultState, TaskType

__all__ = ["CheckSetup", "PreparedRows", "prepare", "run"]

# deepchecks' log is silenced: the remarks that matter are in the value's reason.
logging.getLogger("deepchecks").setLevel(logging.CRITICAL + 1)


def run(setup: CheckSetup, current: PreparedRows, reference: PreparedRows | None = None) -> CheckValue:
    """Run a check on rows, which are compared with a reference if the check compares.

    Raises only MemoryError: a check that can't be computed has a value without metrics, whose state and reason say why.
    A check that reads labels, predictions or probabilities leaves out the rows without them.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return storable(_LibraryRun(setup).value(current, reference))
    except NoValue as no_value:
        return storable(CheckValue(no_value.state, reason=str(no_value)))
    except MemoryError:
        raise  # the worker process ends, and the check is tried once more alone
    # A check may be a user's own code: any exception that it raises is its result.
    except Exception as error:
        reason = no_value_reasons.check_failed(
            setup.kind.class_name, no_value_reasons.error_sentence(error, DeepchecksBaseError)
        )
        return storable(CheckValue(ResultState.ERROR, reason=reason))


class _LibraryRun(CheckRun[PreparedRows]):
    """One run of a check by deepchecks."""

    def __init__(self, setup: CheckSetup) -> None:
        super().__init__(setup)
        self.check = self._new_check(setup.params)

    def reduce(self, current: PreparedRows, reference: PreparedRows | None) -> Reduced:
        """Run the check on rows. Raises NoValue."""
        if self.kind.implementation == PERFORMANCE:
            scoring = Scoring(self.check, self.schema, current, lambda: self._reduced(self._result(current, None)))
            return Reduced(_without_na(scoring.reduced(self.remarks)))
        result = self._compared_result(current, reference)
        return Reduced(_without_na(self._reduced(result)), _without_na(self._entry_scores(result)))

    def _reduced(self, result: Any) -> Mapping[Any, Any]:
        reduced = self.check.reduce_output(result)
        if not isinstance(reduced, Mapping):
            raise NoValue(ResultState.ERROR, f"Its reduce_output gave {type(reduced).__name__}, not numbers by name.")
        return reduced

    def _compared_result(self, current: PreparedRows, reference: PreparedRows | None) -> Any:
        try:
            return self._result(current, reference)
        except NotEnoughSamplesError as error:
            min_samples = getattr(self.check, "min_samples", None)
            needed = min_samples if isinstance(min_samples, int) else None
            message = no_value_reasons.error_line(error)
            raise self.too_few_values(current, reference, needed, message) from error

    def _new_check(self, params: Mapping[str, Any]) -> Any:
        """Create the check.

        A user's check gets only the arguments that it has a parameter for, and all parameters of the monitor.
        """
        arguments = self.arguments
        if not self.kind.is_own:
            return getattr(library, self.kind.implementation)(**arguments)
        own_class = EntryPoint(self.kind.class_name, self.kind.implementation, REGISTRY).load()
        known = inspect.signature(own_class).parameters
        return own_class(**{name: value for name, value in arguments.items() if name in known or name in params})

    def _result(self, current: PreparedRows, reference: PreparedRows | None) -> Any:
        options = {
            "feature_importance": self._importance(),
            "model_classes": list(self.schema.classes) if self.schema.classes else None,
            "with_display": False,
        }
        if not self.kind.needs_reference:
            uses_probabilities = self._uses_probabilities([current])
            side = self._side(current, SideName.WINDOW, uses_probabilities)
            if self.kind.implementation == "MixedNulls":
                return self.check.run(side.dataset.with_equal_numbers(), **options)
            return self.check.run(side.dataset, y_pred=side.y_pred, y_proba=side.y_proba, **options)
        assert reference is not None
        uses_probabilities = self._uses_probabilities([current, reference])
        train, test = (
            self._side(reference, self.compared, uses_probabilities),
            self._side(current, SideName.WINDOW, uses_probabilities),
        )
        options |= {"y_pred_train": train.y_pred, "y_pred_test": test.y_pred}
        return self.check.run(
            train.dataset, test.dataset, y_proba_train=train.y_proba, y_proba_test=test.y_proba, **options
        )

    def _side(self, rows: PreparedRows, name: SideName, uses_probabilities: bool) -> Side:
        side = rows.side(
            SideRequest(
                tuple(self.features),
                needs_labels=self.kind.needs_labels,
                needs_predictions=self.kind.reads_predictions,
                needs_probabilities=uses_probabilities,
                is_reference=name != SideName.WINDOW,
                is_shared=not self.kind.is_own,
            )
        )
        self.remarks += no_value_reasons.left_out(side.left_out, name, uses_probabilities)
        return side

    def _uses_probabilities(self, sides: Sequence[PreparedRows]) -> bool:
        """Return True if the check reads probabilities, and all sides have them.

        Raises NoValue if the check needs probabilities and a side has none.
        """
        if not self.kind.reads_predictions:
            return False
        without = [side for side in sides if side.probabilities is None]
        if self.kind.is_own:
            return not without
        if not self._wants_probabilities():
            return any(side.predictions is None for side in sides)
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

    def _importance(self) -> "pd.Series[float] | None":
        """Return the importance of the chosen features.

        None if one of these features has no importance: deepchecks then gives all features the same weight.
        """
        known = self.schema.feature_importance or {}
        if not all(name in known for name in self.features) or not sum(known[name] for name in self.features):
            return None
        return pd.Series({name: float(known[name]) for name in self.features})

    def _entry_scores(self, result: Any) -> Mapping[Any, Any]:
        if self.kind.reads_features and hasattr(self.check, "aggregation_method"):
            self.check.aggregation_method = None
            scores: Mapping[Any, Any] = self.check.reduce_output(result)
            return scores
        if self.kind.implementation == "PredictionDrift" and isinstance(result.value["Drift score"], Mapping):
            return dict(result.value["Drift score"])
        if self.kind.implementation == "NewLabelTrainTest":
            return dict(result.value["n_samples_per_new_label"])
        return {}


def _without_na(numbers: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: None if number is pd.NA else number for key, number in numbers.items()}

"""Run a check of a user's package, and reduce its result to numbers.

Importing this module loads deepchecks, which takes seconds and 400 MB of memory.
"""

import inspect
import logging
import warnings
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import Any

import pandas as pd

from dcmon.checks.library.quick_import import quick_import

with quick_import():
    from deepchecks.core.errors import DeepchecksBaseError, NotEnoughSamplesError

    from dcmon.checks.library.datasets import PreparedRows, Side, SideRequest, prepare

from dcmon.checks import no_value_reasons
from dcmon.checks.check_run import CheckRun, CheckSetup, Reduced
from dcmon.checks.dataset_schema import CheckValue, storable
from dcmon.checks.kinds import REGISTRY
from dcmon.checks.no_value_reasons import NoValue, SideName
from dcmon.states import ResultState

__all__ = ["CheckSetup", "OwnCheckRun", "PreparedRows", "prepare", "run"]

# deepchecks' log is silenced: the remarks that matter are in the value's reason.
logging.getLogger("deepchecks").setLevel(logging.CRITICAL + 1)


def run(setup: CheckSetup, current: PreparedRows, reference: PreparedRows | None = None) -> CheckValue:
    """Run a check on rows, which are compared with a reference if the check compares.

    Raises only MemoryError: a check that can't be computed has a value without metrics, whose state and reason say why.
    Rows without a prediction, without probabilities if others have them, or without a label that the check needs are
    left out.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return storable(OwnCheckRun(setup).value(current, reference))
    except NoValue as no_value:
        return storable(CheckValue(no_value.state, reason=str(no_value)))
    except MemoryError:
        raise  # the worker process ends, and the check is tried once more alone
    # A check is a user's code: any exception that it raises is its result.
    except Exception as error:
        reason = no_value_reasons.check_failed(
            setup.kind.class_name, no_value_reasons.error_sentence(error, DeepchecksBaseError)
        )
        return storable(CheckValue(ResultState.ERROR, reason=reason))


class OwnCheckRun(CheckRun[PreparedRows]):
    """One run of a user's check. `with_display`: True to make what deepchecks shows of it, too."""

    with_display = False

    def __init__(self, setup: CheckSetup) -> None:
        super().__init__(setup)
        self.check = self.new_check(setup.params)

    def new_check(self, params: Mapping[str, Any]) -> Any:
        """Create the check with the arguments that it has a parameter for, and all parameters of the monitor."""
        own_class = EntryPoint(self.kind.class_name, self.kind.implementation, REGISTRY).load()
        known = inspect.signature(own_class).parameters
        return own_class(**{name: value for name, value in self.arguments.items() if name in known or name in params})

    def reduce(self, current: PreparedRows, reference: PreparedRows | None) -> Reduced:
        """Run the check on rows. Raises NoValue."""
        result = self.enough_result(current, reference)
        return Reduced(without_na(self.reduce_result(result)), without_na(self.entry_scores(result)))

    def enough_result(self, current: PreparedRows, reference: PreparedRows | None) -> Any:
        """Return the check's own result. Raises NoValue if the check says that there are too few rows."""
        try:
            return self.result(current, reference)
        except NotEnoughSamplesError as error:
            min_samples = getattr(self.check, "min_samples", None)
            needed = min_samples if isinstance(min_samples, int) else None
            message = no_value_reasons.error_line(error)
            raise self.too_few_values(current, reference, needed, message) from error

    def result(self, current: PreparedRows, reference: PreparedRows | None) -> Any:
        """Return the check's own result of rows, before its reduction to numbers."""
        options = {
            "feature_importance": self._importance(),
            "model_classes": list(self.schema.classes) if self.schema.classes else None,
            "with_display": self.with_display,
        }
        if not self.kind.needs_reference:
            side = self._side(current, SideName.WINDOW, self.uses_probabilities(current))
            return self.check.run(side.dataset, y_pred=side.y_pred, y_proba=side.y_proba, **options)
        assert reference is not None
        uses_probabilities = self.uses_probabilities(current, reference)
        train = self._side(reference, self.compared, uses_probabilities)
        test = self._side(current, SideName.WINDOW, uses_probabilities)
        outputs = {
            "y_pred_train": train.y_pred, "y_pred_test": test.y_pred,
            "y_proba_train": train.y_proba, "y_proba_test": test.y_proba,
        }  # fmt: skip
        return self.check.run(train.dataset, test.dataset, **outputs, **options)

    def uses_probabilities(self, *sides: PreparedRows) -> bool:
        """Return True if the check gets probabilities: if all sides have them."""
        return all(side.probabilities is not None for side in sides)

    def reduce_result(self, result: Any) -> Mapping[Any, Any]:
        """Return the numbers of a result by name. Raises NoValue if the check returns something else."""
        reduced = self.check.reduce_output(result)
        if not isinstance(reduced, Mapping):
            raise NoValue(ResultState.ERROR, f"Its reduce_output gave {type(reduced).__name__}, not numbers by name.")
        return reduced

    def entry_scores(self, result: Any) -> Mapping[Any, Any]:
        """Return the number of each feature, if the check aggregates them."""
        if not self.kind.reads_features or not hasattr(self.check, "aggregation_method"):
            return {}
        self.check.aggregation_method = None
        scores: Mapping[Any, Any] = self.check.reduce_output(result)
        return scores

    def _side(self, rows: PreparedRows, name: SideName, uses_probabilities: bool) -> Side:
        side = rows.side(
            SideRequest(
                tuple(self.features),
                needs_labels=self.kind.needs_labels,
                needs_predictions=self.kind.reads_predictions,
                needs_probabilities=uses_probabilities,
                is_reference=name != SideName.WINDOW,
            )
        )
        self.remarks += no_value_reasons.left_out(side.left_out, name, uses_probabilities)
        return side

    def _importance(self) -> "pd.Series[float] | None":
        """Return the importance of the chosen features.

        None if one of these features has no importance: deepchecks then gives all features the same weight.
        """
        known = self.schema.feature_importance or {}
        if not all(name in known for name in self.features) or not sum(known[name] for name in self.features):
            return None
        return pd.Series({name: float(known[name]) for name in self.features})


def without_na(numbers: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the numbers with None in place of pandas' NA."""
    return {key: None if number is pd.NA else number for key, number in numbers.items()}

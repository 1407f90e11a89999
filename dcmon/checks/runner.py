"""Run a check of deepchecks and reduce its result to numbers.

Importing this module loads deepchecks, which takes seconds and 400 MB of memory.
"""

import inspect
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import pandas as pd

from dcmon.checks.library_import import quick_import

with quick_import():
    from deepchecks.core.errors import DeepchecksBaseError, NotEnoughSamplesError
    from deepchecks.tabular import checks as library

    from dcmon.checks.datasets import PreparedRows, Side, SideRequest, prepare
    from dcmon.checks.scoring import Scoring, reads_probabilities

from dcmon.checks import no_value_reasons
from dcmon.checks.dataset_schema import CheckValue, DatasetSchema, chosen_features, storable
from dcmon.checks.kinds import PERFORMANCE, REGISTRY, CheckKind
from dcmon.checks.no_value_reasons import NoValue, SideName
from dcmon.states import ResultState, TaskType

__all__ = ["PreparedRows", "prepare", "run"]

# deepchecks' log is silenced: the remarks that matter are in the value's reason.
logging.getLogger("deepchecks").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True)
class CheckSetup:
    """A check with its parameters, a monitor's choices, and the columns of the version.

    `compared`: the rows to compare with.
    """

    kind: CheckKind
    params: Mapping[str, Any]
    additional_kwargs: Mapping[str, Any]
    schema: DatasetSchema
    compared: SideName = SideName.REFERENCE


def run(setup: CheckSetup, current: PreparedRows, reference: PreparedRows | None = None) -> CheckValue:
    """Run a check on rows, which are compared with a reference if the check compares.

    Raises only MemoryError: a check that can't be computed has a value without metrics, whose state and reason say why.
    A check that reads labels, predictions or probabilities leaves out the rows without them.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return storable(_CheckRun(setup).value(current, reference))
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


class _CheckRun:
    """One run of a check: `remarks` collects what was left out of its value."""

    def __init__(self, setup: CheckSetup) -> None:
        self.kind, self.schema, self.compared = setup.kind, setup.schema, setup.compared
        self.conf: Mapping[str, Any] = setup.additional_kwargs.get("check_conf") or {}
        self.res_conf: Sequence[str] | None = setup.additional_kwargs.get("res_conf")
        self.remarks: list[str] = []
        self.features = self._features(setup.params)
        self.check = self._new_check(setup.params)

    def value(self, current: PreparedRows, reference: PreparedRows | None) -> CheckValue:
        if self.kind.needs_classes and self.schema.task_type == TaskType.REGRESSION:
            raise NoValue(ResultState.ERROR, no_value_reasons.no_classes(self.kind.class_name))
        self._require_rows(current, reference)
        if self.kind.implementation == PERFORMANCE:
            scoring = Scoring(self.check, self.schema, current, lambda: self._reduced(self._result(current, None)))
            reduced, entries = scoring.reduced(self.remarks), dict[str, float]()
        else:
            result = self._compared_result(current, reference)
            reduced, entries = self._reduced(result), self._entries(result)
        return CheckValue(ResultState.OK, self._metrics(reduced, current), "; ".join(self.remarks) or None, entries)

    def _reduced(self, result: Any) -> Mapping[Any, Any]:
        reduced = self.check.reduce_output(result)
        if not isinstance(reduced, Mapping):
            raise NoValue(ResultState.ERROR, f"Its reduce_output gave {type(reduced).__name__}, not numbers by name.")
        return reduced

    def _compared_result(self, current: PreparedRows, reference: PreparedRows | None) -> Any:
        try:
            return self._result(current, reference)
        except NotEnoughSamplesError as error:
            if (read := self._read_columns()) and current.frame[read].isna().all(axis=None):
                raise NoValue(ResultState.INSUFFICIENT, no_value_reasons.all_null(read)) from error
            min_samples = getattr(self.check, "min_samples", None)
            if not isinstance(min_samples, int):
                raise NoValue(ResultState.INSUFFICIENT, no_value_reasons.error_line(error)) from error
            n_by_side = {SideName.WINDOW: self._count(current)}
            if reference is not None and self.kind.needs_reference:
                n_by_side[self.compared] = self._count(reference)
            raise NoValue(ResultState.INSUFFICIENT, no_value_reasons.too_few_rows(n_by_side, min_samples)) from error

    def _count(self, rows: PreparedRows) -> int:
        return int(rows.labels.notna().sum()) if self.kind.needs_labels and rows.labels is not None else len(rows)

    def _features(self, params: Mapping[str, Any]) -> list[str]:
        features = chosen_features(self.schema, self.conf if self.kind.reads_features else None)
        if self.kind.reads_features and not self.conf.get("feature"):
            features += [name for name in _listed(params.get("columns")) if name not in features]
        unknown = [name for name in features if name not in self.schema.features]
        if unknown:
            raise NoValue(ResultState.ERROR, no_value_reasons.unknown_features(unknown, self.schema.features))
        types = self.kind.column_types
        if types and not any(self.schema.features[name] in types for name in features):
            raise NoValue(ResultState.INSUFFICIENT, no_value_reasons.unread_types(types))
        return features

    def _new_check(self, params: Mapping[str, Any]) -> Any:
        """Create the check.

        A user's check gets only the arguments that it has a parameter for, and all parameters of the monitor.
        """
        arguments = self._arguments(params)
        if not self.kind.is_own:
            return getattr(library, self.kind.implementation)(**arguments)
        own_class = EntryPoint(self.kind.class_name, self.kind.implementation, REGISTRY).load()
        known = inspect.signature(own_class).parameters
        return own_class(**{name: value for name, value in arguments.items() if name in known or name in params})

    def _arguments(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the stored parameters, overridden by the monitor's choices.

        deepchecks must not draw a sample of its own (`n_samples`), because that sample would be random.
        """
        arguments = {**params, "n_samples": None}
        if self.kind.reads_features:
            if ignored := _listed(params.get("ignore_columns")):
                arguments["ignore_columns"] = [name for name in ignored if name in self.features] or None
            if self.conf.get("feature"):
                arguments |= {"columns": self.features, "ignore_columns": None}
            if methods := self.conf.get("aggregation method"):
                arguments["aggregation_method"] = _listed(methods)[0]
        if "scorer" in self.kind.choices:
            if scorers := self.conf.get("scorer"):
                arguments["scorers"] = _listed(scorers)
            if classes := self.conf.get("class"):
                arguments["class_list_to_show"] = _listed(classes)
        if self._is_balanced(params):
            arguments["balance_classes"] = True
            self.remarks.append(no_value_reasons.BALANCED)
        return arguments

    def _is_balanced(self, params: Mapping[str, Any]) -> bool:
        """Return True if all classes get the same weight.

        deepchecks supports that only for Cramer's V of classes.
        """
        if self.kind.implementation not in ("LabelDrift", "PredictionDrift") or not self.schema.balance_classes:
            return False
        if "balance_classes" in params:
            return bool(params["balance_classes"])
        return params.get("drift_mode") != "proba" and params.get("categorical_drift_method", "cramers_v") != "PSI"

    def _require_rows(self, current: PreparedRows, reference: PreparedRows | None) -> None:
        if not len(current):
            raise NoValue(ResultState.NO_DATA, no_value_reasons.NO_ROWS)
        if self.kind.needs_reference and (reference is None or not len(reference)):
            raise NoValue(ResultState.NO_DATA, no_value_reasons.NO_REFERENCE)
        compared = reference if self.kind.needs_reference else None
        for name, side in ((SideName.WINDOW, current), (self.compared, compared)):
            if side is None:
                continue
            if self.kind.needs_labels and side.labels is None:
                raise NoValue(ResultState.NO_DATA, no_value_reasons.no_label(name))
            if self.kind.reads_predictions and side.predictions is None and side.probabilities is None:
                raise NoValue(ResultState.NO_DATA, no_value_reasons.no_prediction(name))

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
        if side.left_out:
            output = "a prediction and probabilities" if uses_probabilities else "a prediction"
            self.remarks.append(f"left out {side.left_out} rows of the {name} without {output}")
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

    def _metrics(self, reduced: Mapping[Any, Any], current: PreparedRows) -> dict[str, float]:
        selected = {key: number for key, number in reduced.items() if self._is_selected(key)}
        if not selected:
            raise NoValue(
                ResultState.INSUFFICIENT,
                f"The monitor's choices exclude all metrics: {no_value_reasons.first_names(map(_name, reduced))}.",
            )
        metrics = {_name(key): float(number) for key, number in selected.items() if _is_number(number)}
        missing = [_name(key) for key, number in selected.items() if not _is_number(number)]
        infinite = [_name(key) for key, number in selected.items() if _is_infinite(number)]
        if not metrics:
            reason = no_value_reasons.infinite(infinite) if infinite else self._missing_metrics_reason(missing, current)
            raise NoValue(ResultState.INSUFFICIENT, reason)
        if infinite:
            self.remarks.append(f"{no_value_reasons.first_names(infinite)} is infinite, and is left out")
        if too_few := [name for name in missing if name not in infinite]:
            self.remarks.append(f"there are too few rows for {no_value_reasons.first_names(too_few)}")
        return metrics

    def _missing_metrics_reason(self, missing: Sequence[str], current: PreparedRows) -> str:
        """Return why deepchecks returned no number."""
        if (read := self._read_columns()) and current.frame[read].isna().all(axis=None):
            return no_value_reasons.all_null(read)
        if self.kind.needs_labels and current.labels is not None and current.labels.nunique() == 1:
            label = None if self.schema.task_type == TaskType.REGRESSION else current.labels.dropna().iloc[0]
            return (
                no_value_reasons.one_class(label, missing) if label is not None else no_value_reasons.one_value(missing)
            )
        return f"There are too few rows for {no_value_reasons.first_names(missing)}. Widen the monitor's window."

    def _read_columns(self) -> list[str]:
        """Return the features that the check reads."""
        types = self.kind.column_types
        read = [name for name in self.features if types is None or self.schema.features[name] in types]
        return read if self.kind.reads_features else []

    def _is_selected(self, key: Any) -> bool:
        last = str(key[-1]) if isinstance(key, tuple) else None
        classes = _listed(self.conf.get("class")) if "class" in self.kind.choices else []
        if last is not None and classes and last not in classes:
            return False
        return not self.res_conf or key in self.res_conf or last in self.res_conf

    def _entries(self, result: Any) -> dict[str, float]:
        scores: Mapping[Any, Any] = {}
        if self.kind.reads_features and hasattr(self.check, "aggregation_method"):
            self.check.aggregation_method = None
            scores = self.check.reduce_output(result)
        elif self.kind.implementation == "PredictionDrift" and isinstance(result.value["Drift score"], Mapping):
            scores = result.value["Drift score"]
        elif self.kind.implementation == "NewLabelTrainTest":
            scores = result.value["n_samples_per_new_label"]
        if missing := [str(name) for name, number in scores.items() if not _is_number(number)]:
            self.remarks.append(f"too few values in {no_value_reasons.first_names(missing)}")
        numbers = {str(name): float(number) for name, number in scores.items() if _is_number(number)}
        return dict(sorted(numbers.items(), key=lambda entry: (-entry[1], entry[0])))


def _name(key: Any) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _is_number(number: Any) -> bool:
    return number is not None and number is not pd.NA and math.isfinite(number)


def _is_infinite(number: Any) -> bool:
    return number is not None and number is not pd.NA and math.isinf(number)


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]

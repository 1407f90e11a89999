"""One run of a check: what catalogue checks (checks.runner) and users' own checks (checks.library) have in common."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from dcmon.checks import no_value_reasons, parameters
from dcmon.checks.dataset_schema import CheckValue, DatasetSchema, chosen_features
from dcmon.checks.kinds import CheckKind
from dcmon.checks.no_value_reasons import NoValue, SideName
from dcmon.checks.workload import CheckRequest
from dcmon.states import ResultState, TaskType
from dcmon.statistics.intervals import Interval

# The checks that can give all classes the same weight.
BALANCED_CHECKS = ("LabelDrift", "PredictionDrift")


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


class CheckRows(Protocol):
    """The rows of one side, in the form that a check reads. An output is None if no row has a value."""

    @property
    def labels(self) -> Any:
        """The labels."""

    @property
    def predictions(self) -> Any:
        """The predictions."""

    @property
    def probabilities(self) -> Any:
        """The probabilities."""

    def __len__(self) -> int:
        """Return the number of rows."""

    @property
    def n_labelled(self) -> int:
        """The number of rows with a label."""

    @property
    def only_label(self) -> Any:
        """The label that all labelled rows have; None if they have several."""

    def are_null(self, features: Sequence[str]) -> bool:
        """Return True if no row has a value of these features."""


@dataclass(frozen=True)
class Reduced:
    """The numbers of a check before the monitor's choices.

    `metrics`: by name, or by (scorer, class); None without a value. `entries`: what drives them, a number for each
    feature, class or new label. `reasons`: why a metric has no value, by the same keys. `changes`: how features differ
    from the compared rows. `intervals`, `noise`: how sure metrics and entries are, by the keys of both.
    """

    metrics: Mapping[Any, Any]
    entries: Mapping[Any, Any] = field(default_factory=dict)
    reasons: Mapping[Any, str] = field(default_factory=dict)
    changes: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    intervals: Mapping[Any, Interval] = field(default_factory=dict)
    noise: Mapping[Any, float] = field(default_factory=dict)


R = TypeVar("R", bound=CheckRows)


class CheckRun(ABC, Generic[R]):
    """One run of a check: `remarks` collects what was left out of its value."""

    def __init__(self, setup: CheckSetup) -> None:
        self.kind, self.schema, self.compared = setup.kind, setup.schema, setup.compared
        self.conf: Mapping[str, Any] = setup.additional_kwargs.get("check_conf") or {}
        self.res_conf: Sequence[str] | None = setup.additional_kwargs.get("res_conf")
        self.remarks: list[str] = []
        params = parameters.effective(setup.kind, setup.params)
        self.features = self._features(params)
        self.arguments = self._arguments(params)

    @abstractmethod
    def reduce(self, current: R, reference: R | None) -> Reduced:
        """Run the check on rows. Raises NoValue."""

    def value(self, current: R, reference: R | None) -> CheckValue:
        """Return the value of the check on these rows. Raises NoValue."""
        if self.kind.needs_classes and self.schema.task_type == TaskType.REGRESSION:
            raise NoValue(ResultState.ERROR, no_value_reasons.no_classes(self.kind.class_name))
        self._require_rows(current, reference)
        reduced = self.reduce(current, reference)
        entries = self._entries(reduced.entries)
        metrics = self._metrics(reduced, current)
        changes = {name: reduced.changes[name] for name in entries if name in reduced.changes}
        intervals, noise = _limits(reduced.intervals, metrics, entries), _levels(reduced.noise, metrics, entries)
        remarks = "; ".join(self.remarks) or None
        return CheckValue(ResultState.OK, metrics, remarks, entries, changes, intervals, noise)

    def _features(self, params: Mapping[str, Any]) -> list[str]:
        features = chosen_features(self.schema, self.conf if self.kind.reads_features else None)
        if self.kind.reads_features and not self.conf.get("feature") and len(features) < len(self.schema.features):
            self.remarks.append(no_value_reasons.some_features(len(features), len(self.schema.features)))
        if self.kind.reads_features and not self.conf.get("feature"):
            features += [name for name in listed(params.get("columns")) if name not in features]
        unknown = [name for name in features if name not in self.schema.features]
        if unknown:
            raise NoValue(ResultState.ERROR, no_value_reasons.unknown_features(unknown, self.schema.features))
        types = self.kind.column_types
        if types and not any(self.schema.features[name] in types for name in features):
            raise NoValue(ResultState.INSUFFICIENT, no_value_reasons.unread_types(types))
        return features

    def _arguments(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the stored parameters, overridden by the monitor's choices.

        deepchecks must not draw a sample of its own (`n_samples`), because that sample would be random.
        """
        arguments = {**params, "n_samples": None}
        if self.kind.reads_features:
            if ignored := listed(params.get("ignore_columns")):
                arguments["ignore_columns"] = [name for name in ignored if name in self.features] or None
            if self.conf.get("feature"):
                arguments |= {"columns": self.features, "ignore_columns": None}
            if methods := self.conf.get("aggregation method"):
                arguments["aggregation_method"] = listed(methods)[0]
        if "scorer" in self.kind.choices:
            if scorers := self.conf.get("scorer"):
                arguments["scorers"] = listed(scorers)
            if classes := self.conf.get("class"):
                arguments["class_list_to_show"] = listed(classes)
        if self._is_balanced(params):
            arguments["balance_classes"] = True
            self.remarks.append(no_value_reasons.BALANCED)
        return arguments

    def _is_balanced(self, params: Mapping[str, Any]) -> bool:
        """Return True if all classes get the same weight.

        deepchecks supports that only for Cramer's V of classes.
        """
        if self.kind.implementation not in BALANCED_CHECKS or not self.schema.balance_classes:
            return False
        if "balance_classes" in params:
            return bool(params["balance_classes"])
        return params.get("drift_mode") != "proba" and params.get("categorical_drift_method", "cramers_v") != "PSI"

    def _require_rows(self, current: R, reference: R | None) -> None:
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

    def _metrics(self, reduced: Reduced, current: R) -> dict[str, float]:
        """Return the metrics that have a value. Raises NoValue if no chosen metric has one."""
        selected = {key: number for key, number in reduced.metrics.items() if self._is_selected(key)}
        if not selected:
            names = no_value_reasons.first_names(map(_name, reduced.metrics))
            raise NoValue(ResultState.INSUFFICIENT, f"The monitor's choices exclude all metrics: {names}.")
        metrics = {_name(key): float(number) for key, number in selected.items() if is_number(number)}
        missing = [key for key, number in selected.items() if not is_number(number)]
        infinite = [_name(key) for key in missing if _is_infinite(selected[key])]
        if not metrics:
            raise NoValue(ResultState.INSUFFICIENT, self._missing_reason(reduced, missing, infinite, current))
        if infinite:
            self.remarks.append(f"{no_value_reasons.first_names(infinite)} is infinite, and is left out")
        names_by_reason: dict[str, list[str]] = {}
        for key in missing:
            if key in reduced.reasons:
                names_by_reason.setdefault(reduced.reasons[key], []).append(_name(key))
        self.remarks += [
            f"no {no_value_reasons.first_names(names)}: {reason}" for reason, names in names_by_reason.items()
        ]
        # A feature without a value has a remark already, because it is an entry too.
        explained = {*infinite, *map(_name, reduced.reasons), *reduced.entries}
        if too_few := [_name(key) for key in missing if _name(key) not in explained]:
            self.remarks.append(f"there are too few rows for {no_value_reasons.first_names(too_few)}")
        return metrics

    def _missing_reason(self, reduced: Reduced, missing: Sequence[Any], infinite: Sequence[str], current: R) -> str:
        """Return why no metric has a value."""
        names = list(map(_name, missing))
        if infinite:
            return no_value_reasons.infinite(infinite)
        if (read := self.read_features()) and current.are_null(read):
            return no_value_reasons.all_null(read)
        if self.kind.needs_labels and (label := current.only_label) is not None:
            is_number_label = self.schema.task_type == TaskType.REGRESSION
            return no_value_reasons.one_value(names) if is_number_label else no_value_reasons.one_class(label, names)
        if reasons := [reduced.reasons[key] for key in missing if key in reduced.reasons]:
            return f"There is no {no_value_reasons.first_names(names)}: {reasons[0]}."
        return f"There are too few rows for {no_value_reasons.first_names(names)}. Widen the monitor's window."

    def too_few_values(self, current: R, reference: R | None, min_samples: int | None, message: str) -> NoValue:
        """Return why a side has too few values. `message`: what the check says itself."""
        if (read := self.read_features()) and current.are_null(read):
            return NoValue(ResultState.INSUFFICIENT, no_value_reasons.all_null(read))
        if min_samples is None:
            return NoValue(ResultState.INSUFFICIENT, message)
        n_by_side = {SideName.WINDOW: self._count(current)}
        if reference is not None and self.kind.needs_reference:
            n_by_side[self.compared] = self._count(reference)
        return NoValue(ResultState.INSUFFICIENT, no_value_reasons.too_few_rows(n_by_side, min_samples))

    def _count(self, rows: R) -> int:
        return rows.n_labelled if self.kind.needs_labels and rows.labels is not None else len(rows)

    def read_features(self) -> list[str]:
        """Return the chosen features that have a type that the check reads."""
        types = self.kind.column_types
        read = [name for name in self.features if types is None or self.schema.features[name] in types]
        return read if self.kind.reads_features else []

    def _is_selected(self, key: Any) -> bool:
        last = str(key[-1]) if isinstance(key, tuple) else None
        classes = listed(self.conf.get("class")) if "class" in self.kind.choices else []
        if last is not None and classes and last not in classes:
            return False
        return not self.res_conf or key in self.res_conf or last in self.res_conf

    def _entries(self, entries: Mapping[Any, Any]) -> dict[str, float]:
        if missing := [str(name) for name, number in entries.items() if not is_number(number)]:
            self.remarks.append(f"too few values in {no_value_reasons.first_names(missing)}")
        numbers = {str(name): float(number) for name, number in entries.items() if is_number(number)}
        return dict(sorted(numbers.items(), key=lambda entry: (-entry[1], entry[0])))


def _limits(intervals: Mapping[Any, Interval], *known: Mapping[str, float]) -> dict[str, list[float]]:
    """Return the limits of the known names that have an interval."""
    limits = {_name(key): [_rounded(interval.low), _rounded(interval.high)] for key, interval in intervals.items()}
    return {name: ends for name, ends in limits.items() if all(map(is_number, ends)) and any(name in k for k in known)}


def _levels(noise: Mapping[Any, float], *known: Mapping[str, float]) -> dict[str, float]:
    """Return the noise of the known names."""
    levels = {_name(key): _rounded(number) for key, number in noise.items() if is_number(number)}
    return {name: number for name, number in levels.items() if any(name in k for k in known)}


def _rounded(number: Any) -> float:
    """Round to six digits: a result of 1,000 features has 1,000 intervals."""
    return float(f"{float(number):.6g}")


def _name(key: Any) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def is_number(number: Any) -> bool:
    """Return True if a metric has a finite value."""
    return number is not None and math.isfinite(number)


def _is_infinite(number: Any) -> bool:
    return number is not None and math.isinf(number)


def listed(value: Any) -> list[Any]:
    """Return a value that may be a list, or one item, or None, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def setup_for(kind: CheckKind, schema: DatasetSchema, request: CheckRequest) -> CheckSetup:
    """Return what runs the check of a request. `schema`: the columns of the version."""
    conf = request.additional_kwargs or {}
    return CheckSetup(kind, request.params, conf, schema_for(schema, request), compared_side(request))


def schema_for(schema: DatasetSchema, request: CheckRequest) -> DatasetSchema:
    """Return the columns as a request reads them.

    Classes are balanced only against the reference: labels of an earlier window may still arrive.
    """
    is_with_reference = request.compared is not None and request.compared.window is None
    return replace(schema, balance_classes=schema.balance_classes and is_with_reference)


def compared_side(request: CheckRequest) -> SideName:
    """Return what a request compares the window with."""
    return SideName.EARLIER_WINDOW if request.compared and request.compared.window else SideName.REFERENCE

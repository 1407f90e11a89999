"""Run a check of the catalogue on rows, with dcmon.statistics."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from dcmon.checks import no_value_reasons, uncertainty
from dcmon.checks.change_checks import REDUCERS
from dcmon.checks.check_run import CheckRun, CheckSetup, Reduced, listed
from dcmon.checks.dataset_schema import CheckValue, storable
from dcmon.checks.descriptions import with_feature_changes
from dcmon.checks.estimates import Estimates
from dcmon.checks.no_value_reasons import NoValue, SideName
from dcmon.checks.performance import Performance
from dcmon.states import ResultState, TaskType
from dcmon.statistics import aggregation, features, outputs
from dcmon.statistics.columns import Rows
from dcmon.statistics.drift import DriftParameters
from dcmon.statistics.errors import InvalidParameter, StatisticsError, TooFewValues, Undefined
from dcmon.statistics.features import Values
from dcmon.statistics.outputs import DriftMode

__all__ = ["CheckSetup", "run"]


def run(setup: CheckSetup, current: Rows, reference: Rows | None = None) -> CheckValue:
    """Run a check of the catalogue on rows, which are compared with a reference if the check compares.

    A check that can't be computed has a value without metrics, whose state and reason say why. A check that reads
    labels, predictions or probabilities leaves out the rows without them.
    """
    try:
        return storable(_StatisticsRun(setup).value(current, reference))
    except NoValue as no_value:
        return storable(CheckValue(no_value.state, reason=str(no_value)))
    except (StatisticsError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
        # Parameters are any JSON: a value of another type fails where it is used.
        sentence = no_value_reasons.error_sentence(error, StatisticsError)
        reason = no_value_reasons.check_failed(setup.kind.class_name, sentence)
        return storable(CheckValue(ResultState.ERROR, reason=reason))


class _StatisticsRun(CheckRun[Rows]):
    """One run of a check of the catalogue."""

    def reduce(self, current: Rows, reference: Rows | None) -> Reduced:
        """Run the check on rows. Raises NoValue and StatisticsError."""
        try:
            return _REDUCE[self.kind.implementation](self, current, reference or current)
        except TooFewValues as error:
            raise self.too_few_values(current, reference, self.drift_parameters.n_needed, str(error)) from error
        except Undefined as error:
            raise NoValue(ResultState.INSUFFICIENT, str(error)) from error

    @property
    def drift_parameters(self) -> DriftParameters:
        """The parameters of a drift check."""
        return DriftParameters.from_params(self.arguments)

    def chosen(self) -> list[str]:
        """Return the features to read, by the parameters `columns` and `ignore_columns`.

        Raises InvalidParameter for both, and NoValue if they leave no feature.
        """
        columns, ignored = self.arguments.get("columns"), listed(self.arguments.get("ignore_columns"))
        if columns is not None and ignored:
            raise InvalidParameter("Use one of columns and ignore_columns, not both.")
        chosen = listed(columns) if columns is not None else [name for name in self.features if name not in ignored]
        types = self.kind.column_types
        read = [name for name in chosen if types is None or self.schema.features[name] in types]
        if not read:
            raise NoValue(ResultState.INSUFFICIENT, no_value_reasons.NO_FEATURE_LEFT)
        return read

    @property
    def importance(self) -> Mapping[str, float] | None:
        """The importance of the chosen features, whose sum is 1; None if one of them has no importance."""
        known = self.schema.feature_importance or {}
        if not all(name in known for name in self.features):
            return None
        weights = {name: float(known[name]) for name in self.features}
        if any(weight < 0 for weight in weights.values()):
            raise InvalidParameter("feature_importance must not contain negative values.")
        return aggregation.normalized_importance(weights)

    def aggregate(
        self, values: Values, default: str, name: str, *, weighs_all: bool = False
    ) -> dict[str, float | None]:
        """Return the aggregate of the values of features, by its name. Parameters as those of `aggregated`."""
        importance = self.importance
        if importance is not None and not weighs_all:
            importance = {feature: importance[feature] for feature in values}
        return aggregation.aggregate(self.arguments.get("aggregation_method", default), values, importance, name)

    def aggregated(self, values: Values, default: str, name: str, *, weighs_all: bool = False) -> Reduced:
        """Return the aggregate of the values of features, and the values as entries.

        `weighs_all`: True if the weighted aggregate needs a value of all features that have an importance.
        """
        method = self.arguments.get("aggregation_method", default)
        metrics = self.aggregate(values, default, name, weighs_all=weighs_all)
        if method in aggregation.POWERS and self.importance is None:
            n_known = sum(value is not None for value in values.values())
            if n_known > 1:  # of one feature all aggregates are equal
                self.remarks.append(no_value_reasons.plain_mean(next(iter(metrics)), n_known))
        return Reduced(metrics, values)


def _feature_drift(run: _StatisticsRun, current: Rows, compared: Rows) -> Reduced:
    order = run.arguments.get("sort_feature_by", "drift + importance")
    if order not in ("feature importance", "drift score", "drift + importance"):
        raise InvalidParameter(f"There is no sort_feature_by {order!r}.")
    parameters = run.drift_parameters
    values = features.drifts(current, compared, run.chosen(), parameters)
    reduced = with_feature_changes(run.aggregated(values, "l3_weighted", "Drift Score"), current, compared)
    aggregate = partial(run.aggregate, default="l3_weighted", name="Drift Score")
    return uncertainty.with_drift_uncertainty(reduced, current, compared, parameters, aggregate)


def _null_shares(run: _StatisticsRun, current: Rows, _: Rows) -> Reduced:
    reduced = run.aggregated(features.null_shares(current, run.chosen()), "max", "Null Ratio")
    return uncertainty.with_share_intervals(reduced, current.n)


def _new_categories(run: _StatisticsRun, current: Rows, compared: Rows) -> Reduced:
    values = features.new_category_shares(current, compared, run.chosen())
    reduced = with_feature_changes(run.aggregated(values, "max", "New Categories Ratio"), current, compared)
    return uncertainty.with_share_intervals(reduced, current.n)


def _mixed_nulls(run: _StatisticsRun, current: Rows, _: Rows) -> Reduced:
    values = features.mixed_null_shares(current, run.chosen(), run.arguments.get("null_string_list"))
    return run.aggregated(values, "max", "Percent Mixed Nulls", weighs_all=True)


def _mismatches(run: _StatisticsRun, current: Rows, _: Rows) -> Reduced:
    values = features.mismatched_shares(current, run.chosen())
    return run.aggregated(values, "max", "Percent Mismatched Strings", weighs_all=True)


def _label_drift(run: _StatisticsRun, current: Rows, compared: Rows) -> Reduced:
    sides, parameters = outputs.label_sides(current, compared), run.drift_parameters
    reduced = Reduced({"Label Drift Score": outputs.drift_of(sides, parameters)})
    return uncertainty.with_output_uncertainty(reduced, sides, parameters)


def _new_labels(run: _StatisticsRun, current: Rows, compared: Rows) -> Reduced:
    labels = outputs.new_labels(current, compared)
    return Reduced({"Samples with New Labels": sum(labels.values())}, labels)


def _prediction_drift(run: _StatisticsRun, current: Rows, compared: Rows) -> Reduced:
    parameters, classes = run.drift_parameters, run.schema.classes
    mode = _drift_mode(run.arguments)
    if run.schema.task_type == TaskType.REGRESSION and mode == DriftMode.PROBABILITIES:
        raise InvalidParameter('drift_mode "proba" is for models with classes.')
    is_binary_auto = mode == DriftMode.AUTO and run.schema.task_type == TaskType.BINARY
    wants_probabilities = mode == DriftMode.PROBABILITIES or (is_binary_auto and not parameters.balance_classes)
    sides = {SideName.WINDOW: current, run.compared: compared}
    without = [rows for rows in sides.values() if rows.probabilities is None]
    if mode == DriftMode.PROBABILITIES and without:
        raise NoValue(ResultState.NO_DATA, no_value_reasons.no_probabilities())
    is_derived = any(rows.predictions is None for rows in sides.values())
    uses_probabilities = (wants_probabilities and not without) or (not wants_probabilities and is_derived)
    for name, rows in reversed(sides.items()):
        n_left_out = rows.output(predictions=True, probabilities=uses_probabilities).n_left_out
        run.remarks += no_value_reasons.left_out(n_left_out, name, uses_probabilities)
    if wants_probabilities and not without:
        for name, rows in sides.items():
            run.remarks += no_value_reasons.unlikely_probabilities(*rows.unlikely_probabilities, name)
        drifts = outputs.probability_drift(current, compared, classes, parameters)
        aggregated = outputs.aggregate_classes(run.arguments.get("aggregation_method", "max"), drifts)
        reduced = Reduced(aggregated, drifts.values if len(drifts.values) > 1 else {})
        return uncertainty.with_probability_uncertainty(reduced, drifts, parameters)
    if wants_probabilities and len(without) == 1:
        run.remarks.insert(0, "compared classes, because only one side has probabilities")
    predicted = outputs.predicted_sides(current, compared, tuple(classes) if classes else None)
    reduced = Reduced({"Prediction Drift Score": outputs.drift_of(predicted, parameters)})
    return uncertainty.with_output_uncertainty(reduced, predicted, parameters)


def _drift_mode(arguments: Mapping[str, Any]) -> DriftMode:
    mode = str(arguments.get("drift_mode", DriftMode.AUTO)).lower()
    if mode not in tuple(DriftMode):
        raise InvalidParameter(f"There is no drift_mode {mode!r}. Use {', '.join(DriftMode)}.")
    if mode == DriftMode.PROBABILITIES and arguments.get("balance_classes") is True:
        raise InvalidParameter('balance_classes is not for drift_mode "proba".')
    if arguments.get("aggregation_method", "max") not in ("weighted", "mean", "none", None, "max"):
        raise InvalidParameter("aggregation_method is weighted, mean, max or none.")
    return DriftMode(mode)


def _performance(run: _StatisticsRun, current: Rows, _: Rows) -> Reduced:
    return Performance(run.schema, current, run.remarks).reduced(run.arguments.get("scorers"))


def _estimates(run: _StatisticsRun, current: Rows, reference: Rows) -> Reduced:
    return Estimates(run.schema, current, reference, run.remarks).reduced(run.arguments)


_REDUCE: Mapping[str, Callable[[_StatisticsRun, Rows, Rows], Reduced]] = {
    "FeatureDrift": _feature_drift,
    "PercentOfNulls": _null_shares,
    "NewCategoryTrainTest": _new_categories,
    "MixedNulls": _mixed_nulls,
    "StringMismatch": _mismatches,
    "LabelDrift": _label_drift,
    "NewLabelTrainTest": _new_labels,
    "PredictionDrift": _prediction_drift,
    "SingleDatasetPerformance": _performance,
    **REDUCERS,
    "EstimatedPerformance": _estimates,
}

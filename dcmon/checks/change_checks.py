"""The checks of dcmon's own that compare a window with the reference, in limits (statistics.changes).

Each has a number for each feature, or for each output: above 1, the change is more than noise, and large enough to
matter. checks.runner runs them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from dcmon.checks import no_value_reasons, parameters
from dcmon.checks.check_run import Reduced
from dcmon.checks.dataset_schema import DatasetSchema
from dcmon.checks.descriptions import with_changes, with_feature_changes
from dcmon.checks.kinds import MEAN_DRIFT, CheckKind
from dcmon.checks.no_value_reasons import NoValue
from dcmon.states import ResultState
from dcmon.statistics import changes, output_changes
from dcmon.statistics.columns import Rows
from dcmon.statistics.errors import InvalidParameter
from dcmon.statistics.features import Values
from dcmon.statistics.noise import MIN_ROWS, ErrorBudget, needed_rows


class ChangeRun(Protocol):
    """What a run of a check knows of itself."""

    @property
    def kind(self) -> CheckKind:
        """The check."""

    @property
    def schema(self) -> DatasetSchema:
        """The columns of the version."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The parameters of the check."""

    def chosen(self) -> list[str]:
        """Return the features to read."""


def _drift(run: ChangeRun, current: Rows, reference: Rows) -> Reduced:
    names, rate = run.chosen(), _error_rate(run)
    _require_enough(current, reference, len(names), rate)
    distances = changes.distances(current, reference, names, rate)
    values: Values = {name: item.ratio for name, item in distances.items()}
    blocks = changes.block_noise(reference, names)
    mean = None if blocks is None else changes.mean_drift(distances, blocks, len(current), len(reference))
    return with_feature_changes(Reduced({"Max Drift": _largest(values), MEAN_DRIFT: mean}, values), current, reference)


def _by_feature(name: str, compute: Callable[[Rows, Rows, Iterable[str], float], Values]) -> "Reducer":
    def reduce(run: ChangeRun, current: Rows, reference: Rows) -> Reduced:
        _require_min_rows(current, reference)
        values = compute(current, reference, run.chosen(), _error_rate(run))
        return with_feature_changes(Reduced({name: _largest(values)}, values), current, reference)

    return reduce


def _prediction_drift(run: ChangeRun, current: Rows, reference: Rows) -> Reduced:
    n_outputs = 1 + len(run.schema.classes or ())
    _require_enough(current, reference, n_outputs, _error_rate(run))
    values = output_changes.prediction_drifts(current, reference, run.schema.classes, _error_rate(run))
    return with_changes(
        Reduced({"Max Prediction Drift": _largest(values)}, values),
        lambda names: output_changes.describe_outputs(current, reference, run.schema.classes, names),
    )


def _score_falls(run: ChangeRun, current: Rows, reference: Rows) -> Reduced:
    _require_min_rows(current, reference)
    values = output_changes.score_falls(current, reference, run.schema.classes, _error_rate(run))
    return with_changes(
        Reduced({"Max Score Fall": _largest(values)}, values),
        lambda names: output_changes.describe_scores(current, reference, run.schema.classes, names),
    )


Reducer = Callable[[ChangeRun, Rows, Rows], Reduced]
REDUCERS: Mapping[str, Reducer] = {
    "DriftBeyondNoise": _drift,
    "NullRise": _by_feature("Max Null Rise", changes.null_rises),
    "RepeatedValueRise": _by_feature("Max Repeated Value Rise", changes.repeated_value_rises),
    "NewValueRise": _by_feature("Max New Value Rise", changes.new_value_rises),
    "PredictionDriftBeyondNoise": _prediction_drift,
    "ScoreFall": _score_falls,
}


def _largest(values: Values) -> float | None:
    return max((value for value in values.values() if value is not None), default=None)


def _error_rate(run: ChangeRun) -> float:
    rate = run.arguments.get("error_rate", parameters.defaults(run.kind)["error_rate"])
    if not isinstance(rate, int | float) or not 0 < rate < 0.5:
        raise InvalidParameter(f"error_rate is a number between 0 and 0.5, not {rate!r}.")
    return float(rate)


def _require_min_rows(current: Rows, reference: Rows) -> None:
    if min(len(current), len(reference)) < MIN_ROWS:
        raise _too_few(current, reference, MIN_ROWS)


def _require_enough(current: Rows, reference: Rows, n_tests: int, error_rate: float) -> None:
    """Raise NoValue if noise alone may reach too large a distance."""
    needed = needed_rows(len(reference), ErrorBudget(max(1, n_tests), error_rate), changes.MAX_NOISE)
    if needed is None or len(current) < needed or len(reference) < MIN_ROWS:
        raise _too_few(current, reference, needed)


def _too_few(current: Rows, reference: Rows, needed: int | None) -> NoValue:
    return NoValue(ResultState.INSUFFICIENT, no_value_reasons.too_few_for_noise(len(current), len(reference), needed))

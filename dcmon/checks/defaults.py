"""The default checks, monitors and alert rules of a model, named as in the SDK."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from dcmon.checks.catalogue import for_config
from dcmon.checks.kinds import PACKAGE, PERFORMANCE, CheckKind
from dcmon.errors import UnknownChoice
from dcmon.operators import Operator
from dcmon.severity import Severity
from dcmon.states import TaskType
from dcmon.windows import Frequency

# How far the graph of a monitor looks back by default.
LOOKBACK: Mapping[str, timedelta] = {
    Frequency.HOUR: timedelta(days=7),
    Frequency.DAY: timedelta(days=30),
    Frequency.WEEK: timedelta(days=90),
    Frequency.MONTH: timedelta(days=365),
}


@dataclass(frozen=True)
class DefaultMonitor:
    """A default monitor.

    `lookback`: how far its graph on the SDK's dashboard looks back.
    """

    name: str
    show_on_dashboard: bool
    frequency: str
    lookback: timedelta
    aggregation_window: int = 1
    additional_kwargs: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class DefaultRule:
    """A default alert rule."""

    threshold: float
    severity: Severity
    operator: Operator = Operator.GREATER_THAN


@dataclass(frozen=True)
class DefaultCheck:
    """A default check.

    `monitor`, `rule`: None if the check has no default monitor, or no default rule.
    """

    name: str
    kind: CheckKind
    params: Mapping[str, Any] = field(default_factory=dict)
    monitor: DefaultMonitor | None = None
    rule: DefaultRule | None = None

    @property
    def config(self) -> dict[str, Any]:
        """The check's config as deepchecks writes it, without parameters that have their default value."""
        names = {"module_name": self.kind.module_name, "class_name": self.kind.class_name}
        return {**names, "params": dict(self.params)}


_MIN_SAMPLES = {"min_samples": 100}
_WEIGHTED = {"check_conf": {"aggregation method": ["l3_weighted"]}, "res_conf": None}


def for_task(task_type: str, frequency: str = Frequency.DAY) -> list[DefaultCheck]:
    """Return the default checks of a model, in the SDK's order.

    There are 9 for classification and 8 for regression. Raises InvalidInput for an unknown task type or frequency.
    """
    if task_type not in tuple(TaskType):
        raise UnknownChoice("task", task_type, TaskType)
    if frequency not in LOOKBACK:
        raise UnknownChoice("frequency", frequency, LOOKBACK)
    monitored = partial(DefaultMonitor, frequency=frequency, lookback=LOOKBACK[frequency])
    shown, hidden = partial(monitored, show_on_dashboard=True), partial(monitored, show_on_dashboard=False)
    checks = [
        _check(
            "FeatureDrift",
            shown("Aggregated Feature Drift", additional_kwargs=_WEIGHTED),
            DefaultRule(0.15, Severity.HIGH),
            _MIN_SAMPLES,
            name="Feature Drift",
        ),
        _check("PredictionDrift", shown("Prediction Drift"), DefaultRule(0.2, Severity.HIGH), _MIN_SAMPLES),
        _check(
            "LabelDrift",
            shown("Label Drift"),
            DefaultRule(0.2, Severity.CRITICAL),
            {"ignore_na": True, **_MIN_SAMPLES},
        ),
        _check("PercentOfNulls", name="Percent Of Nulls"),
        _check("NewCategoryTrainTest", shown("New Category Train-Test"), DefaultRule(0.01, Severity.MEDIUM)),
        _check("MixedNulls", hidden("Mixed Nulls"), DefaultRule(0.0, Severity.MEDIUM)),
        _check("StringMismatch", hidden("String Mismatch"), DefaultRule(0.0, Severity.MEDIUM)),
    ]
    performance = shown("Performance")
    if task_type == TaskType.REGRESSION:
        return [*checks, _check(PERFORMANCE, performance, params={"scorers": ["RMSE"]})]
    return [
        *checks,
        _check(PERFORMANCE, performance, params={"scorers": ["Accuracy"]}),
        _check("NewLabelTrainTest", hidden("New Label Train-Test"), DefaultRule(0.01, Severity.HIGH)),
    ]


def _check(
    class_name: str,
    monitor: DefaultMonitor | None = None,
    rule: DefaultRule | None = None,
    params: Mapping[str, Any] | None = None,
    *,
    name: str = "",
) -> DefaultCheck:
    """Return a default check of deepchecks.

    `name`: by default the name of its monitor, or of its class if the check has no monitor.
    """
    kind = for_config(PACKAGE, class_name)
    return DefaultCheck(name or (monitor.name if monitor else class_name), kind, params or {}, monitor, rule)

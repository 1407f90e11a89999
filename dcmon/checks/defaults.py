"""The checks, monitors and alert rules that a new model gets: those that the SDK creates, under the same names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Literal

from dcmon.checks.catalogue import for_config
from dcmon.checks.kinds import CheckKind
from dcmon.errors import InvalidInput
from dcmon.severity import Severity

Frequency = Literal["HOUR", "DAY", "WEEK", "MONTH"]

LOOKBACK: Mapping[str, timedelta] = {
    "HOUR": timedelta(days=7),
    "DAY": timedelta(days=30),
    "WEEK": timedelta(days=90),
    "MONTH": timedelta(days=365),
}


@dataclass(frozen=True)
class DefaultMonitor:
    """What a default monitor is made of; `lookback` is how far the SDK's dashboards look back."""

    name: str
    show_on_dashboard: bool
    frequency: str
    lookback: timedelta
    aggregation_window: int = 1
    additional_kwargs: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class DefaultRule:
    """What a default alert rule is made of."""

    threshold: float
    severity: Severity
    operator: Literal["greater_than"] = "greater_than"


@dataclass(frozen=True)
class DefaultCheck:
    """A default check, with the monitor and the rule on it, if any."""

    name: str
    kind: CheckKind
    params: Mapping[str, Any] = field(default_factory=dict)
    monitor: DefaultMonitor | None = None
    rule: DefaultRule | None = None

    @property
    def config(self) -> dict[str, Any]:
        """The check's config as deepchecks writes it, parameters at their default left out."""
        names = {"module_name": self.kind.module_name, "class_name": self.kind.class_name}
        return {**names, "params": dict(self.params)}


_WEIGHTED = {"check_conf": {"aggregation method": ["l3_weighted"]}, "res_conf": None}


def for_task(task_type: str, frequency: str = "DAY") -> list[DefaultCheck]:
    """Default checks of a model, in the SDK's order: 9 for classification, 8 for regression.

    Raises InvalidInput for an unknown task type or frequency.
    """
    if task_type not in ("regression", "binary", "multiclass"):
        raise InvalidInput(f"There is no task type {task_type!r}. Use regression, binary or multiclass.")
    if frequency not in LOOKBACK:
        raise InvalidInput(f"There is no frequency {frequency!r}. Use {', '.join(LOOKBACK)}.")
    check, enough = partial(_check, frequency), {"min_samples": 100}
    checks = [
        check(
            "Feature Drift",
            "FeatureDrift",
            enough,
            DefaultRule(0.15, Severity.HIGH),
            monitor="Aggregated Feature Drift",
            shown=True,
            additional_kwargs=_WEIGHTED,
        ),
        check("Prediction Drift", "PredictionDrift", enough, DefaultRule(0.2, Severity.HIGH), shown=True),
        check(
            "Label Drift", "LabelDrift", {"ignore_na": True, **enough}, DefaultRule(0.2, Severity.CRITICAL), shown=True
        ),
        check("Percent Of Nulls", "PercentOfNulls"),
        check("New Category Train-Test", "NewCategoryTrainTest", None, DefaultRule(0.01, Severity.MEDIUM), shown=True),
        check("Mixed Nulls", "MixedNulls", None, DefaultRule(0.0, Severity.MEDIUM)),
        check("String Mismatch", "StringMismatch", None, DefaultRule(0.0, Severity.MEDIUM)),
    ]
    if task_type == "regression":
        return [*checks, check("Performance", "SingleDatasetPerformance", {"scorers": ["RMSE"]}, shown=True)]
    return [
        *checks,
        check("Performance", "SingleDatasetPerformance", {"scorers": ["Accuracy"]}, shown=True),
        check("New Label Train-Test", "NewLabelTrainTest", None, DefaultRule(0.01, Severity.HIGH)),
    ]


def _check(
    frequency: str,
    name: str,
    class_name: str,
    params: Mapping[str, Any] | None = None,
    rule: DefaultRule | None = None,
    *,
    monitor: str | None = None,
    shown: bool = False,
    additional_kwargs: Mapping[str, Any] | None = None,
) -> DefaultCheck:
    """A check with a monitor when it is shown on the dashboard or has a rule; the monitor bears the check's name."""
    watched = DefaultMonitor(
        monitor or name, shown, frequency, LOOKBACK[frequency], additional_kwargs=additional_kwargs
    )
    kind = for_config("deepchecks.tabular.checks", class_name)
    return DefaultCheck(name, kind, params or {}, watched if shown or rule else None, rule)

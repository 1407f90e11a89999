"""Check that a condition is about values that its monitor has."""

from collections.abc import Sequence

from dcmon import errors
from dcmon.alerting.rule_conditions import ChangeBase, Condition, Target
from dcmon.checks import catalogue, estimated_metrics
from dcmon.checks.data_flow import METRICS, is_data_flow
from dcmon.db.tables.org import Check, Monitor
from dcmon.nearest import meant


def has_baseline(check: Check) -> bool:
    """Return True if a check has a value on the reference alone.

    Checks that compare with the reference, and checks on the flow of rows, have none.
    """
    return not check.needs_reference and not is_data_flow(check)


def require(monitor: Monitor, check: Check, condition: Condition) -> None:
    """Require that a condition can have a verdict on windows of this monitor. Raises InvalidInput."""
    if condition.against == ChangeBase.REFERENCE and not has_baseline(check):
        reason = "counts arriving rows" if is_data_flow(check) else "already compares with the reference"
        raise errors.InvalidInput(
            f"Monitor {monitor.name!r} has no value on the reference, because its check {check.class_name} {reason}: "
            "leave out 'against reference'."
        )
    if catalogue.uses_late_labels(check.module_name, check.class_name):
        _require_estimated_metric(monitor, check, condition.target)
    if is_data_flow(check):
        _require_metric(condition.target.name, (monitor.additional_kwargs or {}).get("res_conf") or ())


def _require_estimated_metric(monitor: Monitor, check: Check, target: Target) -> None:
    """Require that a rule on estimated scores names its metric. Raises InvalidInput.

    Otherwise "< 0.8", which is meant for a score, would also be true of each gap.
    """
    conf = (monitor.additional_kwargs or {}).get("check_conf") or {}
    known = estimated_metrics.metric_names(conf.get("scorer") or check.params.get("scorers"))
    if target.name is None or not target.name.lower().startswith(tuple(name.lower() for name in known)):
        problem = f"There is no metric {target.name!r}.{meant(target.name, known)} " if target.name else ""
        raise errors.InvalidInput(
            f"{problem}Name the metric that the rule is about, like '{known[-1]} < -0.05': one of {', '.join(known)}."
        )


def _require_metric(name: str | None, metrics: Sequence[str]) -> None:
    """Require that a rule on several metrics names one. Raises InvalidInput.

    Otherwise "< 100", which is meant for rows, would also be true of almost every lag.
    """
    known = metrics or METRICS
    if name is None and len(metrics) != 1:
        raise errors.InvalidInput(
            f"Name the metric that the rule is about, like 'rows < 100': one of {', '.join(known)}."
        )
    if name is not None and name.lower() not in known:
        raise errors.InvalidInput(
            f"The flow has no metric {name!r}.{meant(name, known)} A rule is about one of {', '.join(known)}."
        )

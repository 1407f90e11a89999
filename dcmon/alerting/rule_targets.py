"""Check that a condition is about values that its monitor has."""

from collections.abc import Sequence

from dcmon import errors
from dcmon.alerting.rule_conditions import REFERENCE, Condition
from dcmon.checks.data_flow import METRICS, is_data_flow
from dcmon.db.tables.org import Check, Monitor


def has_baseline(check: Check) -> bool:
    """Return True if a check has a value on the reference alone: it neither compares with it nor counts rows."""
    return not check.needs_reference and not is_data_flow(check)


def require(monitor: Monitor, check: Check, condition: Condition) -> None:
    """Raises InvalidInput for a condition that can have no verdict on any window of this monitor."""
    if condition.against == REFERENCE and not has_baseline(check):
        why = "counts arriving rows" if is_data_flow(check) else "already compares with the reference"
        raise errors.InvalidInput(
            f"Monitor {monitor.name!r} has no value on the reference, because its check {check.class_name} {why}: "
            "leave out 'against reference'."
        )
    if is_data_flow(check):
        _require_metric(condition.target.name, (monitor.additional_kwargs or {}).get("res_conf") or ())


def _require_metric(named: str | None, chosen: Sequence[str]) -> None:
    """Raises InvalidInput for a rule on several metrics that names none: "< 100" would be true of any lag."""
    known = chosen or METRICS
    if named is None and len(chosen) != 1:
        raise errors.InvalidInput(
            f"Name the metric that the rule is about, like 'rows < 100': one of {', '.join(known)}."
        )
    if named is not None and named.lower() not in known:
        raise errors.InvalidInput(f"The flow has no metric {named!r}: a rule is about one of {', '.join(known)}.")

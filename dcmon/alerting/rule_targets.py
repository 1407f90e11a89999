"""What a rule may be about: the numbers that its monitor has, and whether it has a value of the reference too."""

from collections.abc import Sequence

from dcmon import errors
from dcmon.alerting.rule_conditions import REFERENCE, Condition
from dcmon.checks.data_flow import METRICS, is_data_flow
from dcmon.db.tables.org import Check, Monitor


def has_baseline(check: Check) -> bool:
    """Whether a check says something of the reference alone: neither what compares with it does, nor what counts."""
    return not check.needs_reference and not is_data_flow(check)


def require(monitor: Monitor, check: Check, condition: Condition) -> None:
    """Raises InvalidInput for a condition that no window of this monitor could have a verdict on."""
    if condition.against == REFERENCE and not has_baseline(check):
        why = "counts what comes in" if is_data_flow(check) else "compares with the reference already"
        raise errors.InvalidInput(
            f"Monitor {monitor.name!r} has no value of the reference, its check {check.class_name} {why}: "
            "leave out 'against reference'."
        )
    if is_data_flow(check):
        _require_said(condition.target.name, (monitor.additional_kwargs or {}).get("res_conf") or ())


def _require_said(named: str | None, chosen: Sequence[str]) -> None:
    """Raises InvalidInput for a rule that does not say which number it is about: "< 100" would be true of any lag."""
    known = chosen or METRICS
    if named is None and len(chosen) != 1:
        raise errors.InvalidInput(f"Say which metric the rule is about, like 'rows < 100': one of {', '.join(known)}.")
    if named is not None and named.lower() not in known:
        raise errors.InvalidInput(f"The flow has no metric {named!r}: a rule is about one of {', '.join(known)}.")

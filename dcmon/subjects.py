"""What a rule may be about: the numbers that its monitor has, and whether it has a value of the reference too."""

from collections.abc import Sequence

from dcmon import errors
from dcmon.checks.catalogue import DATA_FLOW
from dcmon.criteria import REFERENCE, Condition
from dcmon.tables.org import Check, Monitor

METRICS = ("rows", "labels", "label ratio", "quarantined", "quarantine share", "lag")  # of the flow


def is_flow(check: Check) -> bool:
    """Whether a check counts what comes in."""
    return (check.module_name, check.class_name) == (DATA_FLOW.module_name, DATA_FLOW.class_name)


def has_baseline(check: Check) -> bool:
    """Whether a check says something of the reference alone: neither what compares with it does, nor what counts."""
    return not check.needs_reference and not is_flow(check)


def require(monitor: Monitor, check: Check, condition: Condition) -> None:
    """Raises InvalidInput for a condition that no window of this monitor could have a verdict on."""
    if condition.against == REFERENCE and not has_baseline(check):
        why = "counts what comes in" if is_flow(check) else "compares with the reference already"
        raise errors.InvalidInput(
            f"Monitor {monitor.name!r} has no value of the reference, its check {check.class_name} {why}: "
            "leave out 'against reference'."
        )
    if is_flow(check):
        _require_said(condition.subject.name, (monitor.additional_kwargs or {}).get("res_conf") or ())


def require_metrics(chosen: Sequence[str]) -> None:
    """Raises InvalidInput for a metric that there is not."""
    for each in chosen:
        if each not in METRICS:
            raise errors.InvalidInput(f"The flow has no metric {each!r}: it has {', '.join(METRICS)}.")


def _require_said(named: str | None, chosen: Sequence[str]) -> None:
    """Raises InvalidInput for a rule that does not say which number it is about: "< 100" would be true of any lag."""
    known = chosen or METRICS
    if named is None and len(chosen) != 1:
        raise errors.InvalidInput(f"Say which metric the rule is about, like 'rows < 100': one of {', '.join(known)}.")
    if named is not None and named.lower() not in known:
        raise errors.InvalidInput(f"The flow has no metric {named!r}: a rule is about one of {', '.join(known)}.")

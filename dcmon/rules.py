"""Alert rules: a threshold on a monitor's value, with a severity."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.tables.org import AlertRule, Monitor

SIGNS = {
    ">": "greater_than",
    ">=": "greater_than_equals",
    "<": "less_than",
    "<=": "less_than_equals",
    "==": "equals",
    "=": "equals",
    "!=": "not_equals",
}
COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "greater_than": operator.gt,
    "greater_than_equals": operator.ge,
    "less_than": operator.lt,
    "less_than_equals": operator.le,
    "equals": operator.eq,
    "not_equals": operator.ne,
}
SEVERITIES = ("low", "medium", "high", "critical")


@dataclass(frozen=True)
class Condition:
    """A comparison with a threshold. `operator` is one of the values of SIGNS."""

    operator: str
    threshold: float


def parse(text: str) -> Condition:
    """A condition as a person writes it: "> 0.2". Raises InvalidInput."""
    match = re.fullmatch(r"\s*(>=|<=|==|!=|>|<|=)\s*([-+.\deE]+)\s*", text)
    try:
        return Condition(SIGNS[match[1]], float(match[2]))  # type: ignore[index]
    except (TypeError, ValueError):
        raise errors.InvalidInput(f"{text!r} is no condition. It looks like '> 0.2' or '<= 0.9', in quotes.") from None


def is_violated(value: float, operator_name: str, threshold: float) -> bool:
    """Whether a value breaks a rule."""
    return COMPARE[operator_name](value, threshold)


def violated(rules: Sequence[AlertRule], metrics: Mapping[str, float]) -> list[str]:
    """The rules that metrics break, each as severity and metric."""
    return [
        f"{rule.severity}: {metric}"
        for rule in rules
        for metric, value in metrics.items()
        if is_violated(value, rule.operator, rule.threshold)
    ]


def create(
    session: Session, monitor_id: int, condition: Condition, severity: str = "medium", *, is_active: bool = True
) -> AlertRule:
    """Add a rule to a monitor. Raises InvalidInput, or NotFound for the monitor."""
    if condition.operator not in SIGNS.values():
        known = ", ".join(dict.fromkeys(SIGNS.values()))
        raise errors.InvalidInput(f"There is no operator {condition.operator!r}: it is one of {known}.")
    if severity not in SEVERITIES:
        raise errors.InvalidInput(f"There is no severity {severity!r}: it is one of {', '.join(SEVERITIES)}.")
    if not isfinite(condition.threshold):
        raise errors.InvalidInput("A threshold is a finite number.")
    if session.get(Monitor, monitor_id) is None:
        raise errors.NotFound(what="monitor", name=monitor_id)
    rule = AlertRule(
        monitor_id=monitor_id,
        operator=condition.operator,
        threshold=condition.threshold,
        severity=severity,
        is_active=is_active,
    )
    session.add(rule)
    session.flush()
    return rule


def get(session: Session, rule_id: int) -> AlertRule:
    """The rule of that id. Raises NotFound."""
    rule = session.get(AlertRule, rule_id)
    if rule is None:
        raise errors.NotFound(what="alert rule", name=rule_id)
    return rule


def of_monitor(session: Session, monitor_id: int) -> Sequence[AlertRule]:
    """The rules of a monitor, oldest first."""
    return session.scalars(select(AlertRule).where(AlertRule.monitor_id == monitor_id).order_by(AlertRule.id)).all()


def delete(session: Session, rule: AlertRule) -> None:
    """Delete a rule with its alerts."""
    session.delete(rule)
    session.flush()

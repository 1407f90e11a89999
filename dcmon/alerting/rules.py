"""Alert rules: create, change, find and delete them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import isfinite
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon import severity as severities
from dcmon.alerting import rule_names, rule_targets
from dcmon.alerting.condition_parser import parse, to_text
from dcmon.alerting.rule_conditions import Condition
from dcmon.alerting.state_machine import MissingValuePolicy, Policy
from dcmon.db.tables.org import Alert, AlertRule, Check, Model, Monitor
from dcmon.notifications import closing
from dcmon.operators import COMPARISONS, Operator
from dcmon.severity import Severity

__all__ = ["Condition", "parse"]

MAX_NAME_LENGTH = 100
MAX_WINDOWS = 1000
MAX_ROWS = 2_000_000_000


@dataclass(frozen=True)
class Change:
    """The settings of a new or changed rule. None: unchanged, or the default. An empty name removes the name."""

    condition: Condition | None = None
    severity: str | None = None
    warn_severity: str | None = None
    name: str | None = None
    for_windows: int | None = None
    keep_firing: int | None = None
    min_n: int | None = None
    no_data: str | None = None
    on_error: str | None = None
    is_inhibited: bool | None = None
    is_active: bool | None = None


def create(
    session: Session,
    monitor_id: int,
    condition: Condition,
    severity: str = Severity.MEDIUM,
    *,
    more: Change | None = None,
) -> AlertRule:
    """Add a rule to a monitor. Raises InvalidInput, Conflict, or NotFound for the monitor."""
    require_judged(session, monitor_id, condition)
    rule = _default_rule(monitor_id)
    _require(condition)
    _change(session, rule, Change(condition=condition, severity=severity))
    if more is not None:
        _change(session, rule, more)
    rule.revision = 1
    session.add(rule)
    session.flush()
    return rule


def _default_rule(monitor_id: int) -> AlertRule:
    """Return a rule with the default settings, before its condition is set."""
    return AlertRule(
        monitor_id=monitor_id, severity=Severity.MEDIUM, is_active=True, revision=0, for_windows=1, keep_firing=0,
        min_n=0, no_data=MissingValuePolicy.KEEP, on_error=MissingValuePolicy.KEEP, is_inhibited=True,
        operator=Operator.GREATER_THAN, threshold=0,
    )  # fmt: skip


def change(session: Session, rule: AlertRule, wanted: Change) -> bool:
    """Change a rule. Return True if it judges differently now. Raises InvalidInput or Conflict."""
    before = rule.revision
    if wanted.condition is not None:
        require_judged(session, rule.monitor_id, wanted.condition)
    _change(session, rule, wanted)
    session.flush()
    return rule.revision != before


def require_judged(session: Session, monitor_id: int, condition: Condition) -> None:
    """Require that a monitor has the values of a condition. Raises InvalidInput, or NotFound for the monitor."""
    monitor = session.get(Monitor, monitor_id)
    if monitor is None:
        raise errors.MonitorNotFound(name=monitor_id)
    check = session.get_one(Check, monitor.check_id)
    rule_targets.require(monitor, check, condition)
    rule_names.require(session, monitor, check, condition.target)


def _change(session: Session, rule: AlertRule, wanted: Change) -> None:
    if wanted.name:
        _require_free(session, rule, wanted.name)
    if wanted.name is not None:
        rule.name = wanted.name or None
    apply(rule, wanted)


def apply(rule: AlertRule, wanted: Change) -> None:
    """Apply a change, except the name, to a rule. Its revision grows when it judges differently."""
    if wanted.is_inhibited is not None:
        rule.is_inhibited = wanted.is_inhibited
    values = _values(wanted)
    severity = values.get("severity", rule.severity)
    condition = wanted.condition or condition_of(rule)
    _require_below(condition, severity, wanted.warn_severity)
    values["warn_severity"] = _warn_severity(condition, severity, wanted.warn_severity or rule.warn_severity)
    if all(getattr(rule, name) == value for name, value in values.items()):
        return
    for name, value in values.items():
        setattr(rule, name, value)
    rule.revision += 1


def _values(wanted: Change) -> dict[str, Any]:
    """Return the columns that decide how a rule judges. Raises InvalidInput."""
    settings: dict[str, Any] = {
        "severity": wanted.severity,
        "for_windows": wanted.for_windows,
        "keep_firing": wanted.keep_firing,
        "min_n": wanted.min_n,
        "no_data": wanted.no_data,
        "on_error": wanted.on_error,
        "is_active": wanted.is_active,
    }
    columns = {name: value for name, value in settings.items() if value is not None}
    _require_values(columns)
    if wanted.condition is not None:
        _require(wanted.condition)
        columns["operator"], columns["threshold"] = wanted.condition.operator, wanted.condition.threshold
        columns["condition"] = None if wanted.condition.is_plain else to_text(wanted.condition)
    return columns


def _require_values(values: Mapping[str, Any]) -> None:
    if "severity" in values:
        severities.parse(values["severity"])
    for name in ("no_data", "on_error"):
        if name in values and values[name] not in list(MissingValuePolicy):
            raise errors.UnknownChoice("verdict", values[name], MissingValuePolicy)
    for name, least in (("for_windows", 1), ("keep_firing", 0)):
        if not least <= values.get(name, least) <= MAX_WINDOWS:
            raise errors.InvalidInput(f"A rule waits for {least} to {MAX_WINDOWS} windows, not {values[name]}.")
    if not 0 <= values.get("min_n", 0) <= MAX_ROWS:
        raise errors.InvalidInput(f"min_n is a number of rows from 0 to {MAX_ROWS:,}, not {values['min_n']}.")


def _require_below(condition: Condition, severity: str, warn_severity: str | None) -> None:
    """Require that a severity fits the rule's warning level. Raises InvalidInput."""
    if warn_severity is None:
        return
    warn_rank = severities.parse(warn_severity).rank
    if condition.warn is None:
        raise errors.InvalidInput(
            f"The rule {to_text(condition)!r} has no warning level, so it can't have a severity for warnings. Add a"
            " level, like '> 0.3 warn 0.2'."
        )
    if warn_rank >= Severity(severity).rank > 0:
        raise errors.InvalidInput(f"The severity of a warning must be below the rule's own, which is {severity}.")


def without_warning(condition: Condition) -> Condition:
    """Return the condition without its warning level."""
    return replace(condition, warn=None, warn_upper=None)


def _warn_severity(condition: Condition, severity: str, wanted: str | None) -> str | None:
    """Return the severity of a rule's warning level.

    By default it is the severity below the rule's own.
    """
    if condition.warn is None:
        return None
    rank = Severity(severity).rank
    if rank == 0:
        raise errors.InvalidInput("A rule with a warning level needs a severity above low.")
    if wanted is None or Severity(wanted).rank >= rank:
        return list(Severity)[rank - 1]
    return wanted


def _require(condition: Condition) -> None:
    if condition.operator not in COMPARISONS and condition.upper is None:
        raise errors.UnknownChoice("operator", condition.operator, COMPARISONS)
    if not isfinite(condition.threshold):
        raise errors.InvalidInput("A threshold must be a finite number.")


def require_name(name: str) -> None:
    """Raise InvalidInput if a rule can't have a name."""
    if not name.strip() or len(name) > MAX_NAME_LENGTH or name.strip().isdigit():
        raise errors.InvalidInput(f"A rule's name has 1 to {MAX_NAME_LENGTH} characters, and is not a number.")


def _require_free(session: Session, rule: AlertRule, name: str) -> None:
    require_name(name)
    with session.no_autoflush:
        same_named_id = session.scalar(select(AlertRule.id).where(AlertRule.name == name))
    if same_named_id is not None and same_named_id != rule.id:
        raise errors.Conflict(f"There is already a rule {name!r}. Choose another name.")


@lru_cache(maxsize=1000)
def parse_stored(text: str) -> Condition:
    """Parse a condition as it is stored; conditions that were parsed lately are cached. Raises InvalidInput."""
    return parse(text)


def condition_of(rule: AlertRule) -> Condition:
    """Return a rule's condition."""
    return Condition(rule.operator, rule.threshold) if rule.condition is None else parse_stored(rule.condition)


def condition_text(rule: AlertRule) -> str:
    """Return a rule's condition as text, like "> 0.2"."""
    return to_text(condition_of(rule))


def policy(rule: AlertRule) -> Policy:
    """Return the policy by which a rule judges windows."""
    return Policy(
        condition_of(rule),
        rule.severity,
        rule.warn_severity or rule.severity,
        for_windows=rule.for_windows,
        keep_firing=rule.keep_firing,
        min_n=rule.min_n,
        no_data=rule.no_data,
        on_error=rule.on_error,
    )


def preview(rule: AlertRule | None, wanted: Change) -> Policy:
    """Return the policy that a rule would have after a change; nothing is stored. Raises InvalidInput.

    `rule`: None for a new rule.
    """
    if rule is None:
        changed = _default_rule(monitor_id=0)
    else:
        names = [column.key for column in AlertRule.__table__.columns if column.key != "id"]
        changed = AlertRule(**{name: getattr(rule, name) for name in names})
    apply(changed, wanted)
    return policy(changed)


def get(session: Session, rule_id: int) -> AlertRule:
    """Return the rule with this id. Raises RuleNotFound."""
    rule = session.get(AlertRule, rule_id)
    if rule is None:
        raise errors.RuleNotFound(name=rule_id)
    return rule


def find(session: Session, name: str) -> AlertRule:
    """Find a rule by its id, its name, or its monitor's name.

    A monitor's name is enough when the monitor has only one rule. Raises RuleNotFound or InvalidInput.
    """
    statement = (
        select(AlertRule, Monitor.name, Model.name)
        .join(Monitor, Monitor.id == AlertRule.monitor_id)
        .join(Check, Check.id == Monitor.check_id)
        .join(Model, Model.id == Check.model_id)
        .order_by(AlertRule.id)
    )
    rows = session.execute(statement).all()
    named = [rule for rule, _, _ in rows if name in (str(rule.id), rule.name)]
    matches = named or [rule for rule, monitor, model in rows if name in (monitor, f"{model}/{monitor}")]
    if not matches:
        known = [rule.name or f"{model}/{monitor}" for rule, monitor, model in rows]
        raise errors.RuleNotFound(name=name, known=known)
    if len(matches) > 1:
        listed = ", ".join(f"{rule.id} ({condition_text(rule)})" for rule in matches)
        raise errors.InvalidInput(f"There are {len(matches)} rules on {name!r}. Give the id of one: {listed}.")
    return matches[0]


def for_monitor(session: Session, monitor_id: int) -> Sequence[AlertRule]:
    """Return the rules of a monitor, oldest first."""
    return session.scalars(select(AlertRule).where(AlertRule.monitor_id == monitor_id).order_by(AlertRule.id)).all()


def lock(session: Session, rule_id: int) -> AlertRule:
    """Lock a rule's row until the end of the transaction, and read it again.

    So two workers never change alerts of the same rule at the same time.
    """
    return session.scalars(
        select(AlertRule).where(AlertRule.id == rule_id).with_for_update().execution_options(populate_existing=True)
    ).one()


def lock_all(session: Session, rule_ids: Collection[int]) -> Sequence[AlertRule]:
    """Lock the rows of rules as `lock` does; return those that exist, in order of monitor and rule id."""
    statement = select(AlertRule).where(AlertRule.id.in_(rule_ids)).order_by(AlertRule.monitor_id, AlertRule.id)
    return session.scalars(statement.with_for_update().execution_options(populate_existing=True)).all()


def delete(session: Session, rule: AlertRule) -> None:
    """Delete a rule with its alerts."""
    # Locked, so that no worker opens an alert of the rule after its closing notifications are written.
    session.execute(select(AlertRule.id).where(AlertRule.id == rule.id).with_for_update())
    closing.write_notifications(session, Alert.rule_id == rule.id)
    session.delete(rule)
    session.flush()

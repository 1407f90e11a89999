"""Add and change alert rules, and judge the stored results by them in the same transaction."""

from dataclasses import replace
from typing import NamedTuple

from sqlalchemy.orm import Session

from dcmon.alerting import judging, rules
from dcmon.alerting.change_context import Actor
from dcmon.alerting.rule_conditions import Condition
from dcmon.alerting.rules import Change
from dcmon.db.tables.org import AlertRule
from dcmon.severity import Severity


class AddedRule(NamedTuple):
    """A new rule, and the number of notifications that judging by it has written."""

    rule: AlertRule
    notifications: int


def add(session: Session, actor: Actor, monitor_id: int, condition: Condition, settings: Change) -> AddedRule:
    """Add a rule to a monitor, and judge the stored results by it.

    `settings`: without the condition; the default severity is medium. Raises InvalidInput, Conflict, or NotFound for
    the monitor.
    """
    severity = Severity.MEDIUM if settings.severity is None else settings.severity
    rule = rules.create(session, monitor_id, condition, severity, more=replace(settings, severity=None))
    return AddedRule(rule, judging.rejudge_rule(session, rule, actor.context()))


def change(session: Session, actor: Actor, rule: AlertRule, wanted: Change) -> int:
    """Change a rule; if it judges differently now, judge open alerts and the newest window by it.

    Returns the number of notifications written. Resolved alerts do not change. Raises InvalidInput or Conflict.
    """
    if not rules.change(session, rule, wanted):
        return 0
    return judging.rejudge_rule(session, rule, actor.context("the rule was changed"))

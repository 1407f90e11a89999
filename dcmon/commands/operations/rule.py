"""Add, change and delete rules, and judge stored windows by them."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dcmon.alerting import alert_views, condition_parser, judging, rules
from dcmon.alerting.change_context import ChangeContext
from dcmon.alerting.rules import Change
from dcmon.commands.shared.arguments import operator_name
from dcmon.commands.views import rule as view
from dcmon.db import work_queue
from dcmon.monitoring import monitors
from dcmon.output import Fields, Page
from dcmon.severity import Severity

if TYPE_CHECKING:
    from dcmon.app import App


def parse_condition(text: str | None) -> Any:
    """Parse a condition; None stays None. Raises InvalidInput."""
    return None if text is None else condition_parser.parse(text)


def add(app: "App", monitor: str, condition: str, more: Change) -> Page:
    """Add a rule and judge the stored results by it; `more` are its other settings.

    A remark warns of a name in the condition that no stored result has. Raises MonitorNotFound or InvalidInput.
    """
    parsed = condition_parser.parse(condition)
    org, alerting = app.organization(), app.settings.alerts
    with app.org(org) as session:
        monitor_id = monitors.find(session, monitor).id
        severity, settings = more.severity or Severity.MEDIUM, replace(more, severity=None)
        rule = rules.create(session, monitor_id, parsed, severity, more=settings)
        context = ChangeContext(org, app.settings.url, alerting.recent, by=operator_name())
        changes = judging.rejudge_rule(session, rule, context)
        row, remark = view.row(session, rule.id), alert_views.unknown_name_remark(session, rule)
    enqueue_notifications(app, changes)
    return Page(row, [Fields(row)], [remark] if remark else [])


def change(app: "App", name: str, wanted: Change, *, drops_warning: bool) -> dict[str, Any]:
    """Change a rule and judge open alerts and the newest window by it. Raises RuleNotFound or InvalidInput."""
    org, changes = app.organization(), 0
    with app.org(org) as session:
        rule = rules.find(session, name)
        if drops_warning:
            condition = rules.without_warning(wanted.condition or rules.condition_of(rule))
            wanted = replace(wanted, condition=condition)
        if rules.change(session, rule, wanted):
            context = ChangeContext(
                org, app.settings.url, app.settings.alerts.recent, by=operator_name(), note="the rule was changed"
            )
            changes = judging.rejudge_rule(session, rule, context)
        row = view.row(session, rule.id)
    enqueue_notifications(app, changes)
    return row


def delete(app: "App", row: dict[str, Any]) -> None:
    """Delete the rule of a row, with its alerts. Raises RuleNotFound."""
    with app.org() as session:
        rules.delete(session, rules.get(session, row["id"]))
    enqueue_notifications(app, row["alerts"])


def enqueue_notifications(app: "App", changes: int) -> None:
    """Enqueue work for the notifier when alerts changed. After the commit."""
    if changes:
        app.enqueue(app.organization(), work_queue.Work.notify)

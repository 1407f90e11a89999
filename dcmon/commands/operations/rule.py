"""Add, change and delete rules, and judge stored windows by them."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dcmon.alerting import alert_views, condition_parser, rule_changes, rules
from dcmon.alerting.change_context import Actor
from dcmon.alerting.rules import Change
from dcmon.commands.operations import rule_noise
from dcmon.commands.shared.arguments import operator_name
from dcmon.commands.shared.several import Deletion
from dcmon.commands.shared.wording import open_text
from dcmon.commands.views import rule as view
from dcmon.commands.views import rule_noise as noise_view
from dcmon.db import work_queue
from dcmon.formatting import count_of
from dcmon.monitoring import monitors
from dcmon.output import Fields, Page

if TYPE_CHECKING:
    from dcmon.app import App


def add(app: "App", monitor: str, condition: str, more: Change, *, shows_noise: bool) -> Page:
    """Add a rule and judge the stored results by it; `more` are its other settings.

    `shows_noise`: also show what the rule does when nothing changes. A remark warns of a name in the condition that no
    stored result has. Raises MonitorNotFound or InvalidInput.
    """
    parsed = condition_parser.parse(condition)
    org = app.organization()
    settings = replace(more, severity=more.severity or None)  # an empty --severity means the default
    with app.org(org) as session:
        actor = Actor.from_settings(org, operator_name(), app.settings)
        added = rule_changes.add(session, actor, monitors.find(session, monitor).id, parsed, settings)
        row, remark = view.row(session, added.rule.id), alert_views.unknown_name_remark(session, added.rule)
        monitor_id, policy = added.rule.monitor_id, rules.policy(added.rule)
    enqueue_notifications(app, added.notifications)
    remarks = [remark] if remark else []
    if not shows_noise:
        return Page(row, [Fields(row)], remarks)
    noise = noise_view.texts(rule_noise.estimate(app, monitor_id, policy), row["id"])
    return Page({**row, "noise": noise.data}, [Fields(row), noise.lines], [*remarks, *noise.warnings])


def find(app: "App", name: str) -> int:
    """Return the id of a rule, found as rules.find does. Raises RuleNotFound or InvalidInput."""
    with app.org() as session:
        return rules.find(session, name).id


def change(app: "App", rule_id: int, wanted: Change, *, drops_warning: bool) -> dict[str, Any]:
    """Change a rule and judge open alerts and the newest window by it. Raises RuleNotFound or InvalidInput."""
    org = app.organization()
    with app.org(org) as session:
        rule = rules.get(session, rule_id)
        if drops_warning:
            condition = rules.without_warning(wanted.condition or rules.condition_of(rule))
            wanted = replace(wanted, condition=condition)
        actor = Actor.from_settings(org, operator_name(), app.settings)
        notifications = rule_changes.change(session, actor, rule, wanted)
        row = view.row(session, rule.id)
    enqueue_notifications(app, notifications)
    return row


def deletion(app: "App", name: str) -> Deletion:
    """Find a rule and count its alerts, which are deleted with it. Raises RuleNotFound."""
    row = view.find_row(app, name)
    loss = f"rule {row['id']} ({row['condition']} on {row['monitor']}) with {count_of(row['alerts'], 'alert')}"
    loss += open_text(row["open"])
    deleted = {"deleted": row["id"], **{key: row[key] for key in ("name", "monitor", "alerts", "open")}}
    return Deletion(row["id"], deleted, loss, partial(_delete, app, row))


def _delete(app: "App", row: dict[str, Any]) -> None:
    """Delete the rule of a row, with its alerts. Raises RuleNotFound."""
    with app.org() as session:
        rules.delete(session, rules.get(session, row["id"]))
    enqueue_notifications(app, row["alerts"])


def enqueue_notifications(app: "App", changes: int) -> None:
    """Enqueue work for the notifier when alerts changed. After the commit."""
    if changes:
        app.enqueue(app.organization(), work_queue.Work.notify)

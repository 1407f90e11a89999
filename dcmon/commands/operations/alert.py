"""Acknowledge, resolve and reopen alerts."""

from typing import TYPE_CHECKING, Any

from dcmon.alerting import alert_views, operator_actions
from dcmon.alerting.change_context import Actor
from dcmon.commands.shared.arguments import operator_name
from dcmon.db import work_queue
from dcmon.formatting import command_prefix

if TYPE_CHECKING:
    from dcmon.alerting.operator_actions import Action
    from dcmon.app import App


def find(app: "App", alert_id: int) -> int:
    """Check that there is an alert, and return its id. Raises AlertNotFound."""
    with app.org() as session:
        return alert_views.get_alert(session, alert_id).alert.id


def acknowledge(app: "App", alert_id: int, note: str | None, *, is_withdrawn: bool) -> dict[str, Any]:
    """Acknowledge an alert, or withdraw the acknowledgement. Raises AlertNotFound or InvalidInput."""
    action = operator_actions.unacknowledge if is_withdrawn else operator_actions.acknowledge
    return _act(app, alert_id, note, action, ("acknowledged_by", "changed"))


def resolve(app: "App", alert_id: int, note: str | None) -> dict[str, Any]:
    """Resolve an alert. Raises AlertNotFound or InvalidInput."""
    return _act(app, alert_id, note, operator_actions.resolve, ("was_firing",))


def reopen(app: "App", alert_id: int, note: str | None) -> dict[str, Any]:
    """Reopen an alert that an operator resolved. Raises AlertNotFound or InvalidInput."""
    return _act(app, alert_id, note, operator_actions.reopen, ("changed",))


def _act(app: "App", alert_id: int, note: str | None, action: "Action", keys: tuple[str, ...]) -> dict[str, Any]:
    """Run the action, and enqueue work for the notifier after the commit.

    The row has `keys`; the last one says whether the alert changed.
    """
    org = app.organization()
    with app.org(org) as session:
        actor = Actor.from_settings(org, operator_name(), app.settings)
        view, is_changed = operator_actions.apply(session, actor, alert_id, action, note)
        row = {"id": view.alert.id, "monitor": view.name, "state": view.alert.state}
        values = {"acknowledged_by": view.alert.acknowledged_by, keys[-1]: is_changed}
        row |= {key: values[key] for key in keys}
    app.enqueue(org, work_queue.Work.notify)
    if not is_changed and note is not None:  # another operator was first, or this one typed it before
        app.output.remark(
            f"Alert {alert_id} did not change, so the note is not stored."
            f' "{command_prefix(org.name)} alert history {alert_id}" shows who was first.'
        )
    return row

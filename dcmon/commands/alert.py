"""Alerts: list, show, acknowledge, resolve, reopen, their history."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon import formatting
from dcmon.alerting import alert_views
from dcmon.commands import group, operator
from dcmon.states import AlertState, ResolvedBy

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.alerting.alert_views import AlertView

app = group(__doc__)

STATES = ("firing", "pending", "acknowledged", "held", "resolved")
WIDE = ["id", "severity", "state", "monitor", "since", "until", "first", "worst", "now", "rule", "driver"]
NARROW = ["id", "severity", "state", "monitor", "since", "worst"]
Id = Annotated[int, typer.Argument(metavar="ID")]
Note = Annotated[str | None, typer.Option("--note", "-m", help="Kept in its history.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="Pending and resolved ones too.")] = False,
    state: Annotated[list[str] | None, typer.Option(help=f"Only {', '.join(STATES)}; repeatable.")] = None,
    severity: Annotated[list[str] | None, typer.Option(help="Only of this severity; repeatable.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
) -> None:
    """List alerts that fire now, oldest first; held: nobody is notified now. Example: dcmon alert list --all"""
    from datetime import UTC, datetime

    from dcmon.notifications import silences
    from dcmon.severity import Severity
    from dcmon.storage import models

    for given, known, option in ((state, STATES, "--state"), (severity, list(Severity), "--severity")):
        if bad := set(given or ()) - set(known):
            raise typer.BadParameter(f"{bad.pop()!r} is none of {', '.join(known)}.", param_hint=option)
    with ctx.obj.org() as session:
        found = alert_views.list_alerts(session, models.find(session, model).id if model else None, pending=True)
        if severity:
            found = [view for view in found if view.alert.severity in severity]
        now = datetime.now(UTC)
        rows = [
            {
                **_row(view),
                "held": silences.hold_reason(session, view.alert, now) if _is_firing(view) else None,
            }
            for view in found
            if all_ or state or _is_firing(view)
        ]
    rows = [row for row in rows if not state or set(state) & _states(row)]
    output = ctx.obj.output
    if not output.is_json:
        rows = [{**row, "state": _shown(row)} for row in rows]
    output.table(rows, NARROW if output.is_narrow else WIDE, empty="No alert fires.")


def _is_firing(view: "AlertView") -> bool:
    return view.alert.state == AlertState.FIRING


def _row(view: "AlertView") -> dict[str, Any]:

    alert = view.alert
    return {
        **alert_views.alert_row(view),
        "now": alert.current_value,
        "version": view.version.name,
        "acknowledged_by": alert.acknowledged_by,
        "resolved_by": alert.resolved_by,
    }


def _states(row: dict[str, Any]) -> set[str]:
    found = {row["state"]}
    if row["acknowledged_by"] and row["state"] == AlertState.FIRING:
        found.add("acknowledged")
    return found | {"held"} if row["held"] else found


def _shown(row: dict[str, Any]) -> str:
    """The state as a person wants to see it: what somebody works on, and what nobody is told of."""
    if row["state"] == AlertState.FIRING and row["acknowledged_by"]:
        return "acknowledged"
    if row["state"] == AlertState.RESOLVED and row["resolved_by"] == ResolvedBy.REVISION:
        return "retracted"
    return "held" if row["held"] else str(row["state"])


@app.command()
def show(ctx: typer.Context, alert_id: Id) -> None:
    """Show what is wrong, since when, how bad, what drives it, who did what. Example: dcmon alert show 1"""
    from rich.text import Text

    from dcmon.alerting import alert_payload
    from dcmon.notifications import notification_views

    org, output = ctx.obj.organization(), ctx.obj.output
    with ctx.obj.org(org) as session:
        view = alert_views.get_alert(session, alert_id)
        kind = "resolved" if view.alert.state == AlertState.RESOLVED else None
        about = alert_payload.describe(session, org, view.alert, ctx.obj.settings.url, kind)
        held = _held(session, view)
        told = [
            {
                "at": each.notification.created_at,
                "what": each.notification.kind,
                "to": each.receiver.name,
                "state": notification_views.state(each.notification),
            }
            for each in notification_views.for_alert(session, alert_id)
        ]
        lines = [_line(each) for each in alert_views.list_changes(session, alert_id)]
    following = _next(view, org.name)
    if output.is_json:
        output.value(_for_programs(view, about, held, lines, told) | {"next": following})
        return
    output.value({name: value for name, value in _for_people(view, about, held).items() if value not in (None, "", [])})
    output.table(lines, HISTORY, title="History")
    output.table(told[-TOLD:], ["at", "what", "to", "state"], title="Told", empty="Nobody was told.")
    output.print(Text("\n").join([Text("Next", style="italic"), *map(Text, following)]))


HISTORY = ["at", "what", "by", "window_end", "severity", "value", "note"]
TOLD = 10  # of the newest that a person is shown


def _held(session: "Session", view: "AlertView") -> str | None:
    """What holds notifications about it back now."""
    from datetime import UTC, datetime

    from dcmon.notifications import silences

    return silences.hold_reason(session, view.alert, datetime.now(UTC)) if _is_firing(view) else None


def _for_programs(
    view: "AlertView", about: dict[str, Any], held: str | None, lines: list[dict[str, Any]], told: list[dict[str, Any]]
) -> dict[str, Any]:
    alert = view.alert
    row = {name: value for name, value in _row(view).items() if name not in ("driver", "now")}
    renamed = {
        "rule": about["condition"], "first": about["first_value"], "current": about["value"],
        "before": about["before_value"],
    }  # fmt: skip
    kept = {name: value for name, value in about.items() if name not in ("by", "note", "model", "command")}
    return {
        **kept, **row, **renamed, "worst_window_end": alert.worst_window_end, "opened_at": alert.opened_at,
        "held_back": held, "history": lines, "notifications": told,
    }  # fmt: skip


def _for_people(view: "AlertView", about: dict[str, Any], held: str | None) -> dict[str, Any]:
    from dcmon.alerting import alert_payload
    from dcmon.notifications.integrations import message_text

    alert, row = view.alert, _row(view)
    return {
        "summary": about["summary"],
        "state": alert.state if alert.state != AlertState.RESOLVED else _resolved(about),
        "severity": alert.severity,
        "monitor": f"{row['monitor']}, check {about['check']}",
        "version": row["version"],
        "rule": f"{about['rule_name'] or about['rule_id']}: {about['sentence']}",
        "since": row["since"],
        "until": row["until"],
        "first_window": message_text.span(about["first_window"]),
        "last_window": message_text.window(about) or f"until {message_text.time(about['last_window_end'])}",
        "worst_window": message_text.span(about["worst_window"]),
        "windows": alert.windows,
        about["metric"]: _values(about),
        "measured": message_text.measured(about),
        "compared_with": message_text.compared(about),
        "n": alert.n,
        "other_versions": message_text.others(about),
        "moved_most": [alert_payload.change_text(each) for each in about["moved"]],
        "why": about["reason"],
        "acknowledged": about["acknowledged_by"] and f"by {about['acknowledged_by']}, {_remark(about)}",
        "held_back": held,
        "link": about["link"],
    }


def _resolved(about: dict[str, Any]) -> str:
    """What ended an alert, who did, and why."""
    ends = {"recovery": "by itself", "rule": "by a change of its rule", "revision": "later rows or labels took it back"}
    how = ends.get(about["resolved_by"], f"by {about['by'] or 'an operator'}")
    return f"resolved {how}" + (f": {about['note']}" if about["note"] else "")


def _values(about: dict[str, Any]) -> str:
    from dcmon.formatting import format_number

    names = {"value": "now", "first_value": "at first", "last_value": "at last", "worst_value": "at worst"}
    said = [f"{format_number(about[name])} {when}" for name, when in names.items()]
    before = [] if about["before_value"] is None else [f"{format_number(about['before_value'])} before"]
    return ", ".join(said + before)


def _remark(about: dict[str, Any]) -> str:
    from dcmon.notifications.integrations import message_text

    return f"{message_text.time(about['acknowledged_at'])}" + (
        f": {about['acknowledgement']}" * bool(about["acknowledgement"])
    )


def _next(view: "AlertView", org: str) -> list[str]:
    import shlex

    number, dcmon = view.alert.id, formatting.command_prefix(org)
    look = [f"{dcmon} monitor show {shlex.quote(view.name)}", f"{dcmon} rule show {view.rule.id}"]
    if view.alert.state == AlertState.RESOLVED:
        return look
    return [
        *look,
        f"{dcmon} alert ack {number}",
        f"{dcmon} silence add alert={number} --for 4h",
        f"{dcmon} alert resolve {number}",
    ]


def _line(change: Any) -> dict[str, Any]:
    return {
        "at": change.at,
        "what": change.kind,
        "by": change.by,
        "window_end": change.window_end,
        "severity": change.severity,
        "value": change.value,
        "note": change.note,
    }


@app.command()
def history(ctx: typer.Context, alert_id: Id) -> None:
    """List what became of an alert, when, and by whom. Example: dcmon alert history 1"""
    with ctx.obj.org() as session:
        alert_views.get_alert(session, alert_id)
        lines = [_line(each) for each in alert_views.list_changes(session, alert_id)]
    ctx.obj.output.table(lines, HISTORY, empty="Nothing was written down about it: it is of an older dcmon.")


@app.command()
def ack(
    ctx: typer.Context,
    alert_id: Id,
    note: Note = None,
    undo: Annotated[bool, typer.Option("--undo", help="Nobody works on it any more.")] = False,
) -> None:
    """Say that you work on an alert. Example: dcmon alert ack 1 --note "looking at the upstream table\""""
    from dcmon.alerting import operator_actions
    from dcmon.alerting.change_context import ChangeContext

    org, who = ctx.obj.organization(), operator()
    with ctx.obj.org(org) as session:
        view = alert_views.get_alert(session, alert_id)
        act = operator_actions.unacknowledge if undo else operator_actions.acknowledge
        changed = act(session, view.alert, ChangeContext(org, ctx.obj.settings.url, by=who, note=note))
        row = {**_moved(view), "acknowledged_by": view.alert.acknowledged_by, "changed": changed}
    _done(ctx, row)


@app.command()
def resolve(ctx: typer.Context, alert_id: Id, note: Note = None) -> None:
    """Declare an alert over; the next bad window opens another. Example: dcmon alert resolve 1"""
    from dcmon.alerting import operator_actions
    from dcmon.alerting.change_context import ChangeContext

    org, who = ctx.obj.organization(), operator()
    with ctx.obj.org(org) as session:
        view = alert_views.get_alert(session, alert_id)
        context = ChangeContext(org, ctx.obj.settings.url, by=who, note=note)
        was_firing = operator_actions.resolve(session, view.alert, context)
        row = {**_moved(view), "was_firing": was_firing}
    _done(ctx, row)


@app.command()
def reopen(ctx: typer.Context, alert_id: Id, note: Note = None) -> None:
    """Take back that an alert was declared over. Example: dcmon alert reopen 1"""
    from dcmon.alerting import operator_actions
    from dcmon.alerting.change_context import ChangeContext

    org, who = ctx.obj.organization(), operator()
    with ctx.obj.org(org) as session:
        view = alert_views.get_alert(session, alert_id)
        context = ChangeContext(org, ctx.obj.settings.url, by=who, note=note)
        changed = operator_actions.reopen(session, view.alert, context)
        row = {**_moved(view), "changed": changed}
    _done(ctx, row)


def _moved(view: "AlertView") -> dict[str, Any]:
    return {"alert": view.alert.id, "monitor": view.name, "state": view.alert.state}


def _done(ctx: typer.Context, row: dict[str, Any]) -> None:
    """Wake the notifier, after the commit, and say what is now."""
    from dcmon.db import work_queue

    ctx.obj.enqueue(ctx.obj.organization(), work_queue.Work.notify)
    ctx.obj.output.value(row)

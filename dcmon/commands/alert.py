"""Alerts: list, show, acknowledge, resolve, reopen, their history."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands import group, operator

if TYPE_CHECKING:
    from dcmon.overview import AlertView

app = group(__doc__)

STATES = ("firing", "pending", "acknowledged", "held", "resolved")
WIDE = ["id", "severity", "state", "monitor", "since", "until", "worst", "now", "rule", "driver"]
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

    from dcmon import models, overview, silences
    from dcmon.rules import SEVERITIES

    for given, known, option in ((state, STATES, "--state"), (severity, SEVERITIES, "--severity")):
        if bad := set(given or ()) - set(known):
            raise typer.BadParameter(f"{bad.pop()!r} is none of {', '.join(known)}.", param_hint=option)
    with ctx.obj.org() as session:
        found = overview.alerts(session, models.find(session, model).id if model else None, pending=True)
        if severity:
            found = [view for view in found if view.alert.severity in severity]
        now = datetime.now(UTC)
        rows = [
            {**_row(view), "held": silences.holding(session, view.alert, now) if view.alert.state == "firing" else None}
            for view in found
            if all_ or state or view.alert.state == "firing"
        ]
    rows = [row for row in rows if not state or set(state) & _states(row)]
    output = ctx.obj.output
    if not output.is_json:
        rows = [{**row, "state": _shown(row)} for row in rows]
    output.table(rows, NARROW if output.is_narrow else WIDE, empty="No alert fires.")


def _row(view: "AlertView") -> dict[str, Any]:
    from dcmon import overview

    alert = view.alert
    return {
        **overview.alert_row(view),
        "now": alert.current_value,
        "version": view.version.name,
        "acknowledged_by": alert.acknowledged_by,
        "resolved_by": alert.resolved_by,
    }


def _states(row: dict[str, Any]) -> set[str]:
    found = {row["state"]}
    if row["acknowledged_by"] and row["state"] == "firing":
        found.add("acknowledged")
    return found | {"held"} if row["held"] else found


def _shown(row: dict[str, Any]) -> str:
    """The state as a person wants to see it: what somebody works on, and what nobody is told of."""
    if row["state"] == "firing" and row["acknowledged_by"]:
        return "acknowledged"
    if row["state"] == "resolved" and row["resolved_by"] == "revision":
        return "retracted"
    return "held" if row["held"] else str(row["state"])


@app.command()
def show(ctx: typer.Context, alert_id: Id) -> None:
    """Show what is wrong, since when, how bad, what drives it, and who was told. Example: dcmon alert show 1"""
    from datetime import UTC, datetime

    from dcmon import alerts, descriptions, notifications, overview, silences

    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        view = overview.alert(session, alert_id)
        about = descriptions.describe(session, org, view.alert, ctx.obj.settings.url)
        told = notifications.of_alert(session, alert_id)
        alert = view.alert
        shown = {
            "summary": about["summary"],
            **_row(view),
            "metric": alert.metric,
            "current": alert.current_value,
            "before": about["before_value"],
            "measured": about["measured"],
            "worst_window_end": alert.worst_window_end,
            "n": alert.n,
            "reason": about["reason"],
            "moved": about["moved"]
            if ctx.obj.output.is_json
            else [descriptions.moved(each) for each in about["moved"]],
            "drivers": alert.drivers,
            "opened_at": alert.opened_at,
            "acknowledged_at": alert.acknowledged_at,
            "acknowledgement": alert.acknowledgement,
            "resolved_at": alert.resolved_at,
            "held_back": silences.holding(session, alert, datetime.now(UTC)) if alert.state == "firing" else None,
            "history": [_line(each) for each in alerts.history(session, alert_id)],
            "notifications": [f"{each.kind} to {webhook.name}: {notifications.state(each)}" for each, webhook in told],
            "link": about["link"],
            "next": _next(view),
        }
    for redundant in ("driver", "now"):
        shown.pop(redundant)
    if not ctx.obj.output.is_json:
        lines, shown["history"] = shown["history"], None
        shown = {key: value for key, value in shown.items() if value not in (None, {}, [])}
    ctx.obj.output.value(shown)
    if not ctx.obj.output.is_json:
        ctx.obj.output.table(lines, HISTORY, title="History")


HISTORY = ["at", "what", "by", "window_end", "severity", "value", "note"]


def _next(view: "AlertView") -> list[str]:
    number = view.alert.id
    if view.alert.state == "resolved":
        return [f'dcmon monitor show "{view.name}"']
    return [
        f'dcmon monitor show "{view.name}"',
        f"dcmon alert ack {number}",
        f"dcmon silence add alert={number} --for 4h",
        f"dcmon alert resolve {number}",
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
    from dcmon import alerts, overview

    with ctx.obj.org() as session:
        overview.alert(session, alert_id)
        lines = [_line(each) for each in alerts.history(session, alert_id)]
    ctx.obj.output.table(lines, HISTORY, empty="Nothing was written down about it: it is of an older dcmon.")


@app.command()
def ack(
    ctx: typer.Context,
    alert_id: Id,
    note: Note = None,
    undo: Annotated[bool, typer.Option("--undo", help="Nobody works on it any more.")] = False,
) -> None:
    """Say that you work on an alert. Example: dcmon alert ack 1 --note "looking at the upstream table\""""
    from dcmon import alerts, overview

    org, who = ctx.obj.organization(), operator()
    with ctx.obj.org(org) as session:
        view = overview.alert(session, alert_id)
        url = ctx.obj.settings.url
        changed = alerts.acknowledge(session, org, view.alert, url, by=who, note=note, is_undone=undo)
        row = {**_moved(view), "acknowledged_by": view.alert.acknowledged_by, "changed": changed}
    _done(ctx, row)


@app.command()
def resolve(ctx: typer.Context, alert_id: Id, note: Note = None) -> None:
    """Declare an alert over; the next bad window opens another. Example: dcmon alert resolve 1"""
    from dcmon import alerts, overview

    org, who = ctx.obj.organization(), operator()
    with ctx.obj.org(org) as session:
        view = overview.alert(session, alert_id)
        was_firing = alerts.resolve(session, org, view.alert, ctx.obj.settings.url, by=who, note=note)
        row = {**_moved(view), "was_firing": was_firing}
    _done(ctx, row)


@app.command()
def reopen(ctx: typer.Context, alert_id: Id, note: Note = None) -> None:
    """Take back that an alert was declared over. Example: dcmon alert reopen 1"""
    from dcmon import alerts, overview

    org, who = ctx.obj.organization(), operator()
    with ctx.obj.org(org) as session:
        view = overview.alert(session, alert_id)
        changed = alerts.reopen(session, org, view.alert, ctx.obj.settings.url, by=who, note=note)
        row = {**_moved(view), "changed": changed}
    _done(ctx, row)


def _moved(view: "AlertView") -> dict[str, Any]:
    return {"alert": view.alert.id, "monitor": view.name, "state": view.alert.state}


def _done(ctx: typer.Context, row: dict[str, Any]) -> None:
    """Wake the notifier, after the commit, and say what is now."""
    from dcmon import wake

    with ctx.obj.public() as session:
        wake.ring(session, ctx.obj.organization().id, wake.Work.notify)
    ctx.obj.output.value(row)

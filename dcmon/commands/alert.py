"""Alerts: list, show, resolve."""

from typing import Annotated

import typer

from dcmon.commands import group

app = group(__doc__)

COLUMNS = ["id", "severity", "state", "monitor", "since", "until", "worst", "rule", "driver"]


@app.command("list")
def list_(
    ctx: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
) -> None:
    """List alerts that fire now, oldest first. Example: dcmon alert list --all"""
    from dcmon import models, overview

    with ctx.obj.org() as session:
        found = overview.alerts(session, models.find(session, model).id if model else None)
        rows = [overview.alert_row(view) for view in found if all_ or view.alert.state == "firing"]
    ctx.obj.output.table(rows, COLUMNS, empty="No alert fires.")


@app.command()
def show(ctx: typer.Context, alert_id: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """Show what is wrong, since when, how bad, what drives it, and who was told. Example: dcmon alert show 1"""
    from dcmon import notifications, overview

    with ctx.obj.org() as session:
        view = overview.alert(session, alert_id)
        told = notifications.of_alert(session, alert_id)
        alert = view.alert
        shown = {
            **overview.alert_row(view),
            "version": view.version.name,
            "metric": alert.metric,
            "current": alert.current_value,
            "worst_window_end": alert.worst_window_end,
            "n": alert.n,
            "drivers": alert.drivers,
            "opened_at": alert.opened_at,
            "resolved_at": alert.resolved_at,
            "resolved_by": alert.resolved_by,
            "notifications": [f"{each.kind} to {webhook.name}: {notifications.state(each)}" for each, webhook in told],
            "next": [f'dcmon monitor show "{view.name}"', f"dcmon alert resolve {alert_id}"],
        }
    shown.pop("driver")
    ctx.obj.output.value(shown)


@app.command()
def resolve(ctx: typer.Context, alert_id: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """Declare an alert over; the next bad window opens another. Example: dcmon alert resolve 1"""
    from dcmon import alerts, overview, wake

    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        view = overview.alert(session, alert_id)
        was_firing = alerts.resolve(session, org, view.alert, ctx.obj.settings.url)
    with ctx.obj.public() as session:
        wake.ring(session, org.id, wake.Work.notify)
    ctx.obj.output.value({"alert": alert_id, "monitor": view.name, "state": "resolved", "was_firing": was_firing})

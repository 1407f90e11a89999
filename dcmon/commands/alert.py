"""Alerts, which rules open when windows violate them."""

from datetime import datetime
from functools import partial
from typing import Annotated

import typer

from dcmon.commands.shared import options, questions
from dcmon.commands.shared.changes import asking, changing
from dcmon.commands.shared.choices import choice_option
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import history_listing, listing_of
from dcmon.commands.shared.several import run_for_all, show_all
from dcmon.severity import Severity
from dcmon.states import AlertChangeKind, AlertState, NotificationState

app = group(__doc__)

STATES: list[str] = [
    AlertState.FIRING, AlertState.PENDING, AlertChangeKind.ACKNOWLEDGED, NotificationState.HELD, AlertState.RESOLVED,
]  # fmt: skip
COLUMNS = {  # headings by key
    "id": "", "severity": "", "state": "", "monitor": "", "since": "", "until": "", "first": "first value",
    "worst": "worst value", "now": "value now", "rule": "", "driver": "",
}  # fmt: skip
NARROW = ("id", "severity", "state", "monitor", "since", "worst")
Id = Annotated[int, typer.Argument(metavar="ALERT", help="Id of the alert.")]
Ids = Annotated[list[int], typer.Argument(metavar="ALERT...", help="Ids of alerts.")]
Note = Annotated[str | None, typer.Option("--note", "-m", help="A note for the alert's history.")]


@app.command("list")
@listing_of("alerts")
def list_(
    ctx: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="Also pending and resolved alerts.")] = False,
    state: Annotated[
        list[str] | None,
        choice_option(what="state", known=STATES, help="Only in this state; repeatable."),
    ] = None,
    severity: Annotated[
        list[str] | None, choice_option(what="severity", known=Severity, help="Only of this severity; repeatable.")
    ] = None,
    model: options.OnlyModel = None,
    since: Annotated[
        datetime | None, options.time_option("--since", "Only alerts that began at this time or later.")
    ] = None,
    until: Annotated[
        datetime | None, options.time_option("--until", "Only alerts that began before this time.")
    ] = None,
) -> None:
    """List alerts that fire, oldest first; "held" means no notification is sent. Example: dcmon alert list --all

    Example: dcmon alert list --all --since yesterday
    """
    from dcmon.commands.views import alert as view

    chosen = view.AlertFilter(model, state or [], severity or [], since, until, is_all=all_)
    ctx.obj.output.table(view.rows(ctx.obj, chosen), COLUMNS, empty=chosen.empty, narrow=NARROW)


@app.command()
def show(ctx: typer.Context, alert_ids: Ids) -> None:
    """Show alerts: values, windows, drivers, history, notifications. Example: dcmon alert show 1"""
    from dcmon.commands.views import alert as view

    show_all(ctx.obj.output, alert_ids, partial(view.detail, ctx.obj))


@app.command()
@history_listing
def history(ctx: typer.Context, alert_id: Id) -> None:
    """List the changes of an alert, with time and author. Example: dcmon alert history 1"""
    from dcmon.commands.views import alert as view

    empty = f"Alert {alert_id} has no history: an older version of dcmon opened it."
    ctx.obj.output.table(view.history(ctx.obj, alert_id), view.HISTORY_COLUMNS, empty=empty)


@app.command()
@changing
def ack(
    ctx: typer.Context,
    alert_ids: Ids,
    note: Note = None,
    undo: Annotated[bool, typer.Option("--undo", help="Withdraw the acknowledgement.")] = False,
) -> None:
    """Acknowledge alerts: a person works on them. Example: dcmon alert ack 1 2 --note "the upstream table\""""
    from dcmon.commands.operations import alert as operation

    find, act = partial(operation.find, ctx.obj), partial(operation.acknowledge, ctx.obj, note=note, is_withdrawn=undo)
    run_for_all(ctx.obj.output, alert_ids, find, act)


@app.command()
@asking(questions.ended_alerts)
def resolve(ctx: typer.Context, alert_ids: Ids, note: Note = None) -> None:
    """Resolve alerts; the next violated window opens new ones. Example: dcmon alert resolve 1 2"""
    from dcmon.commands.operations import alert as operation

    find, act = partial(operation.find, ctx.obj), partial(operation.resolve, ctx.obj, note=note)
    run_for_all(ctx.obj.output, alert_ids, find, act)


@app.command()
@changing
def reopen(ctx: typer.Context, alert_ids: Ids, note: Note = None) -> None:
    """Reopen alerts that an operator resolved. Example: dcmon alert reopen 1 2"""
    from dcmon.commands.operations import alert as operation

    find, act = partial(operation.find, ctx.obj), partial(operation.reopen, ctx.obj, note=note)
    run_for_all(ctx.obj.output, alert_ids, find, act)

"""Notifications of alerts, waiting and delivered."""

from functools import partial
from typing import Annotated

import typer

from dcmon.commands.shared.changes import changing
from dcmon.commands.shared.choices import choice_option
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing_of
from dcmon.commands.shared.several import show_all
from dcmon.states import NotificationState

app = group(__doc__)

COLUMNS = {  # headings by key
    "id": "", "state": "", "kind": "", "severity": "", "alert": "", "monitor": "", "receiver": "", "created_at": "",
    "attempts": "", "next_attempt": "next attempt", "reason": "",
}  # fmt: skip
NARROW = ("id", "state", "kind", "alert", "receiver", "attempts", "reason")
NOT_SENT_AGAIN = "Delivered notifications, and those that a newer state superseded, are not sent again."


@app.command("list")
@listing_of("notifications")
def list_(
    ctx: typer.Context,
    state: Annotated[
        str | None, choice_option(what="state", known=NotificationState, help="Only in this state.")
    ] = None,
    receiver: Annotated[str | None, typer.Option(help="Only to this receiver.")] = None,
    alert: Annotated[int | None, typer.Option(help="Only about this alert.")] = None,
    message: Annotated[str | None, typer.Option(help="Only in this message, by the id that its receiver got.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
) -> None:
    """List notifications, the newest first. Example: dcmon notification list --state dead"""
    from dcmon.commands.views import notification as view
    from dcmon.notifications.notification_views import NotificationFilter

    rows = view.rows(ctx.obj, NotificationFilter(state, receiver, alert, message), limit)
    ctx.obj.output.table(rows, COLUMNS, empty="No notifications.", unfolded=["id", "state"], narrow=NARROW)


@app.command()
def show(
    ctx: typer.Context,
    notification_ids: Annotated[
        list[str], typer.Argument(metavar="NOTIFICATION...", help="Ids of notifications, or their beginnings.")
    ],
) -> None:
    """Show notifications: contents, receiver and delivery. Example: dcmon notification show 3f2a9c1e"""
    from dcmon.commands.views import notification as view

    show_all(ctx.obj.output, notification_ids, partial(view.detail, ctx.obj))


@app.command()
@changing
def retry(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="NOTIFICATION", help="Ids of notifications, or their beginnings.")
    ] = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="All notifications that are no longer retried.")] = False,
) -> None:
    """Send notifications again now, except superseded ones. Example: dcmon notification retry 3f2a9c1e"""
    from dcmon import errors
    from dcmon.commands.operations import notification as operation

    if bool(ids) == all_dead:
        raise errors.InvalidInput('Give ids, or --all-dead. "dcmon notification list" shows the ids.')
    retried = operation.retry(ctx.obj, ids or ())
    ctx.obj.output.value(retried.counts, remark=None if retried.is_complete else NOT_SENT_AGAIN)
    if not retried.is_complete:
        raise typer.Exit(8)

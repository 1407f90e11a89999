"""Notifications: who was told what; try again, pause and resume receivers."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands.shared.groups import group

if TYPE_CHECKING:
    from dcmon.app import App

app = group(__doc__)

COLUMNS = [
    "id",
    "state",
    "kind",
    "severity",
    "alert",
    "monitor",
    "receiver",
    "created_at",
    "attempts",
    "next_try",
    "why",
]
NARROW = ["id", "state", "kind", "alert", "receiver", "attempts", "why"]
SHORT_ID = 8


@app.command("list")
def list_(
    ctx: typer.Context,
    state: Annotated[str | None, typer.Option(help="waiting, held, delivered, dead or superseded.")] = None,
    receiver: Annotated[str | None, typer.Option(help="Only to this receiver.")] = None,
    alert: Annotated[int | None, typer.Option(help="Only about this alert.")] = None,
    message: Annotated[str | None, typer.Option(help="Only in this message, as its receiver knows it.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Notifications at most.")] = 100,
) -> None:
    """List notifications, the newest first. Example: dcmon notification list --state dead"""
    from dcmon.notifications import notification_views, receivers
    from dcmon.notifications.notification_views import NotificationFilter

    with ctx.obj.org() as session:
        found = notification_views.entries(session, NotificationFilter(state, receiver, alert, message), limit)
        now = receivers.database_time(session)
        rows = [notification_views.row(each, now) for each in found]
    output = ctx.obj.output
    if not output.is_json:
        rows = [{**row, "id": row["id"][:SHORT_ID]} for row in rows]
    output.table(rows, NARROW if output.is_narrow else COLUMNS, empty="No such notification.", whole=["id", "state"])


@app.command()
def show(ctx: typer.Context, notification_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Show a notification: what it says, to whom, and how it goes. Example: dcmon notification show 3f2a9c1e"""
    import json

    row = _detail(ctx.obj, notification_id)
    if not ctx.obj.output.is_json:
        row["body"] = json.dumps(row["body"], ensure_ascii=False, indent=2)
    ctx.obj.output.value(row)


def _detail(app: "App", notification_id: str) -> dict[str, Any]:
    """Read a notification with its body. Raises NotificationNotFound."""
    from dcmon.notifications import notification_views, receivers
    from dcmon.notifications.integrations import registry

    with app.org() as session:
        view = notification_views.find(session, notification_id)
        receiver = view.receiver
        return {
            **notification_views.row(view, receivers.database_time(session)),
            "to": registry.find(receiver.kind).display_address(receiver.url, receiver.options),
            "first_try": view.notification.tried_at,
            "status": view.notification.last_status,
            "error": view.notification.last_error,
            "body": view.notification.body,
        }


@app.command()
def retry(
    ctx: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID")] = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="All that were given up.")] = False,
) -> None:
    """Try again now, but not what a newer state of its alert superseded. Example: dcmon notification retry 3f2a9c1e"""
    from dcmon import errors
    from dcmon.notifications import notification_views, retries

    if bool(ids) == all_dead:
        raise errors.InvalidInput("Say ids, or --all-dead.")
    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        chosen = [notification_views.find(session, each).notification.id for each in ids or ()]
        done = retries.retry(session, None if all_dead else chosen)
    _ring(ctx, org)
    ctx.obj.output.value(done)
    if ids and done["retried"] < len(set(chosen)):
        ctx.obj.output.say("What was delivered, or superseded by a newer state of its alert, is not sent again.")
        raise typer.Exit(8)


@app.command()
def pause(
    ctx: typer.Context,
    receiver: str,
    for_: Annotated[str | None, typer.Option("--for", help="2h, 30m, 3d; not said: until it is resumed.")] = None,
) -> None:
    """Send nothing to a receiver: what comes waits, nothing is lost. Example: dcmon notification pause team --for 2h"""
    from dcmon import durations
    from dcmon.notifications import receivers

    with ctx.obj.org() as session:
        webhook, now = receivers.find(session, receiver), receivers.database_time(session)
        receivers.pause(session, webhook, now + durations.parse(for_, "30m, 2h or 3d") if for_ else None)
        until = webhook.paused_until
    ctx.obj.output.value({"paused": receiver, "until": until}, none={"until": "it is resumed"})


@app.command()
def resume(ctx: typer.Context, receiver: str) -> None:
    """Send again, now, what waits for a receiver, and what it was given up to be told of and fires still.

    Example: dcmon notification resume team
    """
    from dcmon.notifications import catch_up, receivers

    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        webhook = receivers.find(session, receiver)
        waiting = receivers.resume(session, webhook)
        retried = catch_up.retry_given_up(session, webhook)
    _ring(ctx, org)
    ctx.obj.output.value({"resumed": receiver, "waiting": waiting + retried, "retried": retried})


def _ring(ctx: typer.Context, org: Any) -> None:
    from dcmon.db import work_queue

    ctx.obj.enqueue(org, work_queue.Work.notify)

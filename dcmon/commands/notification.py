"""Notifications: list, show, retry; pause and resume receivers."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands.shared.groups import group

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.db import Organization

app = group(__doc__)

COLUMNS = {  # headings by key
    "id": "", "state": "", "kind": "", "severity": "", "alert": "", "monitor": "", "receiver": "", "created_at": "",
    "attempts": "", "next_try": "next attempt", "why": "reason",
}  # fmt: skip
NARROW = {key: COLUMNS[key] for key in ("id", "state", "kind", "alert", "receiver", "attempts", "why")}
SHORT_ID = 8


@app.command("list")
def list_(
    ctx: typer.Context,
    state: Annotated[
        str | None, typer.Option(help="Only in this state: waiting, held, delivered, dead or superseded.")
    ] = None,
    receiver: Annotated[str | None, typer.Option(help="Only to this receiver.")] = None,
    alert: Annotated[int | None, typer.Option(help="Only about this alert.")] = None,
    message: Annotated[str | None, typer.Option(help="Only in this message, by the id that its receiver got.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of notifications to list.")] = 100,
) -> None:
    """List notifications, the newest first. Example: dcmon notification list --state dead"""
    from dcmon.notifications import notification_views, receivers
    from dcmon.notifications.notification_views import NotificationFilter

    with ctx.obj.org() as session:
        views = notification_views.entries(session, NotificationFilter(state, receiver, alert, message), limit)
        now = receivers.database_time(session)
        rows = [notification_views.row(view, now) for view in views]
    output = ctx.obj.output
    if not output.is_json:
        rows = [{**row, "id": row["id"][:SHORT_ID]} for row in rows]
    output.table(rows, NARROW if output.is_narrow else COLUMNS, empty="No such notification.", unfolded=["id", "state"])


@app.command()
def show(ctx: typer.Context, notification_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Show a notification: contents, receiver and delivery. Example: dcmon notification show 3f2a9c1e"""
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
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of notifications.")] = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="All notifications that are no longer retried.")] = False,
) -> None:
    """Send notifications again now, except superseded ones. Example: dcmon notification retry 3f2a9c1e"""
    from dcmon import errors
    from dcmon.notifications import notification_views, retries

    if bool(ids) == all_dead:
        raise errors.InvalidInput('Give ids, or --all-dead. "dcmon notification list" shows the ids.')
    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        chosen = [notification_views.find(session, prefix).notification.id for prefix in ids or ()]
        counts = retries.retry(session, None if all_dead else chosen)
    _enqueue_notifications(ctx, org)
    ctx.obj.output.value(counts)
    if ids and counts["retried"] < len(set(chosen)):
        ctx.obj.output.say("Delivered notifications, and those that a newer state superseded, are not sent again.")
        raise typer.Exit(8)


@app.command()
def pause(
    ctx: typer.Context,
    receiver: str,
    for_: Annotated[
        str | None, typer.Option("--for", help="How long: 2h, 30m, 3d; default: until it is resumed.")
    ] = None,
) -> None:
    """Pause a receiver: its notifications wait, none is lost. Example: dcmon notification pause team --for 2h"""
    from dcmon import durations
    from dcmon.notifications import receivers

    with ctx.obj.org() as session:
        webhook, now = receivers.find(session, receiver), receivers.database_time(session)
        receivers.pause(session, webhook, now + durations.parse(for_, "30m, 2h or 3d") if for_ else None)
        until = webhook.paused_until
    ctx.obj.output.value({"paused": receiver, "until": until}, none={"until": "it is resumed"})


@app.command()
def resume(ctx: typer.Context, receiver: str) -> None:
    """Resume a receiver: send what waits, and what was given up about alerts that still fire.

    Example: dcmon notification resume team
    """
    from dcmon.notifications import catch_up, receivers

    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        webhook = receivers.find(session, receiver)
        waiting = receivers.resume(session, webhook)
        retried = catch_up.retry_given_up(session, webhook)
    _enqueue_notifications(ctx, org)
    ctx.obj.output.value({"resumed": receiver, "waiting": waiting + retried, "retried": retried})


def _enqueue_notifications(ctx: typer.Context, org: "Organization") -> None:
    """Enqueue work for the notifier. After the commit."""
    from dcmon.db import work_queue

    ctx.obj.enqueue(org, work_queue.Work.notify)

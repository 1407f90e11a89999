"""Webhooks, which notifications go to: add, list, test, delete."""

from typing import Annotated

import typer

from dcmon.commands import group

app = group(__doc__)


@app.command()
def add(
    ctx: typer.Context,
    name: str,
    url: Annotated[str, typer.Argument(help="https://…; http only for hosts on DCMON_WEBHOOKS__ALLOW.")],
    severity: Annotated[list[str] | None, typer.Option(help="Only these severities; repeatable.")] = None,
) -> None:
    """Add a receiver and show its signing secret, once. Example: dcmon webhook add team https://hooks.example.org/x"""
    from dcmon import webhooks

    with ctx.obj.org() as session:
        webhook, secret = webhooks.add(session, name, url, severity or [], ctx.obj.settings.webhooks)
        row = {"name": webhook.name, "url": webhook.url, "severities": webhook.severities, "secret": secret}
    ctx.obj.output.value(row)
    ctx.obj.output.say(f'Keep the secret: it is not shown again. "dcmon webhook test {name}" sends a message.')


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List receivers, without their secrets. Example: dcmon webhook list"""
    from dcmon import webhooks

    with ctx.obj.org() as session:
        found = webhooks.entries(session)
    rows = [
        {"name": each.name, "url": each.url, "severities": each.severities, "active": each.is_active} for each in found
    ]
    ctx.obj.output.table(rows, ["name", "url", "severities", "active"], empty="No webhook yet.")


@app.command()
def test(ctx: typer.Context, name: str) -> None:
    """Send a signed test message now; exit 1 when refused, 7 when unreachable. Example: dcmon webhook test team"""
    import uuid
    from datetime import UTC, datetime

    from dcmon import notifications, webhooks

    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        webhook = webhooks.find(session, name)
    now = datetime.now(UTC)
    body = notifications.encode({"type": "test", "timestamp": now.isoformat(), "organization": org.name})
    message_id = f"msg_{uuid.uuid4().hex}"
    sent = webhooks.deliver(webhook.url, webhook.secret, message_id, body, ctx.obj.settings.webhooks, now)
    ctx.obj.output.value(
        {"webhook": name, "status": sent.status, "seconds": round(sent.seconds, 3), "error": sent.error}
    )
    if not sent.is_delivered:
        raise typer.Exit(7 if sent.status is None else 1)


@app.command()
def delete(ctx: typer.Context, name: str) -> None:
    """Delete a receiver, with what was not delivered to it yet. Example: dcmon webhook delete team"""
    from dcmon import webhooks

    with ctx.obj.org() as session:
        webhooks.delete(session, webhooks.find(session, name))
    ctx.obj.output.value({"deleted": name})

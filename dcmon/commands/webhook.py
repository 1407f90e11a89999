"""Receivers of notifications: webhooks, PagerDuty, Slack, Teams, e-mail, commands."""

from collections.abc import Collection
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands.shared.confirmation import confirm, outcome
from dcmon.commands.shared.groups import group

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.app import App
    from dcmon.db import Organization
    from dcmon.notifications.integrations.base import Address

app = group(__doc__)


class Kind(StrEnum):
    """What takes the messages."""

    webhook = "webhook"
    pagerduty = "pagerduty"
    slack = "slack"
    teams = "teams"
    email = "email"
    command = "command"


NONE = "none"
Where = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET",
        help="https://… (http for hosts on DCMON_WEBHOOKS__ALLOW); addresses; for a command: -- PROGRAM ARGUMENTS.",
    ),
]
Severity = Annotated[list[str] | None, typer.Option(help="Only these severities; repeatable.")]
OfModel = Annotated[list[str] | None, typer.Option("--model", help="Only alerts of this model; repeatable.")]
Cap = Annotated[str | None, typer.Option(help="Messages a minute, or none; what is more goes in a digest. 20.")]
Repeat = Annotated[str | None, typer.Option(help="Tell again of what still fires after 24h, or 4h, or none.")]
Header = Annotated[list[str] | None, typer.Option(help='A header of your own, "X-Token: abc"; repeatable.')]
Key = Annotated[str | None, typer.Option(help='PagerDuty: the integration key; "-" asks for it, or reads it.')]
Group = Annotated[str | None, typer.Option(help="PagerDuty: the group of its events.")]
Class = Annotated[str | None, typer.Option("--class", help="PagerDuty: the class of its events.")]
OnlyNew = Annotated[bool, typer.Option("--only-new", help="Do not tell it of what fires already.")]
COLUMNS = ["name", "kind", "to", "severities", "models", "cap", "repeat", "state", "waiting", "dead", "last_delivery"]
NARROW = ["name", "kind", "to", "state", "waiting", "dead"]
NOTHING = {"models": "all", "cap": "none", "repeat": "never"}


@app.command()
def add(
    ctx: typer.Context,
    name: str,
    target: Where = None,
    kind: Annotated[Kind, typer.Option(help="What takes the messages.")] = Kind.webhook,
    severity: Severity = None,
    model: OfModel = None,
    cap: Cap = None,
    repeat: Repeat = None,
    header: Header = None,
    key: Key = None,
    group: Group = None,
    class_: Class = None,
    only_new: OnlyNew = False,
) -> None:
    """Add a receiver, and tell it of what fires already; the signing secret of kind webhook is shown once.

    Example: dcmon webhook add team https://hooks.example.org/x --severity critical --severity high
    """
    from dataclasses import replace

    from dcmon.notifications import receivers

    org, settings, output = ctx.obj.organization(), ctx.obj.settings, ctx.obj.output
    where = _address(kind.value, target, header, key, group, class_)
    choices = replace(receivers.Subscription(severity or [], model or None), **_limits(cap, repeat))
    with ctx.obj.org(org) as session:
        webhook, secret = receivers.add(session, name, where, settings.webhooks, choices)
        told = 0 if only_new else _tell(ctx, session, org, webhook)
        shown = _shown(session, webhook)
    shown = shown if output.is_json else _for_people(shown)
    said = {key: shown[key] for key in ("name", "kind", "to", "severities", "models", "cap", "repeat")}
    output.value(said | ({"secret": secret} if secret else {}) | {"told": told}, none=NOTHING)
    _say_told(ctx, org, told)
    if secret:
        output.say("Keep the secret: it is not shown again.")
    if kind is Kind.email and settings.smtp.host is None:
        output.say("DCMON_SMTP__HOST is not set: until it is, no e-mail is sent.")
    output.say(f'"dcmon webhook test {name!r}" sends a message.')


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List receivers, without their secrets. Example: dcmon webhook list"""
    from dcmon.notifications import receivers

    with ctx.obj.org() as session:
        now, counts = receivers.database_time(session), receivers.delivery_counts(session)
        rows = [
            receivers.row(session, each, counts.get(each.id, receivers.DeliveryCounts()), now)
            for each in receivers.entries(session)
        ]
    output = ctx.obj.output
    output.table(
        rows if output.is_json else [_for_people(row) for row in rows],
        NARROW if output.is_narrow else COLUMNS,
        empty='No receiver yet: "dcmon webhook add NAME URL".',
    )


@app.command()
def show(ctx: typer.Context, name: str) -> None:
    """Show a receiver, without its secrets: what waits, what went wrong. Example: dcmon webhook show team"""
    from dcmon.notifications import receivers

    with ctx.obj.org() as session:
        found = _shown(session, receivers.find(session, name))
    ctx.obj.output.value(found if ctx.obj.output.is_json else _for_people(found), none=NOTHING)


@app.command("set")
def set_(
    ctx: typer.Context,
    name: str,
    target: Where = None,
    severity: Severity = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Only alerts of this model, or all; repeatable.")
    ] = None,
    cap: Cap = None,
    repeat: Repeat = None,
    header: Header = None,
    key: Key = None,
    group: Group = None,
    class_: Class = None,
    only_new: OnlyNew = False,
) -> None:
    """Change a receiver; what is not said stays. It is told of what fires already and it did not want before.

    Example: dcmon webhook set team --cap 5 --repeat 4h
    """
    from dataclasses import replace

    from dcmon.notifications import catch_up, receivers

    org, settings = ctx.obj.organization(), ctx.obj.settings
    with ctx.obj.org(org) as session:
        webhook = receivers.find(session, name)
        known = catch_up.pending_alerts(session, org, webhook)
        if any((target, header, key, group, class_)):
            where = _address(webhook.kind, target, header, key, group, class_)
            receivers.set_address(webhook, where, settings.webhooks)
        wanted: dict[str, Any] = _limits(cap, repeat)
        if severity:
            wanted["severities"] = severity
        if model:
            wanted["models"] = None if model == ["all"] else model
        receivers.set_subscription(session, webhook, replace(receivers.subscription(session, webhook), **wanted))
        session.flush()
        told = _tell(ctx, session, org, webhook, known) if (severity or model) and not only_new else 0
        found = {**_shown(session, webhook), "told": told}
    ctx.obj.output.value(found if ctx.obj.output.is_json else _for_people(found), none=NOTHING)
    _say_told(ctx, org, told)
    if found["state"] == "paused":
        ctx.obj.output.say(f'It is paused: "dcmon notification resume {name!r}" sends again.')


@app.command()
def test(ctx: typer.Context, name: str) -> None:
    """Send a test message now; exit 1 when refused, 7 when unreachable. Example: dcmon webhook test team"""
    sent = _send_test(ctx.obj, name)
    ctx.obj.output.value(
        {"receiver": name, "delivered": sent.is_delivered, "status": sent.status, "seconds": round(sent.seconds, 3),
         "error": sent.error}
    )  # fmt: skip
    if not sent.is_delivered:
        raise typer.Exit(7 if sent.status is None else 1)


def _send_test(app: "App", name: str) -> Any:
    """Send a test message to a receiver. Raises WebhookNotFound."""
    import uuid

    from dcmon.notifications import receivers
    from dcmon.notifications.integrations import registry
    from dcmon.notifications.integrations.base import DeliverySettings, Message

    org = app.organization()
    with app.org(org) as session:
        now = receivers.database_time(session)
        target = receivers.delivery_target(receivers.find(session, name), now)
    body = {"format": 1, "type": "test", "timestamp": now.isoformat(), "organization": org.name}
    body["text"] = f"A test message to {name!r}: dcmon reaches it."
    message = Message(f"msg_{uuid.uuid4().hex}", body)
    return registry.send(target, message, DeliverySettings(app.settings.webhooks, app.settings.smtp))


@app.command()
def rotate(ctx: typer.Context, name: str) -> None:
    """Draw a new signing secret, shown once; the old one signs too for 24 h. Example: dcmon webhook rotate team"""
    from dcmon.notifications import receivers

    with ctx.obj.org() as session:
        webhook = receivers.find(session, name)
        secret = receivers.rotate_secret(session, webhook)
        until = webhook.old_secret_until
    ctx.obj.output.value({"name": name, "secret": secret, "old_secret_until": until})
    ctx.obj.output.say("Keep the secret: it is not shown again. Until then messages carry both signatures.")


@app.command()
def delete(
    ctx: typer.Context,
    name: str,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask when messages wait for it.")] = False,
) -> None:
    """Delete a receiver, with what was not delivered to it yet. Example: dcmon webhook delete team --dry-run"""
    from dcmon.notifications import receivers

    with ctx.obj.org() as session:
        webhook = receivers.find(session, name)
        counted = receivers.delivery_counts(session).get(webhook.id, receivers.DeliveryCounts())
    if not dry_run:
        if counted.waiting:
            confirm(f"Delete {name!r}? {counted.waiting:,} notifications that wait for it go too.", yes)
        with ctx.obj.org() as session:
            receivers.delete(session, receivers.find(session, name))
    ctx.obj.output.value(outcome({"deleted": name, "waiting": counted.waiting, "dead": counted.dead}, dry_run=dry_run))


def _address(
    kind: str,
    target: list[str] | None,
    header: list[str] | None,
    key: str | None,
    group: str | None,
    class_: str | None,
) -> "Address":
    """Where a receiver is, as it was typed."""
    from dcmon.notifications.integrations.base import Address

    if key == "-":
        key = (
            typer.prompt("Integration key", hide_input=True, err=True)
            if _asks()
            else typer.get_text_stream("stdin").readline()
        )
    choices = {name: value for name, value in (("group", group), ("class", class_)) if value is not None}
    return Address(kind, target or [], _headers(header), key.strip() if key else None, choices)


def _tell(ctx: typer.Context, session: "Session", org: "Organization", webhook: Any, but: Collection[int] = ()) -> int:
    """Tell a receiver of what fires and, where it is to know, of what is wrong with dcmon; returns of how much."""
    from dcmon.alerting import alert_payload
    from dcmon.health import problem_notifications, problems
    from dcmon.notifications import catch_up, receivers
    from dcmon.notifications.notification_writer import AlertRenderer

    settings = ctx.obj.settings
    told = catch_up.notify(session, AlertRenderer(org, settings.url, alert_payload.describe), webhook, excluding=but)
    if org.name != settings.watch.org:
        return told
    with ctx.obj.public() as public:
        wrong = problems.notified(public)
    return told + problem_notifications.write_for_receiver(
        session, org, webhook, wrong, receivers.database_time(session)
    )


def _say_told(ctx: typer.Context, org: "Organization", told: int) -> None:
    """Wake the notifier, after the commit, and say that it has something to tell."""
    from dcmon.db import work_queue

    if told:
        ctx.obj.enqueue(org, work_queue.Work.notify)
        ctx.obj.output.say(
            f"{told} alerts fire already: it is told of them now."
            if told > 1
            else "An alert fires already: it is told of it now."
        )  # fmt: skip


def _asks() -> bool:
    import sys

    return sys.stdin.isatty()


def _headers(given: list[str] | None) -> dict[str, str]:
    found = {}
    for each in given or ():
        name, colon, value = each.partition(":")
        if not colon or not name.strip() or not value.strip():
            raise typer.BadParameter('A header looks like "X-Token: abc".', param_hint="--header")
        found[name.strip()] = value.strip()
    return found


def _limits(cap: str | None, repeat: str | None) -> dict[str, Any]:
    """What --cap and --repeat say; what they do not say is left out."""
    from dcmon import durations

    found: dict[str, Any] = {}
    if cap is not None:
        if cap != NONE and not (cap.isascii() and cap.isdigit()):
            raise typer.BadParameter(f"{cap!r} is no number of messages, nor none.", param_hint="--cap")
        found["cap"] = None if cap == NONE else int(cap)
    if repeat is not None:
        found["repeat_every"] = None if repeat == NONE else durations.parse(repeat, "30m, 4h, 24h or none")
    return found


def _shown(session: Any, webhook: Any) -> dict[str, Any]:
    from dcmon.notifications import receivers

    counted = receivers.delivery_counts(session).get(webhook.id, receivers.DeliveryCounts())
    session.refresh(webhook)
    return receivers.row(session, webhook, counted, receivers.database_time(session))


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    from dcmon import durations

    repeat = None if row["repeat"] is None else durations.to_text(row["repeat"])
    models = "all" if row["models"] is None else row["models"] or "none"
    return {**row, "models": models, "repeat": repeat or "never",
            "cap": "none" if row["cap"] is None else row["cap"]}  # fmt: skip

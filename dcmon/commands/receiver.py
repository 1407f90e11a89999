"""Receivers of notifications: webhooks, Slack, e-mail, ..."""

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands.shared import option_groups, options, questions
from dcmon.commands.shared.arguments import require_not_both
from dcmon.commands.shared.changes import asking, changing, counting
from dcmon.commands.shared.choices import choice_option
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing_of
from dcmon.commands.shared.several import Shown, delete_all, run_for_all, show_all
from dcmon.states import ReceiverKind

if TYPE_CHECKING:
    from dcmon.commands.operations.receiver import TypedAddress

app = group(__doc__)

COLUMNS = ["name", "kind", "to", "severities", "models", "cap", "repeat", "state", "waiting", "dead", "last_delivery"]
NARROW = ["name", "kind", "to", "state", "waiting", "dead"]
STORE_SECRET = (
    "Store the secret now: it is not shown again. Messages carry both signatures until the old secret expires."
)


@app.command()
@changing
@option_groups.receiver_address
def create(
    ctx: typer.Context,
    name: options.CreatedName,
    *,
    kind: Annotated[
        ReceiverKind, choice_option(what="kind of receiver", known=ReceiverKind, help="Kind of the receiver.")
    ] = ReceiverKind.WEBHOOK,
    severity: options.Severities = None,
    model: Annotated[options.Names, typer.Option("--model", help="Only alerts of this model; repeatable.")] = None,
    cap: options.Cap = None,
    repeat: options.Repeat = None,
    address: "TypedAddress",
    only_new: options.OnlyNew = False,
) -> None:
    """Create a receiver, and notify it of alerts that fire already. A webhook's signing secret is shown once.

    Example: dcmon receiver create team https://hooks.example.org/x --severity critical
    """
    from dcmon.commands.operations import receiver as operation
    from dcmon.commands.views import receiver as view

    subscription = operation.TypedSubscription(severity, model, cap, repeat).to_subscription()
    added = operation.add(ctx.obj, name, address.to_address(kind.value), subscription, is_notified=not only_new)
    ctx.obj.output.page(view.added(ctx.obj, added, is_email=kind is ReceiverKind.EMAIL))


@app.command("list")
@listing_of("webhooks")
def list_(ctx: typer.Context) -> None:
    """List receivers, without their secrets. Example: dcmon receiver list"""
    from dcmon.commands.views import receiver as view

    empty = 'No receiver yet: "dcmon receiver create NAME URL".'
    ctx.obj.output.table(view.rows(ctx.obj), COLUMNS, empty=empty, narrow=NARROW)


@app.command()
def show(ctx: typer.Context, names: options.ReceiverNames) -> None:
    """Show receivers without their secrets, waiting messages and the last errors. Example: dcmon receiver show team"""
    from dcmon.commands.views import receiver as view

    show_all(ctx.obj.output, names, partial(view.detail, ctx.obj))


@app.command("set")
@changing
@option_groups.receiver_address
def set_(
    ctx: typer.Context,
    name: options.ReceiverName,
    *,
    severity: options.Severities = None,
    model: Annotated[
        options.Names, typer.Option("--model", help="Only alerts of this model, or all; repeatable.")
    ] = None,
    cap: options.Cap = None,
    repeat: options.Repeat = None,
    address: "TypedAddress",
    only_new: options.OnlyNew = False,
) -> None:
    """Change a receiver, and notify it of alerts that it did not want before. Options not given keep their value.

    Example: dcmon receiver set team --cap 5 --repeat 4h
    """
    from dcmon.commands.operations import receiver as operation
    from dcmon.commands.views import receiver as view

    wanted = operation.TypedSubscription(severity, model, cap, repeat)
    changed = operation.change(ctx.obj, name, address, wanted, is_notified=not only_new)
    ctx.obj.output.page(view.changed(changed))


@app.command()
@changing
def rename(ctx: typer.Context, name: options.ReceiverName, new_name: options.NewName) -> None:
    """Rename a receiver; its secrets and notifications stay. Files that declare it need the new name.

    Example: dcmon receiver rename team scoring-team
    """
    from dcmon.commands.operations import receiver as operation

    ctx.obj.output.value(operation.rename(ctx.obj, name, new_name))


@app.command("test")
@counting
def send_test(
    ctx: typer.Context,
    names: options.ReceiverNames,
    timeout: Annotated[timedelta, options.duration_option("--timeout", "Longest wait for the worker.")] = timedelta(
        seconds=30
    ),
    here: Annotated[bool, typer.Option("--here", help="Send from this computer, with its own settings.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show where it would be sent, and send nothing.")] = False,
) -> None:
    """Let a notify worker send test messages now; exit 1 when they are refused, 7 when unreachable.

    Exit 8 when only some of several are delivered.

    Example: dcmon receiver test team
    """
    from dcmon.commands.operations import receiver as operation

    tests = operation.SentTests(ctx.obj, timeout, is_here=here, is_dry_run=dry_run)
    run_for_all(ctx.obj.output, names, partial(operation.find, ctx.obj), tests.send)
    if tests.exit_code:
        raise typer.Exit(tests.exit_code)


@app.command()
@asking(questions.rotated_secret)
def rotate(ctx: typer.Context, names: options.ReceiverNames) -> None:
    """Create new signing secrets, shown once; the old ones are valid for 24 h. Example: dcmon receiver rotate team"""
    from dcmon.commands.operations import receiver as operation

    find, rotate_secret = partial(operation.find, ctx.obj), partial(operation.rotate_secret, ctx.obj)
    run_for_all(ctx.obj.output, names, find, rotate_secret, shown=Shown(lambda _: STORE_SECRET))


@app.command()
@changing
def pause(
    ctx: typer.Context,
    names: options.ReceiverNames,
    for_: Annotated[
        timedelta | None,
        options.duration_option(
            "--for", "How long: 2h, 30m, 3d; default: until it is resumed.", "For a time give --until."
        ),
    ] = None,
    until: Annotated[
        timedelta | None, options.lifetime_option("--until", "Until when: 2026-12-31T08:00, tomorrow or +2h.")
    ] = None,
) -> None:
    """Pause receivers: their notifications wait, none is lost. Example: dcmon receiver pause team --for 2h"""
    from dcmon.commands.operations import notification as operation
    from dcmon.commands.operations import receiver

    require_not_both(for_ is not None, "--for", until is not None, "--until")
    find, pause_one = partial(receiver.find, ctx.obj), partial(operation.pause, ctx.obj, duration=for_ or until)
    run_for_all(ctx.obj.output, names, find, pause_one, shown=Shown(none={"until": "it is resumed"}))


@app.command()
@changing
def resume(ctx: typer.Context, names: options.ReceiverNames) -> None:
    """Resume receivers, and send the notifications that wait for them.

    Notifications that were given up are sent too, if their alerts still fire.

    Example: dcmon receiver resume team
    """
    from dcmon.commands.operations import notification as operation
    from dcmon.commands.operations import receiver

    run_for_all(ctx.obj.output, names, partial(receiver.find, ctx.obj), partial(operation.resume, ctx.obj))


@app.command()
@counting
def delete(
    ctx: typer.Context,
    names: options.ReceiverNames,
    yes: options.Yes = False,
) -> None:
    """Delete receivers, with their undelivered notifications. Example: dcmon receiver delete team --dry-run"""
    from dcmon.commands.operations import receiver as operation

    delete_all(ctx.obj.output, names, partial(operation.deletion, ctx.obj), yes=yes)

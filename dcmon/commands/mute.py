"""Mute times: hours of the week without notifications."""

from functools import partial
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.arguments import require_some
from dcmon.commands.shared.changes import changing, counting
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing
from dcmon.commands.shared.several import delete_all, run_for_all, show_all

app = group(__doc__)


@app.command()
@changing
def create(
    ctx: typer.Context,
    name: options.CreatedName,
    hours: Annotated[str, typer.Option(help="Hours of the day, also past midnight: 22:00-06:00.")],
    days: Annotated[str, typer.Option(help="Days on which the mute time begins: mon-fri, sat,sun or daily.")] = "daily",
    time_zone: Annotated[str, options.zone_option("Time zone of the hours: Europe/Berlin.")] = "UTC",
    match: Annotated[
        list[str] | None, typer.Option(help="Only alerts that match: severity!=critical, model=credit …; repeatable.")
    ] = None,
    yes: options.Yes = False,
) -> None:
    """Create a mute time: it holds back notifications in some hours of the week.

    Alerts open and resolve as usual.

    Example: dcmon mute create nights --hours 22:00-06:00 --time-zone Europe/Berlin
    """
    from dcmon.commands.operations import mute as operation

    typed = operation.TypedMuteTime(name, days, hours, time_zone, match or [])
    ctx.obj.output.value(operation.add(ctx.obj, typed, yes=yes))


@app.command("list")
@listing
def list_(ctx: typer.Context) -> None:
    """List mute times; "holds until" is when an active one ends. Example: dcmon mute list"""
    from dcmon.commands.views import mute as view

    ctx.obj.output.table(
        view.rows(ctx.obj),
        ["name", "when", "matchers", "holds_until"],
        empty='No mute time: "dcmon mute create NAME --hours 22:00-06:00" adds one.',
    )


@app.command()
def show(ctx: typer.Context, names: options.MuteNames) -> None:
    """Show mute times, and whether they hold now. Example: dcmon mute show nights"""
    from dcmon.commands.views import mute as view

    show_all(ctx.obj.output, names, partial(view.detail, ctx.obj))


@app.command("set")
@changing
def set_(
    ctx: typer.Context,
    names: options.MuteNames,
    hours: Annotated[str | None, typer.Option(help="Hours of the day, also past midnight: 22:00-06:00.")] = None,
    days: Annotated[
        str | None, typer.Option(help="Days on which the mute time begins: mon-fri, sat,sun or daily.")
    ] = None,
    time_zone: Annotated[str | None, options.zone_option("Time zone of the hours: Europe/Berlin.")] = None,
    match: Annotated[
        list[str] | None, typer.Option(help="Only alerts that match, in place of its matchers, or all; repeatable.")
    ] = None,
    yes: options.Yes = False,
) -> None:
    """Change mute times. Options not given keep their value; what is no longer held back is sent.

    Example: dcmon mute set nights --hours 21:00-07:00
    """
    from dcmon.commands.operations import mute as operation

    require_some("mute set", hours, days, time_zone, match)
    wanted = operation.MuteChange(days, hours, time_zone, match)
    find, change = partial(operation.find, ctx.obj), partial(operation.change, ctx.obj, wanted=wanted)
    ask = partial(operation.ask, ctx.obj, wanted, yes=yes)
    run_for_all(ctx.obj.output, names, find, change, ask=ask)


@app.command()
@changing
def rename(ctx: typer.Context, name: options.MuteName, new_name: options.NewName) -> None:
    """Rename a mute time; files that declare it need the new name. Example: dcmon mute rename nights quiet-hours"""
    from dcmon.commands.operations import mute as operation

    ctx.obj.output.value(operation.rename(ctx.obj, name, new_name))


@app.command()
@counting
def delete(
    ctx: typer.Context,
    names: options.MuteNames,
    yes: options.Yes = False,
) -> None:
    """Delete mute times; the notifications that they held back are sent. Example: dcmon mute delete nights"""
    from dcmon.commands.operations import mute as operation

    delete_all(ctx.obj.output, names, partial(operation.deletion, ctx.obj), yes=yes)

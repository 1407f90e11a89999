"""Mute times, hours of the week without notifications: add, list, delete."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.confirmation import ask_and_run, outcome
from dcmon.commands.shared.groups import group

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.db.tables.org import MuteTime

app = group(__doc__)


@app.command()
def add(
    ctx: typer.Context,
    name: str,
    hours: Annotated[str, typer.Option(help="Hours of the day, also past midnight: 22:00-06:00.")],
    days: Annotated[str, typer.Option(help="Days on which the mute time begins: mon-fri, sat,sun or daily.")] = "daily",
    time_zone: Annotated[
        str, typer.Option("--time-zone", "--tz", help="Time zone of the hours: Europe/Berlin.")
    ] = "UTC",
    match: Annotated[
        list[str] | None, typer.Option(help="Only alerts that match: severity!=critical, model=credit …; repeatable.")
    ] = None,
) -> None:
    """Hold back notifications in some hours of the week; alerts open and resolve as usual.

    Example: dcmon mute add nights --hours 22:00-06:00 --tz Europe/Berlin --match severity!=critical
    """
    from dcmon.notifications import mute_times

    with ctx.obj.org() as session:
        row = _row(mute_times.add(session, name, days, hours, time_zone, match or []))
    ctx.obj.output.value(row)


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List mute times; "holds until" is the end of one that holds now. Example: dcmon mute list"""
    from dcmon.notifications import mute_times

    with ctx.obj.org() as session:
        rows = [_row(mute) for mute in mute_times.entries(session)]
    ctx.obj.output.table(
        rows,
        ["name", "when", "matchers", "holds_until"],
        empty='No mute time: "dcmon mute add NAME --hours 22:00-06:00" adds one.',
    )


@app.command()
def delete(
    ctx: typer.Context,
    name: str,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
) -> None:
    """Delete a mute time; the notifications that it held back are sent. Example: dcmon mute delete nights"""
    from dcmon.notifications import mute_times

    with ctx.obj.org() as session:
        schedule = mute_times.format_schedule(mute_times.find(session, name))
    question = f"Delete mute time {name!r} ({schedule})?"
    ask_and_run(question, lambda: _delete(ctx.obj, name), dry_run=dry_run, yes=yes)
    ctx.obj.output.value(outcome({"deleted": name}, dry_run=dry_run))


def _delete(app: "App", name: str) -> None:
    """Delete a mute time and enqueue the notifications that it held back. Raises NotFound."""
    from dcmon.db import work_queue
    from dcmon.notifications import mute_times

    org = app.organization()
    with app.org(org) as session:
        session.delete(mute_times.find(session, name))
    app.enqueue(org, work_queue.Work.notify)


def _row(mute: "MuteTime") -> dict[str, Any]:
    from datetime import UTC, datetime

    from dcmon.notifications import mute_times

    return {
        "name": mute.name,
        "when": mute_times.format_schedule(mute),
        "matchers": mute.matchers,
        "holds_until": mute_times.current_end(mute, datetime.now(UTC)),
    }

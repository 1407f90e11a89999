"""Mute times, hours of the week without notifications: add, list, delete."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands.shared.confirmation import confirm, outcome
from dcmon.commands.shared.groups import group

if TYPE_CHECKING:
    from dcmon.db.tables.org import MuteTime

app = group(__doc__)


@app.command()
def add(
    ctx: typer.Context,
    name: str,
    hours: Annotated[str, typer.Option(help="22:00-06:00; past midnight where it ends before it begins.")],
    days: Annotated[str, typer.Option(help="mon-fri, sat,sun or daily: the days on which it begins.")] = "daily",
    time_zone: Annotated[str, typer.Option("--time-zone", "--tz", help="Europe/Berlin, UTC …")] = "UTC",
    match: Annotated[
        list[str] | None, typer.Option(help="Only alerts that fit: severity!=critical, model=credit …; repeatable.")
    ] = None,
) -> None:
    """Hold back notifications in some hours of the week; alerts move all the same.

    Example: dcmon mute add nights --hours 22:00-06:00 --tz Europe/Berlin --match severity!=critical
    """
    from dcmon.notifications import mute_times

    with ctx.obj.org() as session:
        row = _row(mute_times.add(session, name, days, hours, time_zone, match or []))
    ctx.obj.output.value(row)


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List mute times, and until when each holds now. Example: dcmon mute list"""
    from dcmon.notifications import mute_times

    with ctx.obj.org() as session:
        rows = [_row(each) for each in mute_times.entries(session)]
    ctx.obj.output.table(rows, ["name", "when", "matchers", "holds_until"], empty="No mute time.")


@app.command()
def delete(
    ctx: typer.Context,
    name: str,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a mute time; what it held back is sent. Example: dcmon mute delete nights"""
    from dcmon.db import work_queue
    from dcmon.notifications import mute_times

    with ctx.obj.org() as session:
        when = mute_times.format_schedule(mute_times.find(session, name))
    if not dry_run:
        confirm(f"Delete mute time {name!r} ({when})?", yes)
        with ctx.obj.org() as session:
            session.delete(mute_times.find(session, name))
        ctx.obj.enqueue(ctx.obj.organization(), work_queue.Work.notify)
    ctx.obj.output.value(outcome({"deleted": name}, dry_run=dry_run))


def _row(mute: "MuteTime") -> dict[str, Any]:
    from datetime import UTC, datetime

    from dcmon.notifications import mute_times

    return {
        "name": mute.name,
        "when": mute_times.format_schedule(mute),
        "matchers": mute.matchers,
        "holds_until": mute_times.current_end(mute, datetime.now(UTC)),
    }

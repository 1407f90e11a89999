"""Stop what "dcmon up" started."""

from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.confirmation import confirm, outcome
from dcmon.commands.shared.groups import single

app = single()


@app.command()
def down(
    ctx: typer.Context,
    purge: Annotated[
        bool, typer.Option("--purge", help="Also delete all data that dcmon stored in the data directory.")
    ] = False,
    yes: options.LongYes = False,
    dry_run: options.DryRun = False,
) -> None:
    """Stop the processes that "dcmon up" started; stored data stays. Example: dcmon down"""
    from dcmon.commands.operations import data_directory
    from dcmon.embedded import supervisor, supervisor_state

    settings, output = ctx.obj.settings, ctx.obj.output
    entries = data_directory.own_entries(settings.data_dir) if purge else []
    if dry_run:
        running = supervisor_state.read(settings)
        output.value(outcome({"stopped": running and running.pid, **data_directory.size(entries)}, dry_run=True))
        return
    if entries:
        confirm(f"Delete everything that dcmon stored in {settings.data_dir}?", yes)
    output.say("dcmon is stopped." if supervisor.stop(settings) else "dcmon was not running.")
    data_directory.delete(entries)
    if purge:
        output.say(f"Deleted {len(entries)} entries of {settings.data_dir}.")

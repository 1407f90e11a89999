"""Stop what "dcmon up" started."""

from functools import partial
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.changes import counting
from dcmon.commands.shared.confirmation import ask_and_run
from dcmon.commands.shared.groups import single

app = single()


@app.command()
@counting
def down(
    ctx: typer.Context,
    purge: Annotated[
        bool, typer.Option("--purge", help="Also delete all data that dcmon stored in the data directory.")
    ] = False,
    yes: options.Yes = False,
    dry_run: options.DryRun = False,
) -> None:
    """Stop the processes that "dcmon up" started; stored data stays. Example: dcmon down"""
    from dcmon.commands.operations import supervisor as operation

    shutdown = operation.prepare_stop(ctx.obj, with_data=purge)
    stop = partial(operation.stop, ctx.obj, shutdown)
    ask_and_run(ctx.obj.output, shutdown.question, stop, phrases=shutdown.phrases, yes=yes)
    if dry_run:
        ctx.obj.output.value(shutdown.preview())

"""Start dcmon: endpoint, workers and embedded servers."""

from typing import Annotated

import typer

from dcmon import stop_signals
from dcmon.commands.shared.groups import single

app = single()


@app.command()
def up(
    ctx: typer.Context,
    foreground: Annotated[bool, typer.Option("--foreground", help="Run in the foreground until Ctrl-C.")] = False,
) -> None:
    """Start the endpoint and the workers.

    Without URLs in the settings, it also starts an embedded PostgreSQL and Valkey.

    Example: dcmon up
    """
    if foreground:
        stop_signals.exit_at_signals()
    from dcmon.commands.operations import supervisor as operation

    started = operation.start(ctx.obj, in_foreground=foreground)
    if started is not None:
        ctx.obj.output.value(started, remark='dcmon is up. "dcmon status" shows it, "dcmon down" stops it.')

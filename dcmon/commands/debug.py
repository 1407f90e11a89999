"""Collect what is needed to find a fault, without secrets."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.groups import group

app = group(__doc__)

File = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="A .tar.gz or .zip; default: dcmon-debug-TIME.tar.gz here.")
]
Timeout = Annotated[timedelta, options.duration_option("--timeout", "Longest time to collect: 30s, 2m.")]


@app.command()
def bundle(
    ctx: typer.Context,
    file: File = None,
    timeout: Timeout = timedelta(minutes=1),
    replace: options.Replace = False,
) -> None:
    """Write an archive for somebody who helps: versions, settings, status, logs, PostgreSQL, Kafka, receivers.

    Secrets are removed, and it is sent to no one. It is written also when PostgreSQL is down or hangs: exit 8 then.

    Example: dcmon debug bundle bundle.tar.gz
    """
    from dcmon.commands.operations import debug_bundle as operation
    from dcmon.commands.views import debug_bundle as view

    written = operation.write(ctx.obj, file, timeout.total_seconds(), is_replaced=replace)
    ctx.obj.output.page(view.written(written))
    if not written.is_complete:
        raise typer.Exit(8)

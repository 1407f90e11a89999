"""Write a model's pages as one HTML file for offline use."""

from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.groups import single

app = single()


@app.command()
def report(
    ctx: typer.Context,
    model: options.ModelName,
    file: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help='File to write; "-": stdout. Default: MODEL.html, here.'),
    ] = None,
    since: options.WindowsSince = None,
    until: options.WindowsUntil = None,
    replace: options.Replace = False,
) -> None:
    """Write the pages of a model as one HTML file, which needs no network.

    It has the monitors over time with thresholds and alerts, what moved in each alert, the features, the flow of rows
    and the quarantine. `dcmon serve` shows the same pages live.

    Example: dcmon report credit --since 2026-10-01 --until 2026-11-01 --out october.html
    """
    from dcmon.commands.operations import report as operation
    from dcmon.monitoring.results import Span

    written = operation.write(ctx.obj, model, file, Span(since, until), is_replaced=replace)
    if written is not None:
        ctx.obj.output.value(written)

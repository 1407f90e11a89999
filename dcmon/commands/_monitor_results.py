"""The part of `dcmon monitor` that shows stored results and computes missing ones."""

from datetime import timedelta
from functools import partial
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.arguments import require_not_both
from dcmon.commands.shared.changes import changing
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import history_listing
from dcmon.commands.shared.several import run_for_all

app = group(None)

BACKFILL_TIMEOUT = "Longest wait for another run or backfill of the same monitor: 90s, 10m."


@app.command()
@history_listing
def history(
    ctx: typer.Context,
    name: options.MonitorName,
    since: options.WindowsSince = None,
    until: options.WindowsUntil = None,
    metric: Annotated[list[str] | None, typer.Option(help="Only these metrics; repeatable.")] = None,
    revisions: Annotated[
        bool,
        typer.Option("--revisions", help="List all revisions of a result, with the rows that each was computed from."),
    ] = False,
    chart: Annotated[
        bool, typer.Option("--chart", help="Draw a chart with the thresholds of rules in place of the table.")
    ] = False,
) -> None:
    """List the newest result of each window and version.

    It shows the metrics that rules name, or all metrics if no rule names one.

    Example: dcmon monitor history "credit/Prediction Drift" --chart
    """
    from dcmon.commands.views import monitor_result as view
    from dcmon.monitoring.complete_windows import EndRange

    require_not_both(chart, "--chart", revisions, "--revisions")
    ends = EndRange(since, until)
    ctx.obj.output.page(view.history(ctx.obj, name, ends, metric, is_all_revisions=revisions, is_chart=chart))


@app.command()
@changing
def backfill(
    ctx: typer.Context,
    names: options.MonitorNames,
    since: options.RequiredWindowsSince,
    until: options.WindowsUntil = None,
    timeout: Annotated[timedelta, options.duration_option("--timeout", BACKFILL_TIMEOUT)] = timedelta(minutes=10),
    notify: options.Notify = False,
) -> None:
    """Evaluate past windows of monitors that have no result yet; after an interruption, the same command continues.

    Example: dcmon monitor backfill "credit/Prediction Drift" --since 2026-11-01
    """
    from dcmon.commands.operations import monitor
    from dcmon.commands.operations import monitor_run as operation
    from dcmon.monitoring.complete_windows import EndRange

    ends = EndRange(since, until)
    request = operation.RunRequest("", ends, timeout, notifies=notify)
    run_for_all(ctx.obj.output, names, partial(monitor.find, ctx.obj), partial(operation.backfill, ctx.obj, request))

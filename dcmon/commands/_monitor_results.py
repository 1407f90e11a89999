"""The part of `dcmon monitor` that shows stored results and computes new ones."""

from datetime import datetime
from typing import Annotated, Any

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.arguments import require_not_both, require_span
from dcmon.commands.shared.groups import group
from dcmon.states import ResultState

app = group(None)

AT = "The window that ends at this time; if none ends then, the first that ends later."
TIMEOUT = "Longest wait for another run of the monitor, and with --wait for the window: 90s, 10m."
BACKFILL_TIMEOUT = "Longest wait for another run or backfill of the same monitor: 90s, 10m."


@app.command()
def history(
    ctx: typer.Context,
    name: options.MonitorName,
    since: Annotated[datetime | None, options.time_option("--since", "Only windows that end after this time.")] = None,
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

    require_not_both(chart, "--chart", revisions, "--revisions")
    ctx.obj.output.page(view.history(ctx.obj, name, since, metric, is_all_revisions=revisions, is_chart=chart))


@app.command()
def run(
    ctx: typer.Context,
    name: options.MonitorName,
    at: Annotated[datetime | None, options.time_option("--at", AT)] = None,
    from_: options.From = None,
    to: options.Until = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the window is complete; exit 3 if it is not.")
    ] = False,
    timeout: Annotated[str, typer.Option(help=TIMEOUT)] = "10m",
    notify: options.Notify = False,
) -> None:
    """Evaluate windows now, and judge them by the monitor's rules.

    A window can be evaluated when newer samples have come, or when its time is over by the clock.

    Exit 1 when a rule is violated, 8 when a window or a rule has no verdict, or when there is no such window.

    Example: dcmon monitor run "credit/Prediction Drift" --at 2026-03-10
    """
    from dcmon import durations
    from dcmon.commands.operations import monitor_run as operation
    from dcmon.commands.views import monitor_result as view
    from dcmon.monitoring.complete_windows import EndRange

    _require_one_way(at, from_, to, wait=wait)
    ends = EndRange(from_, to)
    request = operation.RunRequest(name, ends, durations.parse(timeout), at, wait, notify)
    judged = operation.run(ctx.obj, request)
    ctx.obj.output.page(view.judged_page(judged))
    if code := _exit_code(judged.rows):
        raise typer.Exit(code)


def _exit_code(rows: list[dict[str, Any]]) -> int:
    """Return 1 when a rule is violated, 8 when a verdict is missing, else 0."""
    if any(row["violates"] for row in rows):
        return 1
    return 8 if not rows or any(row["state"] != ResultState.OK or row["no_verdict"] for row in rows) else 0


def _require_one_way(at: datetime | None, from_: datetime | None, to: datetime | None, *, wait: bool) -> None:
    """Check that no options contradict each other. Raises BadParameter."""
    if at and (from_ or to):
        raise typer.BadParameter("Give either --at for one window, or --from and --to for several.")
    if wait and (from_ or to):
        raise typer.BadParameter(
            "Give --wait without --from and --to: it waits for one window, that of --at or the last one."
        )
    require_span(from_, to)


@app.command()
def backfill(
    ctx: typer.Context,
    name: options.MonitorName,
    from_: options.RequiredFrom,
    to: options.Until = None,
    timeout: Annotated[str, typer.Option(help=BACKFILL_TIMEOUT)] = "10m",
    notify: options.Notify = False,
) -> None:
    """Evaluate past windows that have no result yet; after an interruption, the same command continues.

    Example: dcmon monitor backfill "credit/Prediction Drift" --from 2026-01-01
    """
    from dcmon import durations
    from dcmon.commands.operations import monitor_run as operation
    from dcmon.monitoring.complete_windows import EndRange

    require_span(from_, to)
    ends = EndRange(from_, to)
    request = operation.RunRequest(name, ends, durations.parse(timeout), notifies=notify)
    with ctx.obj.output.progress(name, counts=True) as advance:
        done = operation.backfill(ctx.obj, request, advance)
    ctx.obj.output.value(done)

"""The part of `dcmon monitor` that evaluates windows now, by hand, in cron and in CI."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.arguments import require_not_both
from dcmon.commands.shared.changes import changing
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.report_options import run_reports

if TYPE_CHECKING:
    from dcmon.commands.operations.run_reports import Reports

app = group(None)

NAMES = "MODEL/MONITOR, MONITOR, its id, or a model: all of its monitors; several."
AT = "The window that ends at this time; if none ends then, the first that ends later."
SINCE = "All windows that end after this time, not only the last."
TIMEOUT = "Longest wait for another run of the monitor, and with --wait for the window: 90s, 10m."


@app.command()
@changing
@run_reports
def run(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="MONITOR", help=NAMES)] = None,
    all_: Annotated[bool, typer.Option("--all", help="All monitors of the organization.")] = False,
    at: Annotated[datetime | None, options.time_option("--at", AT)] = None,
    since: Annotated[datetime | None, options.time_option("--since", SINCE)] = None,
    until: options.WindowsUntil = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the window is complete; exit 3 if it is not.")
    ] = False,
    timeout: Annotated[timedelta, options.duration_option("--timeout", TIMEOUT)] = timedelta(minutes=10),
    notify: options.Notify = False,
    *,
    reports: "Reports",
) -> None:
    """Evaluate windows now, and judge them by the monitors' rules.

    A window can be evaluated when newer samples have come, or when its time is over by the clock.

    Exit 1 when a rule is violated, 8 when a window or a rule has no verdict, or when there is no such window.

    A new model has too few rows or weeks for some monitors: --allow-no-verdict lets the others decide.

    Example: dcmon monitor run credit --fail-on high --junit result.xml
    Example: dcmon monitor run --all --fail-on critical --allow-no-verdict
    """
    from dcmon.commands.operations import monitor_run as operation
    from dcmon.commands.views import monitor_result as view
    from dcmon.monitoring.complete_windows import EndRange

    _require_one_way(at, since, until, wait=wait)
    require_not_both(bool(names), "monitors", all_, "--all")
    if not names and not all_:
        raise typer.BadParameter("Name monitors or models, or give --all.")
    request = operation.RunRequest("", EndRange(since, until), timeout, at, wait, notify)
    done = operation.run(ctx.obj, names, request, reports)
    ctx.obj.output.page(view.judged_page(done.results, is_narrow=ctx.obj.output.is_narrow))
    if done.exit_code:
        raise typer.Exit(done.exit_code)


def _require_one_way(at: datetime | None, since: datetime | None, until: datetime | None, *, wait: bool) -> None:
    """Check that no options contradict each other. Raises BadParameter."""
    if at and (since or until):
        raise typer.BadParameter("Give either --at for one window, or --since and --until for several.")
    if wait and (since or until):
        raise typer.BadParameter(
            "Give --wait without --since and --until: it waits for one window, that of --at or the last one."
        )

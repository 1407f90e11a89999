"""Results of monitors, looked back at or made now: a part of `dcmon monitor`."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands.shared.arguments import as_utc
from dcmon.commands.shared.groups import group
from dcmon.states import ResultState

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.db.tables.org import Result

app = group(None)

LONGEST_WAIT = "Longest wait for another run of the same monitor, and with --wait for the window: 90s, 10m."
LONGEST_WAIT_OF_A_BACKFILL = "Longest wait for another run or backfill of the same monitor: 90s, 10m."
FEW = 3  # metrics in a line of 80 characters
Name = Annotated[str, typer.Argument(help="MODEL/MONITOR, MONITOR where only one model has it, or its id.")]


@app.command()
def history(
    ctx: typer.Context,
    name: Name,
    since: Annotated[datetime | None, typer.Option(help="Only windows that end after this, UTC.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Only these metrics; repeatable.")] = None,
    revisions: Annotated[
        bool, typer.Option("--revisions", help="All results of a window, with what each was computed from.")
    ] = False,
) -> None:
    """List the newest result of every window and version, with the metrics that rules name, or all.

    Example: dcmon monitor history "credit/Prediction Drift"
    """
    from dataclasses import replace

    from dcmon.monitoring import monitor_views, monitors, results

    with ctx.obj.org() as session:
        monitor, after = monitors.find(session, name).id, as_utc(since) if since else None
        found = (results.all_revisions if revisions else results.series)(session, monitor, after)
        names = monitor_views.version_names(session)
        metrics = _chosen(
            metric or [], replace(monitor_views.get_view(session, monitor, last=0), results=found).metrics, found
        )
        rows = [row(each, names, next(iter(metrics), None)) for each in found]
    shown = spread(rows, metrics if metric or not ctx.obj.output.is_narrow else metrics[:FEW])
    compared = ["compared_end"] if any(row["compared_end"] for row in rows) else []
    columns = ["window_end", *versions(rows), "state", *shown, "n", "revision", "driver", *compared, "reason"]
    if revisions:
        columns = ["window_end", "version", "revision", "state", *shown, "n", "of", "labelled", "rows",
                   "reference_revision", "seconds", "computed_at"]  # fmt: skip
    ctx.obj.output.table(rows, columns, empty="No window was evaluated yet.")


def _chosen(wanted: list[str], usual: list[str], found: "Sequence[Result]") -> list[str]:
    """The metrics that were asked for, in any case of letters; without any, the usual ones. Raises BadParameter."""
    known = {name.lower(): name for each in found for name in each.metrics}
    for name in wanted:
        if known and name.lower() not in known:
            there = ", ".join(known.values())
            raise typer.BadParameter(f"No result has a metric {name!r}: there are {there}.", param_hint="--metric")
    return [known.get(name.lower(), name) for name in wanted] or usual


@app.command()
def run(
    ctx: typer.Context,
    name: Name,
    at: Annotated[datetime | None, typer.Option(help="The window that ends then or before, UTC.")] = None,
    from_: Annotated[datetime | None, typer.Option("--from", help="Windows that end after this, UTC.")] = None,
    to: Annotated[datetime | None, typer.Option("--to", help="… and not after this, UTC.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the window is complete; exit 3 if it is not.")
    ] = False,
    timeout: Annotated[str, typer.Option(help=LONGEST_WAIT)] = "10m",
    notify: Annotated[bool, typer.Option("--notify", help="Notify of what changes.")] = False,
) -> None:
    """Evaluate now; exit 1 when a rule is violated, 8 when there is no verdict, or a rule has none.

    Example: dcmon monitor run "credit/Prediction Drift" --wait
    """
    from dataclasses import replace
    from datetime import UTC

    from dcmon import durations
    from dcmon.db import work_queue
    from dcmon.monitoring import manual_runs, monitor_views, monitors
    from dcmon.monitoring.manual_runs import EndRange, Readiness

    if at and (from_ or to):
        raise typer.BadParameter("Give --at for one window, or --from and --to for many.")
    if wait and (from_ or to):
        raise typer.BadParameter("--wait waits for one window: the one that --at says, or the last one.")
    require_span(from_, to)
    app, longest = ctx.obj, durations.parse(timeout)
    org = app.organization()
    with app.org(org) as session:
        wanted = monitors.find(session, name).id
    until = at or to
    span = EndRange(as_utc(from_) if from_ else None, as_utc(until) if until else None)

    def look() -> Readiness:
        with app.org(org) as session:
            if not wait:
                return Readiness(manual_runs.complete_windows(session, wanted, span), None)
            return manual_runs.readiness(session, wanted, span.until, datetime.now(UTC))

    due = manual_runs.wait_until_complete(look, longest, app.output.say)
    with manual_runs.exclusive_run(app.engine, org, name, wanted, longest, app.output.say):
        link = app.settings.url if notify else None
        found = list(manual_runs.evaluate_windows(app.engine, org, wanted, due, app.settings.evaluate, link))
    if notify:
        app.enqueue(org, work_queue.Work.notify)
    with app.org(org) as session:
        names = monitor_views.version_names(session)
        metrics = replace(monitor_views.get_view(session, wanted, last=0), results=found).metrics
        rows = [_judged(session, each, names, metrics) for each in found]
    columns = ["window_end", *versions(rows), "state", *spread(rows, metrics[:FEW]), "n", "violates", "reason"]
    app.output.table(rows, columns, empty="There is no complete window with samples yet.")
    if any(row["violates"] for row in rows):
        raise typer.Exit(1)
    if not rows or any(row["state"] != ResultState.OK or row["no_verdict"] for row in rows):
        raise typer.Exit(8)


@app.command()
def backfill(
    ctx: typer.Context,
    name: Name,
    from_: Annotated[datetime, typer.Option("--from", help="Windows that end after this, UTC.")],
    to: Annotated[datetime | None, typer.Option("--to", help="… and not after this, UTC.")] = None,
    timeout: Annotated[str, typer.Option(help=LONGEST_WAIT_OF_A_BACKFILL)] = "10m",
    notify: Annotated[bool, typer.Option("--notify", help="Notify of what changes.")] = False,
) -> None:
    """Evaluate the windows of the past that have no result yet; interrupted, the same command goes on.

    Example: dcmon monitor backfill "credit/Prediction Drift" --from 2026-01-01
    """
    from dcmon import durations
    from dcmon.db import work_queue
    from dcmon.monitoring import manual_runs, monitors
    from dcmon.monitoring.manual_runs import EndRange

    require_span(from_, to)
    app = ctx.obj
    org = app.organization()
    with app.org(org) as session:
        wanted = monitors.find(session, name).id
    states: dict[str, int] = {}
    with manual_runs.exclusive_run(app.engine, org, name, wanted, durations.parse(timeout), app.output.say):
        with app.org(org) as session:
            asked = manual_runs.complete_windows(session, wanted, EndRange(as_utc(from_), as_utc(to) if to else None))
            due = manual_runs.unevaluated_windows(session, wanted, asked, app.settings.evaluate, org.retention)
        with app.output.progress(name, counts=True) as advance:
            link = app.settings.url if notify else None
            for number, each in enumerate(
                manual_runs.evaluate_windows(app.engine, org, wanted, due, app.settings.evaluate, link), 1
            ):
                states[each.state] = states.get(each.state, 0) + 1
                advance(number, len(due))
    if notify:
        app.enqueue(org, work_queue.Work.notify)
    app.output.value({"monitor": name, "windows": len(asked), "there": len(asked) - len(due), "evaluated": len(due),
                      "states": states})  # fmt: skip


def require_span(from_: datetime | None, to: datetime | None) -> None:
    """Raises BadParameter for a span that ends before it begins."""
    if from_ is not None and to is not None and to <= from_:
        raise typer.BadParameter(f"It ends at {to:%Y-%m-%d %H:%M}, before it begins.", param_hint="--to")


def versions(rows: list[dict[str, Any]]) -> list[str]:
    """A column for the version, where there are several."""
    return ["version"] if len({row["version"] for row in rows}) > 1 else []


def spread(rows: list[dict[str, Any]], metrics: list[str]) -> list[str]:
    """The columns of a table's metrics, which its rows have then: one is its value, several go by their names."""
    if len(metrics) < 2:
        return ["value"]
    columns = {name if rows and name not in rows[0] else f"{name} (metric)": name for name in metrics}
    for each in rows:
        each |= {column: each["metrics"].get(name) for column, name in columns.items()}
    return list(columns)


def _judged(session: "Session", result: "Result", names: dict[int, str], metrics: list[str]) -> dict[str, Any]:
    """A result with what the active rules say of it; `no_verdict`: why one of them says nothing."""
    from dcmon.alerting import verdicts

    made, ruling = row(result, names, next(iter(metrics), None)), verdicts.for_result(session, result)
    reason = made["reason"] or ruling.no_verdict_reason
    return {**made, "violates": ruling.violations, "no_verdict": ruling.no_verdict_reason, "reason": reason}


def row(result: "Result", names: dict[int, str], metric: str | None) -> dict[str, Any]:
    """A result as a row; `metric`: the one that is its value."""
    return {
        "window_start": result.window_start,
        "window_end": result.window_end,
        "state": result.state,
        "metric": metric,
        "value": result.metrics.get(metric) if metric is not None else None,
        "metrics": result.metrics,
        "n": result.n,
        "revision": result.revision,
        "reference_revision": result.reference_revision,
        "driver": next(iter(result.entries), None),
        "entries": result.entries,
        "reason": result.reason,
        "version_id": result.version_id,
        "version": names.get(result.version_id),
        "compared_start": result.compared_start,
        "compared_end": result.compared_end,
        "compared_n": result.compared_n if result.compared_end else None,
        "compared_revision": result.compared_rows_revision if result.compared_end else None,
        "of": result.n_rows,
        "labelled": result.n_labelled,
        "label_coverage": round(result.n_labelled / result.n_rows, 4) if result.n_rows else None,
        "rows": result.how.get("rows"),
        "how": result.how,
        "monitor_revision": result.monitor_revision,
        "seconds": round(result.duration.total_seconds(), 3),
        "computed_at": result.computed_at,
    }

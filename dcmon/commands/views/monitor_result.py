"""Results of monitors, as rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from dcmon.alerting.rules import for_monitor
from dcmon.commands.views import monitor_chart
from dcmon.formatting import format_moment, format_number
from dcmon.monitoring import monitor_views, monitors, results
from dcmon.nearest import meant
from dcmon.output import Lines, Page, Remark, Table

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.app import App
    from dcmon.db.tables.org import Result
    from dcmon.monitoring.complete_windows import EndRange

REVISION_COLUMNS = ("n", "of", "labelled", "rows", "reference_revision", "seconds", "computed_at")
LONG_REASON = 30  # characters
NO_WINDOW = "No window was evaluated yet."
SHOWN_METRICS = 3  # of a result in a line of 80 characters


class ResultRows(NamedTuple):
    """Results as rows, and the metrics that they are shown with.

    `none`: what is shown when there is no result.
    """

    rows: list[dict[str, Any]]
    metrics: list[str]
    none: str | None = None


def history(
    app: "App",
    name: str,
    ends: "EndRange",
    wanted: list[str] | None,
    *,
    is_all_revisions: bool = False,
    is_chart: bool = False,
) -> Page:
    """Show results of a monitor, with the metrics `wanted` or those that rules name. Raises BadParameter.

    `is_chart`: as a chart of the first of these metrics, or of each wanted one, in place of a table.
    """
    with app.org() as session:
        monitor_id = monitors.find(session, name).id
        read = results.all_revisions if is_all_revisions else results.series
        stored = read(session, monitor_id, results.Span(ends.after, ends.until))
        metrics = _chosen_metrics(wanted or [], _usual_metrics(session, monitor_id, stored), stored)
        rows = _rows(session, stored, metrics)
        if is_chart:
            drawn = [] if app.output.is_data else monitor_chart.charts(
                for_monitor(session, monitor_id), app.output.newest(stored), metrics if wanted else metrics[:1],
                monitor_views.version_names(session), app.output,
            )  # fmt: skip
            return Page(rows, drawn or [Remark(_no_window(ends))])
    metrics = metrics if wanted or not app.output.is_narrow else metrics[:SHOWN_METRICS]
    shown = metric_columns(rows, metrics)
    compared = ["compared_end"] if any(row["compared_end"] for row in rows) else []
    columns = ["window_end", *version_columns(rows), "state", *shown, "n", "revision", "driver", *compared, "reason"]
    if is_all_revisions:
        columns = ["window_end", "version", "revision", "state", *shown, *REVISION_COLUMNS]
    lines = [{**row, **_with_limits(row, shown, metrics)} for row in rows]
    notes = number_reasons(lines) if "reason" in columns else []
    table = Table(lines, columns, empty=_no_window(ends))
    return Page(rows, [table, Lines(notes, title="Reasons")] if notes else [table])


def _no_window(ends: "EndRange") -> str:
    if ends.after is None and ends.until is None:
        return NO_WINDOW
    limits = [("after", ends.after), ("not after", ends.until)]
    which = " and ".join(f"{word} {format_moment(time)}" for word, time in limits if time is not None)
    return f"No window that ends {which} was evaluated."


def number_reasons(lines: list[dict[str, Any]], *, is_narrow: bool = False) -> list[str]:
    """Replace long reasons that are repeated by numbers; return the reasons with their numbers.

    `is_narrow`: also those that are not repeated, because a column of a narrow table would part each of their words.
    """
    counts = Counter(line["reason"] for line in lines if line["reason"] and len(line["reason"]) > LONG_REASON)
    numbers = {reason: f"({number})" for number, reason in enumerate(counts, 1)}
    if not is_narrow and counts.total() == len(counts):
        return []
    for line in lines:
        line["reason"] = numbers.get(line["reason"], line["reason"])
    return [f"{number} {reason}" for reason, number in numbers.items()]


def _with_limits(row: dict[str, Any], columns: list[str], metrics: list[str]) -> dict[str, Any]:
    """Return the columns of metrics as text, each value with the limits of its interval, or with its noise."""
    return {
        column: _value_text(row[column], (row["intervals"] or {}).get(metric), (row["noise"] or {}).get(metric))
        for column, metric in zip(columns, metrics, strict=False)
    }


def _value_text(value: float | None, limits: list[float] | None, noise: float | None) -> float | str | None:
    """Return e.g. "0.9 (0.88..0.92)", and "0.1 (noise 0.06)" for a drift that has only a noise."""
    if value is None or (limits is None and noise is None):
        return value
    if limits is not None:
        return f"{format_number(value)} ({format_number(limits[0])}..{format_number(limits[1])})"
    return f"{format_number(value)} (noise {format_number(noise)})"


def judged(session: "Session", monitor_id: int, shown: "Sequence[Result]", none: str | None = None) -> ResultRows:
    """List results with the active rules that each of them violates.

    A row also has the reason for a missing verdict, and `failed`: the check or a rule did not work. `none`: what is
    shown when there is no result.
    """
    from dcmon.alerting import verdicts

    metrics = _usual_metrics(session, monitor_id, shown)
    rows = _rows(session, shown, metrics)
    for row, result in zip(rows, shown, strict=True):
        ruling = verdicts.for_result(session, result)
        reason = row["reason"] or ruling.no_verdict_reason
        row |= {"violates": ruling.violations, "no_verdict": ruling.no_verdict_reason, "reason": reason}
        row["failed"] = ruling.failed
    return ResultRows(rows, metrics, none)


def judged_page(judged_results: ResultRows, *, is_narrow: bool = False) -> Page:
    """Show results with the rules that each violates, as `judged` lists them; long reasons below the table."""
    rows, metrics, none = judged_results
    shown = metric_columns(rows, metrics[:SHOWN_METRICS])
    columns = [
        *(["monitor"] if len({row["monitor"] for row in rows}) > 1 else []),
        *("window_end", *version_columns(rows), "state", *shown, "n", "violates", "reason"),
    ]
    lines = [dict(row) for row in rows]
    notes = number_reasons(lines, is_narrow=is_narrow)
    table = Table(lines, columns, empty=none or "No window was evaluated.")
    return Page(rows, [table, Lines(notes, title="Reasons")] if notes else [table])


def _usual_metrics(session: "Session", monitor_id: int, shown: "Sequence[Result]") -> list[str]:
    """Return the metrics that rules name, or all that the results have."""
    return replace(monitor_views.get_view(session, monitor_id, last=0), results=shown).metrics


def _rows(session: "Session", shown: "Sequence[Result]", metrics: list[str]) -> list[dict[str, Any]]:
    names = monitor_views.version_names(session)
    return [result_row(result, names, next(iter(metrics), None)) for result in shown]


def _chosen_metrics(wanted: list[str], usual: list[str], shown: "Sequence[Result]") -> list[str]:
    """Return the wanted metrics, in any case of letters; without any, the usual ones. Raises BadParameter."""
    known = {name.lower(): name for result in shown for name in result.metrics}
    for name in wanted:
        if known and name.lower() not in known:
            names = ", ".join(known.values())
            raise typer.BadParameter(
                f"No result has a metric {name!r}.{meant(name, known.values())} The metrics are {names}.",
                param_hint="--metric",
            )
    return [known.get(name.lower(), name) for name in wanted] or usual


def result_row(result: "Result", names: dict[int, str], metric: str | None) -> dict[str, Any]:
    """Return a result as a row; its value is that of `metric`."""
    return {
        "window_start": result.window_start,
        "window_end": result.window_end,
        "state": result.state,
        "metric": metric,
        "value": result.metrics.get(metric) if metric is not None else None,
        "low": _limits(result, metric)[0],
        "high": _limits(result, metric)[1],
        "metrics": result.metrics,
        "intervals": result.intervals,
        "noise": result.noise,
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


def _limits(result: "Result", metric: str | None) -> tuple[float | None, float | None]:
    low, high = (result.intervals or {}).get(metric or "", (None, None))
    return low, high


def version_columns(rows: list[dict[str, Any]]) -> list[str]:
    """Return a column for the version if there are several."""
    return ["version"] if len({row.get("version") for row in rows}) > 1 else []


def metric_columns(rows: list[dict[str, Any]], metrics: list[str]) -> list[str]:
    """Return the columns of metrics, and add these columns to the rows.

    A single metric is the column "value"; of several, each has a column with its name.
    """
    if len(metrics) < 2:
        return ["value"]
    columns = {name if rows and name not in rows[0] else f"{name} (metric)": name for name in metrics}
    for row in rows:
        row |= {column: row["metrics"].get(name) for column, name in columns.items()}
    return list(columns)

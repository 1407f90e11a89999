"""Monitors, as lists and in detail."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dcmon import durations
from dcmon.commands.views.monitor_result import SHOWN_METRICS, metric_columns, result_row, version_columns
from dcmon.monitoring import monitor_views, monitors, progress
from dcmon.output import Fields, Page, Part, Table
from dcmon.storage import filter_parser, models, versions

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.monitoring.monitor_views import MonitorView

SHOWN_WINDOWS, LAST_RESULTS = 48, 10  # of a version in a row of blocks; in the table of results
COMPARE_WORDS = {"reference": "reference", "previous": "previous", "week": "week_before"}  # of --compare
TABLE_KEYS = ("last", "state", "window_end", "liveness", "history")
VERSION_KEYS = ("last", "state", "window_end", "liveness", "awaited", "history")


def rows(app: "App", model: str | None) -> list[dict[str, Any]]:
    """List monitors, one row for each version."""
    org = app.organization()
    with app.org(org) as session:
        model_id = models.find(session, model).id if model else None
        views = monitor_views.list_views(session, model_id, last=SHOWN_WINDOWS)
        of_model = {view.model.id: versions.entries(session, view.model) for view in views}
        now, quiet = datetime.now(UTC), app.settings.evaluate.last_window_quiet
        lines = [
            progress.list_lines(session, view, of_model[view.model.id], now, org.retention, quiet) for view in views
        ]
        names = monitors.exact_names(session)
        return [{"name": names[line.view.monitor.id], **line.row} for of_monitor in lines for line in of_monitor]


def has_several_versions(listed: list[dict[str, Any]]) -> bool:
    """Return True if a monitor has several rows, one for each version."""
    return len({row["id"] for row in listed}) < len(listed)


def detail(app: "App", name: str) -> Page:
    """Show a monitor, its versions and its last results. Raises MonitorNotFound."""
    org = app.organization()
    with app.org(org) as session:
        view = monitor_views.get_view(session, monitors.find(session, name).id, last=SHOWN_WINDOWS)
        names = monitor_views.version_names(session)
        model_versions = versions.entries(session, view.model)
        quiet = app.settings.evaluate.last_window_quiet
        lines = progress.list_lines(session, view, model_versions, datetime.now(UTC), org.retention, quiet)
        results = [result_row(result, names, view.metric) for result in view.results[-LAST_RESULTS:]]
        row = {"name": monitors.exact_names(session)[view.monitor.id], **_about(view, is_json=app.output.is_data)}
    version_rows = [line.row for line in lines]
    row_with_newest = {**row, **{key: version_rows[0][key] for key in VERSION_KEYS}}
    parts: list[Part] = [Fields(row_with_newest)]
    if len(version_rows) > 1:
        parts = [Fields(row), Table(version_rows, ["version", *TABLE_KEYS], title="Versions")]
    data = {**row_with_newest, "versions": version_rows, "results": [dict(result) for result in results]}
    return Page(data, [*parts, _results_table(results, view.metrics[:SHOWN_METRICS])])


def _results_table(results: list[dict[str, Any]], metrics: list[str]) -> Table:
    columns = [*version_columns(results), "window_end", "state"]
    columns += [*metric_columns(results, metrics), "n", "revision", "driver"]
    return Table(results, columns, title="Last results", empty="No result yet.")


def _about(view: "MonitorView", *, is_json: bool) -> dict[str, Any]:
    """Describe a monitor by the names of the options that create it."""
    monitor, kwargs = view.monitor, view.monitor.additional_kwargs or {}
    return {
        **{
            key: value
            for key, value in monitor_views.monitor_row(view).items()
            if key in ("id", "monitor", "default", "every", "rules")
        },
        "check": f"{view.check.name} ({view.check.class_name})",
        "params": view.check.params,
        "choices": kwargs.get("check_conf"),
        "filters": monitor.data_filters if is_json else filter_parser.write(monitor.data_filters) or None,
        "compared_with": next(word for word, with_ in COMPARE_WORDS.items() if with_ == monitor.compared_with)
        if view.check.needs_reference
        else None,
        "metric": kwargs.get("res_conf"),
        "rows": {None: "default", 0: "all"}.get(monitor.rows, monitor.rows),
        "lookback": durations.to_text(monitor.lookback),
        "description": monitor.description or None,
        "revision": monitor.revision,
    }

"""Monitors, as lists and in detail."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmon import durations
from dcmon.commands.views.monitor_result import result_row
from dcmon.monitoring import monitor_views, monitors, progress
from dcmon.storage import filter_parser, models, versions

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.monitoring.monitor_views import MonitorView

SHOWN_WINDOWS, LAST_RESULTS = 48, 10  # of a version in a row of blocks; in the table of results
COMPARE_WORDS = {"reference": "reference", "previous": "previous", "week": "week_before"}  # of --compare
TABLE_KEYS = ("last", "state", "window_end", "liveness", "history")
VERSION_KEYS = ("last", "state", "window_end", "liveness", "awaited", "history")


class MonitorDetail(NamedTuple):
    """A monitor's row, a row for each version, its last results, and the metrics that rules name."""

    row: dict[str, Any]
    versions: list[dict[str, Any]]
    results: list[dict[str, Any]]
    metrics: list[str]


def rows(app: "App", model: str | None) -> list[dict[str, Any]]:
    """List monitors, one row for each version."""
    org = app.organization()
    with app.org(org) as session:
        model_id = models.find(session, model).id if model else None
        views = monitor_views.list_views(session, model_id, last=SHOWN_WINDOWS)
        of_model = {view.model.id: versions.entries(session, view.model) for view in views}
        now = datetime.now(UTC)
        lines = [progress.list_lines(session, view, of_model[view.model.id], now, org.retention) for view in views]
        return [line.row for monitor_lines in lines for line in monitor_lines]


def has_several_versions(listed: list[dict[str, Any]]) -> bool:
    """Return True if a monitor has several rows, one for each version."""
    return len({row["id"] for row in listed}) < len(listed)


def detail(app: "App", name: str) -> MonitorDetail:
    """Describe a monitor, its versions and its last results. Raises MonitorNotFound."""
    org = app.organization()
    with app.org(org) as session:
        view = monitor_views.get_view(session, monitors.find(session, name).id, last=SHOWN_WINDOWS)
        names = monitor_views.version_names(session)
        model_versions = versions.entries(session, view.model)
        lines = progress.list_lines(session, view, model_versions, datetime.now(UTC), org.retention)
        results = [result_row(result, names, view.metric) for result in view.results[-LAST_RESULTS:]]
        row = _about(view, is_json=app.output.is_json)
        return MonitorDetail(row, [line.row for line in lines], results, view.metrics)


def with_newest(monitor: MonitorDetail) -> dict[str, Any]:
    """Return the monitor's row, with the newest window of its first version."""
    return {**monitor.row, **{key: monitor.versions[0][key] for key in VERSION_KEYS}}


def _about(view: "MonitorView", *, is_json: bool) -> dict[str, Any]:
    """Describe a monitor by the names of the options that create it."""
    monitor, kwargs = view.monitor, view.monitor.additional_kwargs or {}
    return {
        **{
            key: value
            for key, value in monitor_views.monitor_row(view).items()
            if key in ("id", "monitor", "every", "rules")
        },
        "check": f"{view.check.name} ({view.check.class_name})",
        "params": view.check.params,
        "choices": kwargs.get("check_conf"),
        "filters": monitor.data_filters if is_json else filter_parser.write(monitor.data_filters),
        "compared_with": next(word for word, with_ in COMPARE_WORDS.items() if with_ == monitor.compared_with)
        if view.check.needs_reference
        else None,
        "metric": kwargs.get("res_conf"),
        "rows": {None: "default", 0: "all"}.get(monitor.rows, monitor.rows),
        "lookback": durations.to_text(monitor.lookback),
        "description": monitor.description or None,
        "revision": monitor.revision,
    }

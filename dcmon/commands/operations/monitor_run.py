"""Evaluate windows of a monitor now, in the process of the command."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmon import errors
from dcmon.commands.operations import run_reports
from dcmon.commands.views import monitor_result as view
from dcmon.db import work_queue
from dcmon.formatting import listed
from dcmon.monitoring import complete_windows, manual_runs, monitors
from dcmon.monitoring.complete_windows import EndRange
from dcmon.monitoring.manual_runs import Readiness

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.commands.views.monitor_result import ResultRows


@dataclass(frozen=True)
class RunRequest:
    """The windows of a monitor, MODEL/MONITOR, to evaluate: those that end in a time range, or the one at a time.

    With `waits`, wait until the last window, or that at the time, is complete. `timeout` limits this wait, and the wait
    for another run.
    """

    monitor: str
    ends: EndRange
    timeout: timedelta
    at: datetime | None = None
    waits: bool = False
    notifies: bool = False


class Run(NamedTuple):
    """The judged results of a run, and the exit code of the command."""

    results: "ResultRows"
    exit_code: int


def run(app: "App", names: Sequence[str] | None, request: RunRequest, reports: run_reports.Reports) -> Run:
    """Evaluate complete windows of monitors, found by their names or those of models, and write reports.

    Without names, of all monitors. Of several monitors, one that can't be evaluated is a row with the reason, and the
    others go on. Raises MonitorNotFound, and for a single one also MonitorBusy, NoWindowAt or StillIncomplete.
    """
    chosen = _chosen(app, names)
    judged = [_run_or_reason(app, replace(request, monitor=name), is_single=len(chosen) == 1) for name in chosen]
    rows = [row for results in judged for row in results.rows]
    if app.effects is None:
        run_reports.write(rows, reports, app.output)
    elif reports.files:
        app.output.remark(f"A dry run writes no report: {listed(reports.files)} stays as it is.")
    metrics = judged[0].metrics if len(judged) == 1 else []
    return Run(view.ResultRows(rows, metrics, judged[0].none if judged else None), run_reports.exit_code(rows, reports))


def _chosen(app: "App", names: Sequence[str] | None) -> list[str]:
    """Return the monitors that names mean, as MODEL/MONITOR; None: all. Raises MonitorNotFound or InvalidInput."""
    with app.org() as session:
        if names is None:
            return [name for _, name in monitors.named(session)]
        chosen = list[str]()
        for name in names:
            chosen += monitors.find_names(session, name)
    return list(dict.fromkeys(chosen))


def _run_or_reason(app: "App", request: RunRequest, *, is_single: bool) -> "ResultRows":
    """Run a monitor; of several, one without a result has a row with the reason."""
    failed = False
    try:
        results = _run(app, request)
    except (errors.MonitorBusy, errors.NoWindowAt, errors.StillIncomplete) as error:
        if is_single:
            raise
        results, failed = view.ResultRows([], [], str(error)), not isinstance(error, errors.NoWindowAt)
    if results.rows or is_single:
        return results
    row: dict[str, Any] = {"monitor": request.monitor, "state": None, "violates": [], "failed": failed}
    return view.ResultRows([{**row, "no_verdict": results.none, "reason": results.none}], [])


def _run(app: "App", request: RunRequest) -> "ResultRows":
    org = app.organization()
    with app.org(org) as session:
        monitor_id = monitors.find(session, request.monitor).id

    def ready_windows() -> Readiness:
        with app.org(org) as session:
            now = datetime.now(UTC)
            if request.waits:
                return manual_runs.readiness(session, monitor_id, request.at, now)
            if request.at is not None:
                return Readiness(complete_windows.ending_at(session, monitor_id, request.at, now), None)
            return Readiness(complete_windows.in_range(session, monitor_id, request.ends, now), None)

    due = manual_runs.wait_until_complete(ready_windows, request.timeout, app.output.remark)
    with manual_runs.exclusive_run(app.engine, org, request.monitor, monitor_id, request.timeout, app.output.remark):
        link = app.settings.url if request.notifies else None
        results = list(manual_runs.evaluate_windows(app.engine, org, monitor_id, due, app.settings.evaluate, link))
    if request.notifies:
        app.enqueue(org, work_queue.Work.notify)
    with app.org(org) as session:
        none = None if results else complete_windows.describe_ends(session, monitor_id, datetime.now(UTC))
        rows, metrics, none = view.judged(session, monitor_id, results, none)
    return view.ResultRows([{"monitor": request.monitor, **row} for row in rows], metrics, none)


def backfill(app: "App", request: RunRequest, name: str) -> dict[str, Any]:
    """Evaluate windows of a monitor that have no result. Raises MonitorNotFound or MonitorBusy."""
    with app.output.progress(name, counts=True) as advance:
        return _backfill(app, replace(request, monitor=name), advance)


def _backfill(app: "App", request: RunRequest, advance: Callable[[int, int], None]) -> dict[str, Any]:
    org, evaluate = app.organization(), app.settings.evaluate
    with app.org(org) as session:
        monitor_id = monitors.find(session, request.monitor).id
    states: dict[str, int] = {}
    with manual_runs.exclusive_run(app.engine, org, request.monitor, monitor_id, request.timeout, app.output.remark):
        with app.org(org) as session:
            windows = complete_windows.in_range(session, monitor_id, request.ends, datetime.now(UTC))
            due = manual_runs.unevaluated_windows(session, monitor_id, windows, evaluate, org.retention)
        link = app.settings.url if request.notifies else None
        results = manual_runs.evaluate_windows(app.engine, org, monitor_id, due, evaluate, link)
        for number, result in enumerate(results, 1):
            states[result.state] = states.get(result.state, 0) + 1
            advance(number, len(due))
    if request.notifies:
        app.enqueue(org, work_queue.Work.notify)
    return {
        "monitor": request.monitor, "windows": len(windows), "existing": len(windows) - len(due), "evaluated": len(due),
        "states": states,
    }  # fmt: skip

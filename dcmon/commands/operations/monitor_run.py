"""Evaluate windows of a monitor now, in the process of the command."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dcmon.commands.views import monitor_result as view
from dcmon.db import work_queue
from dcmon.monitoring import manual_runs, monitors
from dcmon.monitoring.manual_runs import EndRange, Readiness

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.commands.views.monitor_result import ResultRows


@dataclass(frozen=True)
class RunRequest:
    """The windows of a monitor to evaluate: those that end in a time range.

    With `waits`, wait until the last window is complete. `timeout` limits this wait, and the wait for another run.
    """

    monitor: str
    ends: EndRange
    timeout: timedelta
    waits: bool = False
    notifies: bool = False


def run(app: "App", request: RunRequest) -> "ResultRows":
    """Evaluate complete windows. Raises MonitorNotFound, MonitorBusy or StillIncomplete."""
    org = app.organization()
    with app.org(org) as session:
        monitor_id = monitors.find(session, request.monitor).id

    def ready_windows() -> Readiness:
        with app.org(org) as session:
            if not request.waits:
                return Readiness(manual_runs.complete_windows(session, monitor_id, request.ends), None)
            return manual_runs.readiness(session, monitor_id, request.ends.until, datetime.now(UTC))

    due = manual_runs.wait_until_complete(ready_windows, request.timeout, app.output.remark)
    with manual_runs.exclusive_run(app.engine, org, request.monitor, monitor_id, request.timeout, app.output.remark):
        link = app.settings.url if request.notifies else None
        results = list(manual_runs.evaluate_windows(app.engine, org, monitor_id, due, app.settings.evaluate, link))
    if request.notifies:
        app.enqueue(org, work_queue.Work.notify)
    with app.org(org) as session:
        return view.judged(session, monitor_id, results)


def backfill(app: "App", request: RunRequest, advance: Callable[[int, int], None]) -> dict[str, Any]:
    """Evaluate windows without a result; report progress by `advance(done, total)`.

    Raises MonitorNotFound or MonitorBusy.
    """
    org, evaluate = app.organization(), app.settings.evaluate
    with app.org(org) as session:
        monitor_id = monitors.find(session, request.monitor).id
    states: dict[str, int] = {}
    with manual_runs.exclusive_run(app.engine, org, request.monitor, monitor_id, request.timeout, app.output.remark):
        with app.org(org) as session:
            windows = manual_runs.complete_windows(session, monitor_id, request.ends)
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

"""Evaluate windows of a monitor now, in the process of the command."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dcmon.commands.views import monitor_result as view
from dcmon.db import work_queue
from dcmon.monitoring import complete_windows, manual_runs, monitors
from dcmon.monitoring.complete_windows import EndRange
from dcmon.monitoring.manual_runs import Readiness

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.commands.views.monitor_result import ResultRows


@dataclass(frozen=True)
class RunRequest:
    """The windows of a monitor to evaluate: those that end in a time range, or the one at a time.

    With `waits`, wait until the last window, or that at the time, is complete. `timeout` limits this wait, and the wait
    for another run.
    """

    monitor: str
    ends: EndRange
    timeout: timedelta
    at: datetime | None = None
    waits: bool = False
    notifies: bool = False


def run(app: "App", request: RunRequest) -> "ResultRows":
    """Evaluate complete windows. Raises MonitorNotFound, MonitorBusy, NoWindowAt or StillIncomplete."""
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
        return view.judged(session, monitor_id, results, none)


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

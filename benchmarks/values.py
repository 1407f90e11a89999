"""Measure lookbacks over HTTP: of windows that are evaluated, and of windows that are computed for the request.

python -m benchmarks.values
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import urllib3
from sqlalchemy import select

from benchmarks.installation import Installation, temporary_installation
from benchmarks.measurement import measure, print_figure, print_progress
from benchmarks.monitors import MANY_DAYS, ROWS, create_monitored_version
from benchmarks.processes import running_processes
from dcmon.db.tables.org import Check, Monitor
from dcmon.monitoring import manual_runs
from dcmon.monitoring.due_windows import VersionWindow
from dcmon.windows import Window

START = datetime(2026, 3, 1, tzinfo=UTC)
EVALUATED, NEW = "Aggregated Feature Drift", ("FeatureDrift", "SingleDatasetPerformance", "PredictionDrift")
EVALUATED_LIMIT, NEW_LIMIT = 0.02, 2.0  # seconds
RUNS = 20


def main() -> None:
    """Print the figures."""
    with temporary_installation() as installation:
        version_id = create_monitored_version(installation, MANY_DAYS)
        with installation.app.org(installation.org) as session:
            checks = {check.class_name: check.id for check in session.scalars(select(Check))}
            monitor = session.scalars(select(Monitor).where(Monitor.name == EVALUATED)).one()
        with running_processes(installation.app.settings, ["serve"]) as (server,), urllib3.PoolManager() as pool:
            post = partial(_post, pool, installation)

            def figures(name: str, path: str, body: Mapping[str, Any], limit: float, runs: int) -> None:
                print_progress(f"{name}: {MANY_DAYS} windows of {ROWS} rows")
                work = partial(post, path, body)
                costs = [measure(work, installation.server, server, counts_this_process=False) for _ in range(runs)]
                print_figure(name, [cost.elapsed for cost in costs], "s", "the limit", [limit])
                total = measure(lambda: [work() for _ in range(runs)], installation.server, server)
                print_figure(f"{name}.cpu", [total.cpu / runs], "s of CPU, with PostgreSQL", "the limit", [limit])

            post("checks/1/run/window", _range(1))  # loads modules
            for name in NEW:
                path = f"checks/{checks[name]}/run/lookback"
                figures(f"values.new.{name}", path, _range(MANY_DAYS), NEW_LIMIT, 3)
            _evaluate(installation, version_id, monitor)
            path = f"checks/{monitor.check_id}/run/lookback"
            figures("values.evaluated", path, _range(MANY_DAYS, monitor), EVALUATED_LIMIT, RUNS)
            body = {"end_time": _range(MANY_DAYS)["end_time"]}
            figures("values.monitor", f"monitors/{monitor.id}/run", body, EVALUATED_LIMIT, RUNS)


def _range(days: int, monitor: Monitor | None = None) -> dict[str, Any]:
    """Return the body of a lookback of the first days, with the choices of a monitor."""
    body = {"start_time": START.isoformat(), "end_time": (START + timedelta(days=days - 1, hours=1)).isoformat()}
    return body if monitor is None else {**body, "frequency": "DAY", "additional_kwargs": monitor.additional_kwargs}


def _post(pool: urllib3.PoolManager, installation: Installation, path: str, body: Mapping[str, Any]) -> None:
    headers = {"authorization": f"Basic {installation.token}", "content-type": "application/json"}
    url = f"{installation.app.settings.url}/api/v1/{path}"
    response = pool.request("POST", url, body=json.dumps(body), headers=headers, retries=False)
    assert response.status == 200, response.data


def _evaluate(installation: Installation, version_id: int, monitor: Monitor) -> None:
    print_progress(f"evaluating {MANY_DAYS} windows")
    days = [START + timedelta(days=number) for number in range(MANY_DAYS)]
    windows = [VersionWindow(version_id, Window(day, day + timedelta(days=1))) for day in days]
    settings = installation.app.settings.evaluate
    list(manual_runs.evaluate_windows(installation.app.engine, installation.org, monitor.id, windows, settings, None))


if __name__ == "__main__":
    main()

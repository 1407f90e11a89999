"""Show the demo's results: monitors, alerts, a report, a code example, and the next commands."""

import os
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from dcmon import complete_files
from dcmon.alerting import alert_views
from dcmon.app import App
from dcmon.demo.config import MODEL
from dcmon.demo.progress import COLOURS, DemoConsole, worst_change
from dcmon.demo.state import DemoState
from dcmon.embedded import supervisor_state
from dcmon.monitoring import monitor_views
from dcmon.pages import report
from dcmon.settings import Settings
from dcmon.severity import Severity
from dcmon.states import AlertState
from dcmon.storage import models

SNIPPET = """\
import datetime, json, urllib.request
def call(method, path, body):  # log to dcmon from any Python; the SDK deepchecks-client works too
    request = urllib.request.Request("{url}/api/v1/" + path, json.dumps(body).encode(), method=method,
        headers={{"Authorization": "Basic {token}", "Content-Type": "application/json"}})
    return json.loads(urllib.request.urlopen(request).read() or "null")
model = call("POST", "models", {{"name": "my-model", "task_type": "binary"}})["id"]
columns = {{"name": "v1", "features": {{"age": "numeric"}}, "additional_data": {{}}}}
version = call("POST", f"models/{{model}}/version", columns)["id"]
now = datetime.datetime.now(datetime.timezone.utc).isoformat()
sample = {{"_dc_sample_id": now, "_dc_time": now, "_dc_prediction": "1", "age": 42}}
call("POST", f"model-versions/{{version}}/data", [sample])
call("PUT", f"model/{{model}}/labels", [{{"_dc_sample_id": now, "_dc_label": "0"}}])
"""


def show(app: App, demo: DemoState, path: Path, *, stays_up: bool) -> None:
    """Show the results of the replayed year, and write the report to `path`.

    `stays_up`: dcmon runs on after the demo, so the next commands work at once.
    """
    with app.org(demo.org) as session:
        model = models.find(session, MODEL)
        views = monitor_views.list_views(session, model.id)
        alerts = alert_views.list_alerts(session, model.id)
        page = report.model_report(session, demo.org, model)
    report.write(path, page)
    snippet = path.with_name("snippet.py")
    with complete_files.writing(snippet, complete_files.PRIVATE) as file:
        file.write(SNIPPET.format(url=app.settings.url, token=demo.token).encode())
    if app.output.is_data:
        app.output.value(_json(views, alerts, path, app, demo, snippet))
        return
    stdout = Console(highlight=False)
    stdout.print(_monitors(views, max(12, min(60, stdout.width - 62))))
    stdout.print(_alerts(alerts))
    stdout.print(Text.assemble("\nReport with a chart per monitor: ", (f"file://{path}", "bold")), soft_wrap=True)
    stdout.print(f"\nLog to this system from Python (also in {snippet}):", soft_wrap=True)
    # The terminal wraps long lines, so that code that a person copies from it runs.
    code = Syntax("", "python", background_color="default").highlight(snippet.read_text().rstrip())
    stdout.print(code, soft_wrap=True)
    stdout.print(_hints(alerts, demo, stays_up))


def _monitors(views: list[monitor_views.MonitorView], width: int) -> Table:
    table = Table(title="\nMonitors", title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name, justify in (("monitor", "left"), ("every", "left"), ("rule", "left"), ("last", "right")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    table.add_column("April to December", no_wrap=True)
    for view in views:
        row = monitor_views.monitor_row(view, width)
        rules = ", ".join(alert_views.condition(rule) for rule in view.rules) or "-"
        last = "-" if row["last"] is None else f"{row['last']:.3g}"
        table.add_row(view.monitor.name, row["every"], rules, last, row["history"])
    return table


def _alerts(alerts: list[alert_views.AlertView]) -> Table:
    table = Table(title="\nAlerts", title_justify="left", box=None, header_style="bold", pad_edge=False)
    table.add_column("id", justify="right")
    for name in ("severity", "monitor", "since", "until"):
        table.add_column(name, overflow="fold")
    table.add_column("at worst", overflow="fold")
    for view in alerts:
        alert = view.alert
        until = "still fires" if alert.state == AlertState.FIRING else f"{alert.last_window_end:%d %b}"
        severity = Text(alert.severity, COLOURS[Severity(alert.severity)])
        table.add_row(
            str(alert.id), severity, view.monitor.name, f"{alert.first_window_start:%d %b}", until,
            worst_change(alert.metric, alert.worst_value, (alert.details or {}).get("moved") or []),
        )  # fmt: skip
    return table


def _hints(alerts: list[alert_views.AlertView], demo: DemoState, stays_up: bool) -> str:
    longest = max(alerts, key=lambda view: view.alert.windows).alert.id if alerts else 1
    org = f"--org {demo.org.name} "
    up = "" if stays_up else "dcmon up                        # start the system again\n  "
    return (
        f"\nCommands to try next:\n  {_activation()}{up}"
        f"dcmon {org}alert show {longest}\n  "
        f"dcmon {org}monitor list\n  "
        f'dcmon {org}monitor run "Late Flights F1"\n  '
        f"dcmon {org}model show {MODEL}\n  "
        f'dcmon {org}rule create "Performance" "< 0.85" --severity low'
    )


def _activation() -> str:
    """Return the command that puts `dcmon` on the path of the shell, if it is not there."""
    script = Path(sys.prefix, "bin", "activate")
    return "" if shutil.which("dcmon") or not script.exists() else f". {os.path.relpath(script)}\n  "


def _json(
    views: list[monitor_views.MonitorView],
    alerts: list[alert_views.AlertView],
    path: Path,
    app: App,
    demo: DemoState,
    snippet: Path,
) -> dict[str, object]:
    return {
        "monitors": [monitor_views.monitor_row(view, 40) for view in views],
        "alerts": [alert_views.alert_row(view) for view in alerts],
        "report": str(path),
        "snippet": str(snippet),
        "endpoint": app.settings.url,
        "organization": demo.org.name,
    }


def wait_for_ctrl_c(console: DemoConsole, settings: Settings) -> None:
    """Wait until Ctrl-C, or until the system stops."""
    console.print(f"dcmon runs at {settings.url}. Press Ctrl-C to stop it.")
    try:
        while supervisor_state.read(settings) is not None:
            time.sleep(0.5)
    except KeyboardInterrupt:
        console.console.print()

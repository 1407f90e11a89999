"""The demo's console on stderr: steps, a progress bar, and arriving alerts."""

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from dcmon.severity import Severity
from dcmon.states import CLOSING_KINDS

PROGRESS_INTERVAL = 10.0  # seconds between lines, when there is no terminal for a progress bar
COLOURS = {
    Severity.LOW: "cyan",
    Severity.MEDIUM: "yellow",
    Severity.HIGH: "dark_orange",
    Severity.CRITICAL: "red",
}
CLOSING_TYPES = {f"alert.{kind}" for kind in CLOSING_KINDS}


class DemoConsole:
    """The demo's console. Safe for several threads: alerts arrive on the thread of the receiver."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.started_at = time.monotonic()
        self._known = set[int]()
        self._lock = threading.Lock()

    @property
    def is_terminal(self) -> bool:
        return sys.stdout.isatty() and sys.stdin.isatty()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started_at

    def print(self, text: str, style: str | None = None) -> None:
        """Print a line, with the seconds since the start."""
        with self._lock:
            self.console.print(f"[dim]{self.seconds:5.1f} s[/dim]  {text}", style=style, soft_wrap=True)

    def show_message(self, message: Mapping[str, Any]) -> None:
        """Show a message that arrived: about one alert or several."""
        notifications = message.get("notifications", [message] if "alert" in message else [])
        if not notifications:
            self.print(f"webhook: {message.get('type')}")
        for notification in notifications:
            self._show_notification(notification["type"], notification["alert"])

    def _show_notification(self, event_type: str, alert: Mapping[str, Any]) -> None:
        title = f"[bold]{alert['monitor']}[/bold] {alert['rule'].split(' ')[-2]} {alert['rule'].split(' ')[-1]}"
        day, is_new = alert["since"][:10], alert["id"] not in self._known
        if is_new:  # the first notification about an alert that ended quickly may be its last one
            self._known.add(alert["id"])
            colour = COLOURS.get(alert["severity"], "red")
            driver = next(iter(alert.get("drivers") or {}), None)
            cause = f", driven by [bold]{driver}[/bold]" if driver else ""
            value = _value_text(alert)
            self.print(f"[{colour}]webhook: ALERT {alert['severity']}[/{colour}]  {title}: {value}, since {day}{cause}")
        if event_type in CLOSING_TYPES:
            self.print(
                f"[green]webhook: resolved[/green]  {title}, since {day}, {alert.get('windows', 'some')} windows"
            )

    @property
    def alert_count(self) -> int:
        """The number of alerts that arrived."""
        return len(self._known)

    @contextmanager
    def progress(self, label: str, total: int, done: int = 0) -> Iterator["ProgressBar"]:
        """Show a progress bar; without a terminal, print a line every ten seconds."""
        if not self.console.is_terminal:
            yield ProgressBar(self, label, total, done)
            return
        columns = (TextColumn("         {task.description}"), BarColumn(None), TextColumn("{task.fields[text]}"))
        with Progress(*columns, TimeElapsedColumn(), console=self.console, transient=True) as progress:
            yield ProgressBar(
                self, label, total, done, progress, progress.add_task(label, total=total, completed=done, text="")
            )


class ProgressBar:
    """A progress bar, or lines of text where the console is no terminal."""

    def __init__(
        self,
        console: DemoConsole,
        label: str,
        total: int,
        done: int,
        progress: Progress | None = None,
        task: TaskID | None = None,
    ) -> None:
        self.console, self.label, self.total, self.done = console, label, total, done
        self._progress, self._task, self._shown_at = progress, task, time.monotonic()

    def advance(self, steps: int, text: str) -> None:
        """Move the bar by so many steps, and show `text` beside it."""
        self.done += steps
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self.done, text=text)
        elif time.monotonic() - self._shown_at > PROGRESS_INTERVAL:
            self._shown_at = time.monotonic()
            self.console.print(f"{self.label}: {100 * self.done // max(1, self.total)} %, {text}")


def _value_text(alert: Mapping[str, Any]) -> str:
    """Return the value that broke the rule, and the newest one if it no longer breaks it."""
    broke = alert.get("last_value") if alert.get("last_value") is not None else alert["value"]
    if broke is None:
        return "no value"
    is_over = alert.get("violated_now") is False and alert["value"] is not None
    return f"{broke:.3g}" + (f", now {alert['value']:.3g}" if is_over else "")

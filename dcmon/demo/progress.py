"""The demo's console on stderr: steps, a progress bar, and arriving alerts."""

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from dcmon.formatting import printable
from dcmon.notifications.integrations import message_text
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
        title, since = f"[bold]{_shown(alert['monitor'])}[/bold]", f"since {alert['since'][:10]}"
        if alert["id"] not in self._known:  # the first notification of an alert that ended quickly may be its last one
            self._known.add(alert["id"])
            colour = COLOURS.get(alert["severity"], "red")
            self.print(f"[{colour}]ALERT {alert['severity']}[/{colour}]  {title} {since}: {_current(alert)}")
        if event_type in CLOSING_TYPES:
            windows = alert.get("windows") or 0
            count = "1 window" if windows == 1 else f"{windows} windows"
            self.print(f"[green]resolved[/green]  {title} {since}, {count}")

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


def worst_change(metric: str, value: float | None, largest_changes: Sequence[Mapping[str, Any]]) -> str:
    """Return the value of an alert, and how the entry that changed most did so in its own units."""
    entry = next((entry for entry in largest_changes if entry["name"] == metric), next(iter(largest_changes), None))
    number = "no value" if value is None else f"{value:.3g}"
    change = "" if entry is None else message_text.entry_units(entry)
    name = metric if entry is None or entry["name"] == metric else f"{metric} {number}, above all {entry['name']}"
    text = name if number in name else f"{name} {number}"
    return f"{text}: {change}" if change else text


def _shown(untrusted: str) -> str:
    """Return a text from outside that rich prints as it is."""
    return escape(printable(untrusted, keeps_lines=False))


def _current(alert: Mapping[str, Any]) -> str:
    """Return the value that broke the rule, the newest one if it no longer does, and what changed most."""
    broke = alert.get("last_value") if alert.get("last_value") is not None else alert["value"]
    text = _shown(worst_change(alert["metric"], broke, alert.get("moved") or []))
    is_over = alert.get("violated_now") is False and alert["value"] is not None
    return f"{text}; now {alert['value']:.3g}" if is_over else text

"""What the demo shows while it runs: steps, a progress bar, and alerts as they arrive. All of it on stderr."""

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

SAID_EVERY = 10.0  # seconds, where there is no terminal to draw a bar on
COLOURS = {"low": "cyan", "medium": "yellow", "high": "dark_orange", "critical": "red"}


class Stage:
    """A console for the demo. Safe for several threads: alerts arrive on the receiver's."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.began = time.monotonic()
        self._known = set[int]()
        self._progress: Progress | None = None
        self._lock = threading.Lock()

    @property
    def is_terminal(self) -> bool:
        return sys.stdout.isatty() and sys.stdin.isatty()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def say(self, text: str, style: str | None = None) -> None:
        """A line, with the seconds since the beginning."""
        with self._lock:
            self.console.print(f"[dim]{self.seconds:5.1f} s[/dim]  {text}", style=style, soft_wrap=True)

    def arrived(self, message: Mapping[str, Any]) -> None:
        """Show a message that arrived: about one alert, or several."""
        about = message.get("notifications", [message] if "alert" in message else [])
        if not about:
            self.say(f"webhook arrived: {message.get('type')}")
        for each in about:
            self._told(each["type"], each["alert"])

    def _told(self, kind: str, alert: Mapping[str, Any]) -> None:
        what = f"[bold]{alert['monitor']}[/bold] {alert['rule'].split(' ')[-2]} {alert['rule'].split(' ')[-1]}"
        day, is_new = alert["since"][:10], alert["id"] not in self._known
        if is_new:  # one that was over before it could be told of is told of once
            self._known.add(alert["id"])
            colour = COLOURS.get(alert["severity"], "red")
            driver = next(iter(alert.get("drivers") or {}), None)
            cause = f", driven by [bold]{driver}[/bold]" if driver else ""
            value = "no value" if alert["value"] is None else f"{alert['value']:.3g}"
            self.say(f"[{colour}]webhook: ALERT {alert['severity']}[/{colour}]  {what}: {value}, since {day}{cause}")
        if kind in ("alert.resolved", "alert.retracted"):
            self.say(f"[green]webhook: resolved[/green]  {what}, since {day}, {alert.get('windows', 'some')} windows")

    @property
    def alerts(self) -> int:
        """How many alerts arrived."""
        return len(self._known)

    @contextmanager
    def progress(self, label: str, total: int, done: int = 0) -> Iterator["Bar"]:
        """A progress bar; without a terminal, a line every ten seconds."""
        if not self.console.is_terminal:
            yield Bar(self, label, total, done)
            return
        columns = (TextColumn("         {task.description}"), BarColumn(None), TextColumn("{task.fields[said]}"))
        with Progress(*columns, TimeElapsedColumn(), console=self.console, transient=True) as progress:
            yield Bar(
                self, label, total, done, progress, progress.add_task(label, total=total, completed=done, said="")
            )


class Bar:
    """How far something is."""

    def __init__(
        self,
        stage: Stage,
        label: str,
        total: int,
        done: int,
        progress: Progress | None = None,
        task: TaskID | None = None,
    ) -> None:
        self.stage, self.label, self.total, self.done = stage, label, total, done
        self._progress, self._task, self._said_at = progress, task, time.monotonic()

    def advance(self, steps: int, said: str) -> None:
        self.done += steps
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self.done, said=said)
        elif time.monotonic() - self._said_at > SAID_EVERY:
            self._said_at = time.monotonic()
            self.stage.say(f"{self.label}: {100 * self.done // max(1, self.total)} %, {said}")

"""Show the processes, queues and problems of dcmon itself."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer

from dcmon.commands.shared.groups import single

if TYPE_CHECKING:
    from dcmon.health.status import Status
    from dcmon.output import Output

app = single()

NONE_RUNS = 'No process of dcmon runs. Type "dcmon up" here, or "dcmon worker start" on a machine with its settings.'

PROCESS_COLUMNS = {  # headings by key
    "kind": "process", "host": "", "pid": "", "since": "", "last_heartbeat": "", "state": "",
}  # fmt: skip


@app.command()
def status(ctx: typer.Context) -> None:
    """Show the processes, queues and problems of dcmon itself, on all machines.

    Exit 0: no problem; 1: a problem; 7: dcmon does not run, or its database can't be reached; 8: a part is down.
    With --quiet only problems are printed, for cron.

    Example: dcmon status -o json
    """
    from dcmon.embedded import supervisor_state
    from dcmon.health import status as health_status

    settings, output = ctx.obj.settings, ctx.obj.output
    local = supervisor_state.read(settings)
    current = health_status.collect(ctx.obj.engine, settings, local)
    if output.is_json:
        output.value(_json_row(current))
    else:
        _show(output, current)
    _exit(output, current)


def _exit(output: "Output", current: "Status") -> None:
    """End with the exit code of the status. Raises the error of a database that can't be reached."""
    if current.failure is not None:
        raise current.failure
    if not current.is_running:
        output.say(NONE_RUNS)
    if current.exit_code:
        raise typer.Exit(current.exit_code)


def _json_row(current: "Status") -> dict[str, Any]:
    return {
        "exit_code": current.exit_code,
        "parts": [dict(part) for part in current.parts],
        "workers": [dict(worker) for worker in current.workers],
        "waiting": dict(current.waiting),
        "problems": [vars(problem) for problem in current.problems],
    }


def _show(output: "Output", current: "Status") -> None:
    from rich.markup import escape

    if not output.quiet:
        _show_parts(output, current)
    for problem in current.problems:
        output.print(escape(f"[{problem.severity}] {problem.sentence} Since {_time(problem.since)}."))
        output.print(escape(f"    {problem.command}"))
    if not current.problems and not output.quiet and current.failure is None:
        output.print("All is well." if not current.exit_code else "Nothing else is wrong.")


def _show_parts(output: "Output", current: "Status") -> None:
    parts = [{**part, "since": _time(part.get("since")), "state": _state_text(part)} for part in current.parts]
    output.table(parts, ["name", "state", "pid", "since", "detail"])
    if current.failure is not None:
        return
    workers = [
        {
            **worker,
            "since": _time(worker["since"]),
            "last_heartbeat": f"{_span(current.now - worker['last_heartbeat'])} ago",
            "state": _state_text(worker),
        }
        for worker in current.workers
    ]
    output.print("")
    output.table(workers, PROCESS_COLUMNS, empty="No process has sent a heartbeat.")
    output.print("")
    output.value(_queue_texts(current))
    output.print("")


def _state_text(row: Mapping[str, Any]) -> str:
    """Return the state as the tables show it; a supervisor's own states stay."""
    from dcmon.health.status import STATE_TEXTS

    return STATE_TEXTS.get(row["state"], str(row["state"]))


def _queue_texts(current: "Status") -> dict[str, str]:
    """Describe the queues and the dead man's switch for people."""
    waits = current.waiting
    texts = {
        "windows due": _queue(waits["windows_due"], waits["oldest_window"], current.now),
        "notifications": _queue(waits["notifications_waiting"], waits["oldest_notification"], current.now)
        + (f"; {waits['notifications_given_up']} given up today" if waits["notifications_given_up"] else ""),
        "alerts firing": ", ".join(f"{n} {severity}" for severity, n in waits["alerts_firing"].items()) or "none",
    }
    if waits["unread_messages"] is not None:
        texts["unread messages"] = _queue(waits["unread_messages"], waits["oldest_unread"], current.now)
    if waits["parked_messages"]:
        texts["parked messages"] = str(waits["parked_messages"])
    if waits["ping"] is not None:
        sent = waits["ping_sent"]
        texts["ping"] = waits["ping"] + (f", {_span(current.now - sent)} ago" if sent else "")
    return texts


def _queue(number: int, oldest: datetime | None, now: datetime) -> str:
    if not number:
        return "none waits"
    return f"{number:,} wait{'s' if number == 1 else ''}" + (
        f", the oldest for {_span(now - oldest)}" if oldest else ""
    )


def _span(span: timedelta) -> str:
    """Write a time span in its largest unit: 5 s, 12 min, 3 h, 2 d."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _time(time: datetime | str | None) -> str | None:
    return None if time is None else str(time)[:16].replace("T", " ")

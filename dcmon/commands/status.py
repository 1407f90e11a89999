"""Show what runs, what waits, and what is wrong with dcmon itself."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer

from dcmon.commands.shared.groups import single

if TYPE_CHECKING:
    from dcmon.health.status import Status
    from dcmon.output import Output

app = single()

NONE_RUNS = (
    'No process of dcmon runs. Type "dcmon up" here, or "dcmon worker start" on a machine that has the settings.'
)


@app.command()
def status(ctx: typer.Context) -> None:
    """Show what runs, what waits, and what is wrong with dcmon itself, on all machines.

    Exit 0: all is well; 1: something is wrong; 7: nothing runs, or the database can't be reached; 8: a part is down.
    With --quiet it prints only problems, for cron.

    Example: dcmon status -o json
    """
    from dcmon.embedded import supervisor_state
    from dcmon.health import status as health_status

    settings, output = ctx.obj.settings, ctx.obj.output
    local = supervisor_state.read(settings)
    found = health_status.collect(ctx.obj.engine, settings, local)
    if output.is_json:
        output.value(_whole(found))
    else:
        _show(output, found)
    _exit(output, found)


def _exit(output: "Output", found: "Status") -> None:
    """End with the exit code of the status. Raises the error of a database that can't be reached."""
    if found.failure is not None:
        raise found.failure
    if not found.is_running:
        output.say(NONE_RUNS)
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def _whole(found: "Status") -> dict[str, Any]:
    return {
        "exit_code": found.exit_code,
        "parts": [dict(part) for part in found.parts],
        "workers": [dict(worker) for worker in found.workers],
        "waiting": dict(found.waiting),
        "conditions": [vars(condition) for condition in found.problems],
    }


def _show(output: "Output", found: "Status") -> None:
    from rich.markup import escape

    if not output.quiet:
        _show_parts(output, found)
    for each in found.problems:
        output.print(escape(f"[{each.severity}] {each.sentence} Since {_time(each.since)}."))
        output.print(escape(f"    {each.command}"))
    if not found.problems and not output.quiet and found.failure is None:
        output.print("All is well." if not found.exit_code else "Nothing else is wrong.")


def _show_parts(output: "Output", found: "Status") -> None:
    parts = [{**part, "since": _time(part.get("since"))} for part in found.parts]
    output.table(parts, ["name", "state", "pid", "since", "detail"])
    if found.failure is not None:
        return
    workers = [
        {**each, "since": _time(each["since"]), "last_sign": f"{_span(found.now - each['last_sign'])} ago"}
        for each in found.workers
    ]
    output.print("")
    output.table(workers, ["kind", "host", "pid", "since", "last_sign", "state"], empty="No worker is there.")
    output.print("")
    output.value(_said(found))
    output.print("")


def _said(found: "Status") -> dict[str, str]:
    """What waits, in words."""
    waits = found.waiting
    said = {
        "windows due": _queue(waits["windows_due"], waits["oldest_window"], found.now),
        "notifications": _queue(waits["notifications_waiting"], waits["oldest_notification"], found.now)
        + (f"; {waits['notifications_given_up']} given up today" if waits["notifications_given_up"] else ""),
        "alerts firing": ", ".join(f"{n} {severity}" for severity, n in waits["alerts_firing"].items()) or "none",
    }
    if waits["unread_messages"] is not None:
        said["unread messages"] = _queue(waits["unread_messages"], waits["oldest_unread"], found.now)
    if waits["parked_messages"]:
        said["parked messages"] = str(waits["parked_messages"])
    if waits["heartbeat"] is not None:
        sent = waits["heartbeat_sent"]
        said["heartbeat"] = waits["heartbeat"] + (f", {_span(found.now - sent)} ago" if sent else "")
    return said


def _queue(number: int, oldest: datetime | None, now: datetime) -> str:
    if not number:
        return "none waits"
    return f"{number:,} wait{'s' if number == 1 else ''}" + (
        f", the oldest for {_span(now - oldest)}" if oldest else ""
    )


def _span(span: timedelta) -> str:
    """A span in its largest unit: 5 s, 12 min, 3 h, 2 d."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _time(time: datetime | str | None) -> str | None:
    return None if time is None else str(time)[:16].replace("T", " ")

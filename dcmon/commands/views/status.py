"""The state of dcmon itself, as JSON and as text for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from dcmon.formatting import count_of, format_moment
from dcmon.health.status import GOOD_STATES, PartState
from dcmon.output import Copied, Fields, Lines, Page, Part, Table
from dcmon.severity import Severity
from dcmon.states import HeldBy

if TYPE_CHECKING:
    from dcmon.health.problem import Problem
    from dcmon.health.status import Status

NONE_RUNS = (
    'No process of dcmon runs. Type "dcmon up" here, or "dcmon worker start" on a machine with the same settings.'
)
OTHER_SETTINGS = "The running dcmon has other settings than this shell, and uses its own until it is started again."
HOLDERS = {  # what holds notifications back: one of them, and several
    HeldBy.SILENCE: ("silence", "silences"),
    HeldBy.MUTE_TIME: ("mute time", "mute times"),
    HeldBy.PAUSE: ("paused receiver", "paused receivers"),
    HeldBy.ALERT: ("", "more severe alerts"),
}
MOST_ORGANIZATIONS = 5  # whose alerts are shown
MOST_PROBLEMS = 5  # with the same name
PROCESS_COLUMNS = {  # headings by key
    "kind": "process", "host": "", "pid": "", "since": "", "last_heartbeat": "", "state": "",
}  # fmt: skip


def report(current: "Status", *, quiet: bool) -> Page:
    """Show processes, queues and problems; with `quiet` only problems."""
    problems = _problem_lines(current.problems)
    if not current.problems and current.failure is None:
        problems = [*(_parts_down(current) if quiet else []), *_not_read(current)]
    if current.difference is not None and (problems or not quiet):
        problems += [f"{OTHER_SETTINGS} {current.difference.sentence}", Copied(f"    {current.difference.command}")]
    parts: list[Part] = [*([] if quiet else _process_parts(current)), Lines(problems, hanging=4)]
    if not quiet and current.failure is None:
        last = _held_alert_lines(current.waiting["notifications_held_by"])
        if not problems and not last:
            last = ["All is well." if not current.exit_code else "Nothing else is wrong."]
        parts.append(Lines(last, hanging=4))
    remarks = [] if current.is_running or current.failure is not None else [NONE_RUNS]
    return Page(_json_row(current), parts, remarks, [problem.code for problem in current.problems])


def _not_read(current: "Status") -> list[str]:
    """Say that some organizations are not known: without a problem, that is the reason of the exit code."""
    unknown = current.waiting["organizations_unknown"]
    if not unknown:
        return []
    were = "organization was" if unknown == 1 else "organizations were"
    return [f'No problem is known, and {unknown:,} {were} not read yet: "dcmon wait --for health" reads all.']


def is_failure_shown(current: "Status") -> bool:
    """Return True if a problem says why the database can't be read, so that an error message would repeat it."""
    reason = str(current.failure).rstrip(".")
    return any(reason in problem.sentence for problem in current.problems)


def _parts_down(current: "Status") -> list[str]:
    """Say which parts are the reason of the exit code, where no problem is."""
    down = [part for part in current.parts if part["state"] not in GOOD_STATES]
    lines = [f"{part['name']} {_predicate(part)}: {part.get('detail') or part.get('pid') or '-'}" for part in down]
    return lines if current.is_running else [*lines, NONE_RUNS]


def _predicate(part: Mapping[str, Any]) -> str:
    """Return the state as a part of a sentence; those that a supervisor sets are adjectives."""
    has_verb = part["state"] in (PartState.DOES_NOT_ANSWER, PartState.MISSING, PartState.ANOTHER_REVISION)
    return str(part["state"]) if has_verb else f"is {part['state']}"


def _problem_lines(problems: "Sequence[Problem]") -> list[str]:
    """Describe problems, and of those with the same name only the first ones."""
    lines, counts, seen = list[str](), Counter(problem.name for problem in problems), Counter[str]()
    for problem in problems:
        seen[problem.name] += 1
        if seen[problem.name] <= MOST_PROBLEMS:
            lines.append(f"[{problem.severity}] {problem.sentence} Since {_time(problem.since)}.")
            lines.append(Copied(f"    {problem.command}"))
        elif seen[problem.name] == MOST_PROBLEMS + 1:
            lines.append(Copied(f"    {counts[problem.name] - MOST_PROBLEMS:,} more like these: dcmon status -o json"))
    return lines


def _json_row(current: "Status") -> dict[str, Any]:
    return {
        "exit_code": current.exit_code,
        "parts": [dict(part) for part in current.parts],
        "workers": [dict(worker) for worker in current.workers],
        "waiting": dict(current.waiting),
        "problems": [{"code": problem.code, **vars(problem)} for problem in current.problems],
        "settings_differ": None if current.difference is None else current.difference._asdict(),
    }


def _process_parts(current: "Status") -> list[Part]:
    parts = [{**part, "since": _time(part.get("since"))} for part in current.parts]
    part_table = Table(parts, ["name", "state", "pid", "since", "detail"])
    if current.failure is not None:
        return [part_table]
    workers = [
        {
            **worker,
            "since": _time(worker["since"]),
            "last_heartbeat": f"{_span(current.now - worker['last_heartbeat'])} ago",
        }
        for worker in current.workers
    ]
    worker_table = Table(workers, PROCESS_COLUMNS, empty="No process has sent a heartbeat.")
    blank = Lines([""])
    return [part_table, blank, worker_table, blank, Fields(_queue_texts(current)), blank]


def _queue_texts(current: "Status") -> dict[str, str]:
    """Describe the queues and the dead man's switch for people."""
    waits = current.waiting
    unknown = waits["organizations_unknown"]
    beside = f"; not known of {count_of(unknown, 'organization')}" if unknown else ""
    texts = {
        **({"organizations": _organizations(waits, current.now)} if waits["organizations_not_read"] else {}),
        "windows due": _queue(waits["windows_due"], waits["oldest_window"], current.now) + beside,
        "notifications": _queue(waits["notifications_waiting"], waits["oldest_notification"], current.now)
        + _held(waits["notifications_held_by"], waits["organizations"])
        + (f"; {waits['notifications_given_up']} given up today" if waits["notifications_given_up"] else "")
        + beside,
        "alerts firing": _alerts(waits["alerts_firing"], waits["alerts_by_organization"], waits["organizations"])
        + beside,
    }
    if waits["failed_logins"]:
        texts["failed log-ins"] = f"{waits['failed_logins']:,} in the last day: see the log of the endpoint"
    if waits["unread_messages"] is not None:
        texts["unread messages"] = _queue(waits["unread_messages"], waits["oldest_unread"], current.now)
    if waits["parked_messages"]:
        texts["parked messages"] = str(waits["parked_messages"])
    if waits["ping"] is not None:
        sent = waits["ping_sent"]
        texts["ping"] = waits["ping"] + (f", {_span(current.now - sent)} ago" if sent else "")
    return texts


def _held(rows: Sequence[Mapping[str, Any]], organizations: int) -> str:
    """Say how many notifications are held back, and by what: by name where only one of a kind holds some."""
    parts = list[str]()
    for by, (one, several) in HOLDERS.items():
        holders = [row for row in rows if row["by"] == by]
        if holders:
            of = f" of {holders[0]['organization']}" if organizations > 1 else ""
            name = f"{one} {holders[0]['name']}{of}" if len(holders) == 1 and holders[0]["name"] else several
            parts.append(f"{sum(row['notifications'] for row in holders):,} by {name}")
    return f"; held back: {', '.join(parts)}" if parts else ""


def _held_alert_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say which alerts fire that reached no receiver as an operator wished; a pause without an end is a problem."""
    unknown = [row for row in rows if row["unknown_alerts"] and row["until"] is not None]
    lines = list[str]()
    for row in unknown[:MOST_PROBLEMS]:
        lines.append(_held_alerts(row))
        lines.append(Copied(f"    {row['command']}"))
    if len(unknown) > MOST_PROBLEMS:
        lines.append(Copied(f"    {len(unknown) - MOST_PROBLEMS:,} more like these: dcmon status -o json"))
    return lines


def _held_alerts(row: Mapping[str, Any]) -> str:
    number, critical = row["unknown_alerts"], row["unknown_critical_alerts"]
    fires, of = ("fires", "it") if number == 1 else ("fire", "them")
    alerts = count_of(number, "critical alert" if critical == number else "alert")
    some = f", {critical:,} of them critical" if 0 < critical < number else ""
    holder = f"{HOLDERS[row['by']][0]} {row['name']}"
    return (
        f"{alerts} of {row['organization']} {fires}{some}, and no receiver has got a notification of {of}:"
        f" held back by {holder} until {format_moment(row['until'])}."
    )


def _organizations(waits: Mapping[str, Any], now: datetime) -> str:
    """Say of how many organizations the numbers are older than this look."""
    read_at, unknown = waits["organizations_read_at"], waits["organizations_unknown"]
    facts = [f"of {unknown:,} of them nothing is known"] if unknown else []
    if read_at is not None:
        old = waits["organizations_not_read"] - unknown
        facts.insert(0, f"{old:,} of them read up to {_span(now - read_at)} ago by the scheduler")
    return f"{waits['organizations']:,}, {', and '.join(facts)}"


def _alerts(firing: Mapping[str, int], by_organization: Mapping[str, Mapping[str, int]], organizations: int) -> str:
    """Say how many alerts fire, and where there are several organizations, in which; the worst first."""
    if not firing:
        return "none"
    total = _counts(firing)
    if organizations == 1:
        return total
    ranked = sorted(by_organization.items(), key=lambda item: ([-item[1].get(s, 0) for s in reversed(Severity)], item))
    shown = "; ".join(f"{org}: {_counts(counts)}" for org, counts in ranked[:MOST_ORGANIZATIONS])
    more = len(ranked) - MOST_ORGANIZATIONS
    return f"{total} ({shown}{f'; and {more} more organizations' if more > 0 else ''})"


def _counts(firing: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {severity}" for severity, count in firing.items())


def _queue(number: int, oldest: datetime | None, now: datetime) -> str:
    if not number:
        return "none waits"
    return f"{number:,} wait{'s' if number == 1 else ''}" + (
        f", the oldest for {_span(now - oldest)}" if oldest else ""
    )


def _span(span: timedelta) -> str:
    """Write a time span in its largest unit, like "5 s" or "12 min"."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _time(time: datetime | str | None) -> str | None:
    return None if time is None else str(time)[:16].replace("T", " ")

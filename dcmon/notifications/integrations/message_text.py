"""A message in words, for the kinds that people read. A body is one notification, a group, a digest or a test."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dcmon.notifications.integrations.base import Body

SHOWN_AT_MOST = 20  # alerts in full; the others are counted
SEVERITIES = ("critical", "high", "medium", "low")
WHAT = {
    "firing": "firing",
    "escalated": "got worse",
    "deescalated": "got better, but still firing",
    "repeated": "still firing",
    "acknowledged": "acknowledged",
    "resolved": "resolved",
    "reopened": "firing again",
    "retracted": "retracted: later data took it back",
}
COLOURS = {"critical": "#b3261e", "high": "#d9480f", "medium": "#e0a800", "low": "#3b7dd8", "over": "#2f9e44"}
OVER = ("resolved", "retracted")
DONE_BY_PEOPLE = ("acknowledged", "resolved", "reopened")


def notifications(body: Body) -> Sequence[Body]:
    """The notifications that a message is about: one, several, or none when it is a test."""
    found: Sequence[Body] = body.get("notifications", [body] if "alert" in body else [])
    return found


def kind(notification: Body) -> str:
    """What became of the alert: firing, resolved, …"""
    return str(notification["type"]).rpartition(".")[2]


def subject(body: Body) -> str:
    """A message in one line."""
    about = notifications(body)
    if body["type"] == "test":
        return f"[{body['organization']}] dcmon: a test message"
    if body["type"] == "digest":
        return f"[{body['organization']}] {body['count']} notifications at once: {counted(body['counts']['severity'])}"
    if len(about) == 1:
        return f"[{body['organization']}] {headline(about[0])}"
    changed = f"{text(body['model'])}: {len(about)} alerts changed, {counted(body['counts']['severity'])}"
    return f"[{body['organization']}] {changed}"


def headline(notification: Body) -> str:
    """What became of one alert: "HIGH firing: credit/Prediction Drift"."""
    alert, what = notification["alert"], kind(notification)
    name = "/".join(text(alert[key]) for key in ("model", "monitor") if alert.get(key))
    return f"{str(alert['severity']).upper()} {WHAT.get(what, what).partition(':')[0]}: {name}"


def counted(counts: dict[str, int]) -> str:
    """ "3 critical, 17 high"."""
    order = [each for each in SEVERITIES if each in counts] + sorted(set(counts) - set(SEVERITIES))
    return ", ".join(f"{counts[each]} {text(each)}" for each in order)


def colour(notification: Body) -> str:
    """The colour of how bad it is."""
    return COLOURS["over"] if kind(notification) in OVER else COLOURS.get(notification["alert"]["severity"], "#666666")


def facts(notification: Body) -> list[tuple[str, str]]:
    """What one alert says, as names and values: what is wrong, since when, how bad, what moved, what to type."""
    alert = notification["alert"]
    rows = [
        ("what", what(notification)),
        ("note", text(alert.get("note"))),
        ("acknowledged", _acknowledged(notification)),
        ("rule", rule(alert)),
        ("value", _values(alert)),
        ("measured", measured(alert)),
        ("compared with", compared(alert)),
        ("window", window(alert)),
        ("since", _since(alert)),
        ("moved most", moved(alert)),
        ("model version", text(alert.get("version"))),
        ("other versions", others(alert)),
        ("samples", text(alert.get("n"))),
        ("why", text(alert.get("reason"))),
        ("type", text(notification.get("command"))),
    ]
    return [(name, value) for name, value in rows if value]


def what(notification: Body) -> str:
    """What became of the alert, and by whom."""
    became, by = kind(notification), notification["alert"].get("by")
    return WHAT.get(became, became) + (f" by {text(by)}" if by and became in DONE_BY_PEOPLE else "")


def _acknowledged(notification: Body) -> str:
    """Who works on it, where that is not what is told."""
    alert = notification["alert"]
    if not alert.get("acknowledged_by") or kind(notification) == "acknowledged":
        return ""
    note = text(alert.get("acknowledgement"))
    return f"by {text(alert['acknowledged_by'])}" + (f": {note}" if note else "")


def rule(alert: Body) -> str:
    """The rule, with its name where it has one."""
    said = text(alert.get("rule"))
    return f"{text(alert['rule_name'])}: {said}" if said and alert.get("rule_name") else said


def measured(alert: Body) -> str:
    """What a rule about changes or deviations measured: "35, from 0.2 in the window before"."""
    against = alert.get("measured_against")
    if not against:
        return ""
    name = {"previous": "in the window before", "reference": "of the reference"}.get(against["what"])
    name = name or f"on average of {against.get('windows')} windows before"
    return f"{text(alert.get('measured')) or 'more than can be said'}, from {text(against.get('value'))} {name}"


def compared(alert: Body) -> str:
    """What the check compared the window with."""
    found = alert.get("compared_with")
    if not found:
        return ""
    if found["what"] == "reference":
        return f"the reference (revision {found.get('revision')})"
    name = {"previous": "the window before", "week_before": "a week ago"}.get(found["what"], found["what"])
    return f"{name}: {time(found.get('start'))} to {time(found.get('end'))}, {found.get('n')} samples"


def window(alert: Body) -> str:
    """Its last bad window."""
    return span(alert.get("window"))


def span(of: Sequence[str | None] | None) -> str:
    """A window as a person reads it; nothing where one of its ends is not known."""
    start, end = of or (None, None)
    return f"{time(start)} to {time(end)}" if start and end else ""


def others(alert: Body) -> str:
    """What other versions have in the same window."""
    found = alert.get("versions") or ()
    said = (
        f"{text(each['version'])} {text(each.get('value')) or each.get('state')} (n {each.get('n')})" for each in found
    )
    return ", ".join(said)


def time(written: Any) -> str:
    """A moment of a body as a person reads it."""
    if written is None:
        return ""
    moment = datetime.fromisoformat(str(written)).astimezone(UTC)
    return f"{moment:%Y-%m-%d}" if (moment.hour, moment.minute) == (0, 0) else f"{moment:%Y-%m-%d %H:%M} UTC"


def text(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else one_line(str(value))


def one_line(said: str) -> str:
    """A text from outside, which can neither begin a line of its own nor hide in signs that are not seen."""
    return " ".join("".join(each if each.isprintable() else " " for each in said).split())


def _values(alert: Body) -> str:
    """The value now, in the first bad window, at worst, and in the window before it was bad."""
    keys = ("value", "first_value", "worst_value", "before_value")
    now, first, worst, before = (text(alert.get(key)) for key in keys)
    parts = [
        now,
        f"{first} at first" if first and alert.get("windows", 1) > 1 else "",
        f"{worst} at worst" if worst not in ("", now) else "",
        f"{before} before" if before else "",
    ]
    return ", ".join(part for part in parts if part)


def _since(alert: Body) -> str:
    since, ended, count = time(alert.get("since")), time(alert.get("last_window_end")), alert.get("windows")
    spans = f", {count} windows until {ended}" if ended and count and count > 1 else f", until {ended}" if ended else ""
    return since + spans if since else ""


def moved(alert: Body) -> str:
    """The entries that moved most, with before and after where they are known."""
    if entries := alert.get("moved"):
        return ", ".join(
            f"{text(each['name'])} {text(each['before'])} → {text(each.get('after'))}"
            if each.get("before") is not None
            else f"{text(each['name'])} {text(each.get('after'))}"
            for each in entries
        )
    return ", ".join(f"{text(name)} {text(value)}" for name, value in (alert.get("drivers") or {}).items())


def line(notification: Body) -> str:
    """One alert of many, in a line: the rule and the value, or why there is none."""
    alert = notification["alert"]
    rule, value = text(alert.get("rule")), text(alert.get("value"))
    said = [rule, f"now {value}" if value else text(alert.get("reason"))]
    about = ", ".join(each for each in said if each)
    return f"{headline(notification)} ({about})" if about else headline(notification)


def left_out(body: Body, shown: int = SHOWN_AT_MOST) -> str:
    """What a message does not list, and how to see it; empty when it lists all."""
    count = int(body.get("count", len(notifications(body)))) - min(shown, len(notifications(body)))
    return f"and {count} more: {body.get('command', 'dcmon alert list')}" if count > 0 else ""


def plain(body: Body) -> str:
    """A whole message as plain text."""
    if body["type"] == "test":
        return f"{body.get('text', 'A test message.')}\n"
    about = notifications(body)
    if len(about) == 1:
        return _plain(about[0])
    parts = [f"by {name}: {counted(counts)}" for name, counts in body.get("counts", {}).items()]
    if body["type"] == "digest":
        lines = [f"- {line(each)}" for each in about[:SHOWN_AT_MOST]]
        return "\n".join(["Held back, because more came in a minute than this receiver takes:", *parts, "", *lines,
                          left_out(body), ""])  # fmt: skip
    return "\n".join([*parts, "", *(_plain(each) for each in about[:SHOWN_AT_MOST]), left_out(body), ""])


def _plain(notification: Body) -> str:
    rows = [f"  {name}: {value}" for name, value in facts(notification)]
    return "\n".join([headline(notification), *rows, f"  {notification.get('link') or ''}", ""])

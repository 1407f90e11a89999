"""A message as text, for integrations that people read.

The body of a message is one notification, a group, a digest or a test.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from dcmon.notifications.integrations.base import Body
from dcmon.notifications.integrations.feature_change import feature_change
from dcmon.notifications.message_types import MessageType
from dcmon.severity import Severity
from dcmon.states import CLOSING_KINDS, NotificationKind
from dcmon.windows import ComparedWith

SHOWN_AT_MOST = 20  # alerts that a message shows or lists; the others are counted
LINK_TEXT = "Open the alert"
DIGEST_INTRO = "Held back, because there were more messages in a minute than this receiver's cap:"
KIND_TEXTS: dict[str, str] = {
    NotificationKind.FIRING: "firing",
    NotificationKind.ESCALATED: "got worse",
    NotificationKind.DEESCALATED: "got better, but still firing",
    NotificationKind.REPEATED: "still firing",
    NotificationKind.ACKNOWLEDGED: "acknowledged",
    NotificationKind.RESOLVED: "resolved",
    NotificationKind.REOPENED: "firing again",
    NotificationKind.RETRACTED: "retracted: later data shows no violation",
}
COLOURS: dict[str, str] = {
    Severity.CRITICAL: "#b3261e",
    Severity.HIGH: "#d9480f",
    Severity.MEDIUM: "#e0a800",
    Severity.LOW: "#3b7dd8",
}
COLOUR_OF_END, COLOUR_OF_OTHERS = "#2f9e44", "#666666"
COMPARED_TEXTS: dict[str, str] = {ComparedWith.PREVIOUS: "the window before", ComparedWith.WEEK_BEFORE: "a week ago"}
# By the values of alerting.rule_conditions.ChangeBase, which this package can't import.
MEASURED_TEXTS = {
    "previous": "in the window before",
    "reference": "of the reference",
    "weekly": "in the same hours of earlier weeks",
}
KINDS_BY_PEOPLE = (NotificationKind.ACKNOWLEDGED, NotificationKind.RESOLVED, NotificationKind.REOPENED)


class DetailRow(NamedTuple):
    """A detail of an alert: its name and its value as text."""

    name: str
    value: str


def notifications(body: Body) -> Sequence[Body]:
    """Return the notifications in a message; a test has none."""
    listed: Sequence[Body] = body.get("notifications", [body] if "alert" in body else [])
    return listed


def kind(notification: Body) -> str:
    """Return what happened to the alert: firing, resolved, …"""
    return str(notification["type"]).rpartition(".")[2]


def subject(body: Body) -> str:
    """Return a message in one line."""
    organization, listed = f"[{body['organization']}]", notifications(body)
    if body["type"] == MessageType.TEST:
        return f"{organization} dcmon: a test message"
    if body["type"] == MessageType.DIGEST:
        return f"{organization} {body['count']} notifications at once: {counted(body['counts']['severity'])}"
    if len(listed) == 1:
        return f"{organization} {headline(listed[0])}"
    return f"{organization} {text(body['model'])}: {len(listed)} alerts changed, {counted(body['counts']['severity'])}"


def headline(notification: Body) -> str:
    """Return what happened to one alert: "HIGH firing: credit/Prediction Drift"."""
    alert, change = notification["alert"], kind(notification)
    name = "/".join(text(alert[key]) for key in ("model", "monitor") if alert.get(key))
    return f"{str(alert['severity']).upper()} {KIND_TEXTS.get(change, change).partition(':')[0]}: {name}"


def counted(counts: dict[str, int]) -> str:
    """Return counts as text, the most severe first: "3 critical, 17 high"."""
    severities = [severity for severity in reversed(Severity) if severity in counts]
    names = [*severities, *sorted(set(counts) - set(severities))]
    return ", ".join(f"{counts[name]} {text(name)}" for name in names)


def count_lines(body: Body) -> list[str]:
    """Return a message's counts, one line for each label: "by severity: 3 critical, 17 high"."""
    return [f"by {name}: {counted(counts)}" for name, counts in body.get("counts", {}).items()]


def colour(notification: Body) -> str:
    """Return the colour of the alert's severity, or of its end."""
    if kind(notification) in CLOSING_KINDS:
        return COLOUR_OF_END
    return COLOURS.get(notification["alert"]["severity"], COLOUR_OF_OTHERS)


def detail_rows(notification: Body) -> list[DetailRow]:
    """Return the details of an alert that are not empty."""
    alert = notification["alert"]
    rows = [
        ("change", change_text(notification)),
        ("note", text(alert.get("note"))),
        ("acknowledged", _acknowledged(notification)),
        ("rule", rule(alert)),
        ("value", _values(alert)),
        ("measured", measured_text(alert)),
        ("compared with", comparison_text(alert)),
        ("window", window(alert)),
        ("since", _since(alert)),
        ("largest changes", largest_changes(alert)),
        ("model version", text(alert.get("version"))),
        ("other versions", other_versions(alert)),
        ("samples", text(alert.get("n"))),
        ("reason", text(alert.get("reason"))),
        ("type", text(notification.get("command"))),
    ]
    return [DetailRow(name, value) for name, value in rows if value]


def change_text(notification: Body) -> str:
    """Return what happened to the alert, and who did it."""
    change, by = kind(notification), notification["alert"].get("by")
    return KIND_TEXTS.get(change, change) + (f" by {text(by)}" if by and change in KINDS_BY_PEOPLE else "")


def _acknowledged(notification: Body) -> str:
    """Return who acknowledged the alert; empty when the notification itself is about that."""
    alert = notification["alert"]
    if not alert.get("acknowledged_by") or kind(notification) == NotificationKind.ACKNOWLEDGED:
        return ""
    note = text(alert.get("acknowledgement"))
    return f"by {text(alert['acknowledged_by'])}" + (f": {note}" if note else "")


def rule(alert: Body) -> str:
    """Return the rule, with its name where it has one."""
    condition = text(alert.get("rule"))
    return f"{text(alert['rule_name'])}: {condition}" if condition and alert.get("rule_name") else condition


def measured_text(alert: Body) -> str:
    """Return what a rule measured, like "35, from 0.2 in the window before"; the limit of a deviation, too.

    Empty for a rule on plain values.
    """
    against = alert.get("measured_against")
    if not against:
        return ""
    name = MEASURED_TEXTS.get(against["what"]) or f"on average of {against.get('windows')} windows before"
    measured = f"{text(alert.get('measured')) or 'no finite number'}, from {text(against.get('value'))} {name}"
    return measured + _limit_text(against)


def _limit_text(against: Body) -> str:
    """Return the limit of a deviation, like "; the limit is 5.9, because the rule looks at 30 values"."""
    if against.get("limit") is None:  # not a deviation, or an alert that an older dcmon wrote
        return ""
    n_values = against.get("values") or 1
    looks_at = f", because the rule looks at {n_values} values" if n_values > 1 else ""
    return f"; the limit is {text(against['limit'])} standard deviations{looks_at}"


def comparison_text(alert: Body) -> str:
    """Return what the check compared the window with."""
    baseline = alert.get("compared_with")
    if not baseline:
        return ""
    if baseline["what"] == ComparedWith.REFERENCE:
        return f"the reference (revision {baseline.get('revision')})"
    name = COMPARED_TEXTS.get(baseline["what"], baseline["what"])
    return f"{name}: {time(baseline.get('start'))} to {time(baseline.get('end'))}, {baseline.get('n')} samples"


def window(alert: Body) -> str:
    """Return the alert's last window with a violation."""
    return span(alert.get("window"))


def span(window: Sequence[str | None] | None) -> str:
    """Return a window as text; empty when its start or end is not known."""
    start, end = window or (None, None)
    return f"{time(start)} to {time(end)}" if start and end else ""


def other_versions(alert: Body) -> str:
    """Return the values of the model's other versions in the same window."""
    return ", ".join(
        f"{text(version['version'])} {text(version.get('value')) or version.get('state')} (n {version.get('n')})"
        for version in alert.get("versions") or ()
    )


def time(iso_text: Any) -> str:
    """Return a time of a body as text, in UTC: a date alone at midnight."""
    if iso_text is None:
        return ""
    moment = datetime.fromisoformat(str(iso_text)).astimezone(UTC)
    return f"{moment:%Y-%m-%d}" if (moment.hour, moment.minute) == (0, 0) else f"{moment:%Y-%m-%d %H:%M} UTC"


def text(value: Any) -> str:
    """Return a value as text: numbers with 4 digits, None as nothing."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else one_line(str(value))


def one_line(untrusted: str) -> str:
    """Return a text from outside as one line of printable characters.

    Otherwise the text could imitate another line of the message.
    """
    return " ".join("".join(character if character.isprintable() else " " for character in untrusted).split())


def _values(alert: Body) -> str:
    """Return the values of the alert as text.

    These are the value now, in the first violated window, in the worst one, and in the window before the alert.
    """
    metric = alert.get("metric")
    now, worst, before = (text(alert.get(key)) for key in ("value", "worst_value", "before_value"))
    last, first = (_edge_value(alert, key) for key in ("last", "first"))
    is_other = alert.get("last_metric", metric) != metric
    is_over = alert.get("violated_now") is False and (is_other or last not in ("", now))
    if is_over:
        newest = f"{last} in the last violated window, {now or 'no value'} now, which does not break the rule"
    else:
        newest = last if is_other else now
    parts = [
        newest,
        f"{first} at first" if first and alert.get("windows", 1) > 1 else "",
        f"{text(metric)} {worst} at worst" if is_other else f"{worst} at worst" if worst not in ("", now, last) else "",
        f"{before} before" if before else "",
    ]
    return ", ".join(part for part in parts if part)


def _edge_value(alert: Body, edge: str) -> str:
    """Return the value in the first or the last violated window, with its name if that is another metric."""
    name, value = alert.get(f"{edge}_metric", alert.get("metric")), text(alert.get(f"{edge}_value"))
    return value if name == alert.get("metric") or not value else f"{text(name)} {value}"


def _since(alert: Body) -> str:
    since, ended, count = time(alert.get("since")), time(alert.get("last_window_end")), alert.get("windows")
    spans = f", {count} windows until {ended}" if ended and count and count > 1 else f", until {ended}" if ended else ""
    return since + spans if since else ""


def largest_changes(alert: Body) -> str:
    """Return the entries that changed most, with their values before and after."""
    if entries := alert.get("moved"):
        return ", ".join(entry_change(entry) for entry in entries)
    return ", ".join(f"{text(name)} {text(value)}" for name, value in (alert.get("drivers") or {}).items())


def entry_change(entry: Body) -> str:
    """Return the change of an entry in one line, like "age 0.02 → 0.31 (mean 65 → 88)"."""
    before = f"{text(entry['before'])} → " if entry.get("before") is not None else ""
    units = entry_units(entry)
    return f"{text(entry['name'])} {before}{text(entry.get('after'))}" + (f" ({units})" if units else "")


def entry_units(entry: Body) -> str:
    """Return the change of an entry in its own units, like "mean 65 → 88"; empty if it has none."""
    return one_line(feature_change(entry.get("change") or {}))


def line(notification: Body) -> str:
    """Return one alert of a list as a line.

    The line has the rule and the value, or the reason why there is no value.
    """
    alert = notification["alert"]
    value, last = text(alert.get("value")), _edge_value(alert, "last")
    is_over = alert.get("violated_now") is False
    was = f"was {last}, " if is_over and last not in ("", value) else ""
    now = value if is_over or not last else last
    details = [text(alert.get("rule")), f"{was}now {now}" if value else text(alert.get("reason"))]
    known = ", ".join(detail for detail in details if detail)
    return f"{headline(notification)} ({known})" if known else headline(notification)


def omitted(body: Body, shown: int = SHOWN_AT_MOST) -> str:
    """Return how many alerts a message does not show, and the command that lists them.

    Empty when the message shows all alerts.
    """
    listed = notifications(body)
    count = int(body.get("count", len(listed))) - min(shown, len(listed))
    return f"and {count} more: {body.get('command', 'dcmon alert list')}" if count > 0 else ""


def plain(body: Body) -> str:
    """Return a message as plain text."""
    if body["type"] == MessageType.TEST:
        return f"{body.get('text', 'A test message.')}\n"
    listed = notifications(body)
    if len(listed) == 1:
        return _plain(listed[0])
    counts, shown = count_lines(body), listed[:SHOWN_AT_MOST]
    if body["type"] == MessageType.DIGEST:
        lines = [f"- {line(notification)}" for notification in shown]
        return "\n".join([DIGEST_INTRO, *counts, "", *lines, omitted(body), ""])
    return "\n".join([*counts, "", *(_plain(notification) for notification in shown), omitted(body), ""])


def _plain(notification: Body) -> str:
    rows = [f"  {name}: {value}" for name, value in detail_rows(notification)]
    return "\n".join([headline(notification), *rows, f"  {notification.get('link') or ''}", ""])

"""Received deliveries, and the deliveries that an alert's history requires."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENDS = ("resolved", "retracted")
ACCEPTED = "200"
SEVERITIES = ("low", "medium", "high", "critical")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Delivery:
    """A notification about one alert as received: its message, time, and acceptance."""

    path: str
    message: str
    alert: int
    kind: str
    severity: str
    written: str
    is_accepted: bool


def read(log: Path) -> list[Delivery]:
    """Read all deliveries in order of receipt."""
    lines = log.read_bytes().splitlines() if log.exists() else []
    return [delivery for line in lines for delivery in _deliveries(json.loads(line))]


def _deliveries(line: Row) -> Iterator[Delivery]:
    body = line["body"]
    for notification in body.get("notifications", [body]):
        about = notification["alert"]
        yield Delivery(
            line["path"], line["id"], about["id"], notification["type"].removeprefix("alert."), about["severity"],
            notification["timestamp"], line["response"] == ACCEPTED,
        )  # fmt: skip


def by_alert(deliveries: Iterable[Delivery]) -> Mapping[tuple[str, int], Sequence[Delivery]]:
    """Group deliveries by path and alert, in order of receipt."""
    grouped: dict[tuple[str, int], list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        grouped[delivery.path, delivery.alert].append(delivery)
    return grouped


def contents(log: Path) -> Mapping[str, set[str]]:
    """Return the different bodies of each message id."""
    bodies: dict[str, set[str]] = defaultdict(set)
    for line in log.read_bytes().splitlines() if log.exists() else ():
        message = json.loads(line)
        bodies[message["id"]].add(json.dumps(message["body"], sort_keys=True))
    return bodies


def expected_kinds(history: Sequence[Row], wanted: Sequence[str]) -> list[str]:
    """Return the kinds of notification that an alert's history requires for a receiver.

    `wanted`: the receiver's severities. Lines of one moment are one transaction, whose inner states never were visible.
    """
    notified_severity: str | None = None  # the severity last notified to a receiver of all severities
    expected: list[str] = []
    for kinds, severity in _moments(history):
        kind = _due_kind(kinds, severity, notified_severity)
        if kind is None:
            continue
        notified_severity = None if kind in ENDS else severity
        if expected or (kind not in ENDS and severity in wanted):
            expected.append(kind)
    return expected


def _moments(history: Sequence[Row]) -> Iterator[tuple[list[str], str]]:
    kinds: list[str] = []
    for number, line in enumerate(history):
        kinds.append(line["kind"])
        if number + 1 == len(history) or history[number + 1]["at"] != line["at"]:
            yield kinds, line["severity"]
            kinds = []


def _due_kind(kinds: Sequence[str], severity: str, notified_severity: str | None) -> str | None:
    """Return the notification due after a transaction; None if there is nothing new."""
    last = next((kind for kind in reversed(kinds) if kind != "confirmed"), None)
    if last is None or last in ("pending", *ENDS):
        ended = "resolved" if last == "resolved" else "retracted"
        return ended if notified_severity is not None and last is not None else None
    if notified_severity is None:
        return "reopened" if "reopened" in kinds else "firing"
    if notified_severity == severity:
        return None
    return "escalated" if SEVERITIES.index(severity) > SEVERITIES.index(notified_severity) else "deescalated"

"""What receivers were told, and what they had to be told: an alert's history says it, message by message."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENDS = ("resolved", "retracted")
TAKEN = "200"
SEVERITIES = ("low", "medium", "high", "critical")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Letter:
    """What a receiver got about one alert: in which message, when it was written, and whether it said yes."""

    path: str
    message: str
    alert: int
    kind: str
    severity: str
    written: str
    is_taken: bool


def read(log: Path) -> list[Letter]:
    """Everything that the receivers got, in order of receipt."""
    lines = log.read_bytes().splitlines() if log.exists() else []
    return [letter for line in lines for letter in _letters(json.loads(line))]


def _letters(line: Row) -> Iterator[Letter]:
    body = line["body"]
    for each in body.get("notifications", [body]):
        about = each["alert"]
        yield Letter(
            line["path"], line["id"], about["id"], each["type"].removeprefix("alert."), about["severity"],
            each["timestamp"], line["answer"] == TAKEN,
        )  # fmt: skip


def by_alert(letters: Iterable[Letter]) -> Mapping[tuple[str, int], Sequence[Letter]]:
    """By path and alert, in order of receipt."""
    found: dict[tuple[str, int], list[Letter]] = defaultdict(list)
    for letter in letters:
        found[letter.path, letter.alert].append(letter)
    return found


def contents(log: Path) -> Mapping[str, set[str]]:
    """What each message id stood for."""
    found: dict[str, set[str]] = defaultdict(set)
    for line in log.read_bytes().splitlines() if log.exists() else ():
        message = json.loads(line)
        found[message["id"]].add(json.dumps(message["body"], sort_keys=True))
    return found


def owed(history: Sequence[Row], wanted: Sequence[str]) -> list[str]:
    """What a receiver that wants these severities had to be told of an alert, from the lines of its history.

    Lines of one moment are one transaction: what was true in between was never true for anybody.
    """
    told: str | None = None  # the severity that was said last to whoever listens to all
    said: list[str] = []
    for kinds, severity in _moments(history):
        kind = _news(kinds, severity, told)
        if kind is None:
            continue
        told = None if kind in ENDS else severity
        if said or (kind not in ENDS and severity in wanted):
            said.append(kind)
    return said


def _moments(history: Sequence[Row]) -> Iterator[tuple[list[str], str]]:
    kinds: list[str] = []
    for number, line in enumerate(history):
        kinds.append(line["kind"])
        if number + 1 == len(history) or history[number + 1]["at"] != line["at"]:
            yield kinds, line["severity"]
            kinds = []


def _news(kinds: Sequence[str], severity: str, told: str | None) -> str | None:
    """What is to be said after a transaction; None: nothing, or it is said already."""
    last = next((kind for kind in reversed(kinds) if kind != "confirmed"), None)
    if last is None or last in ("pending", *ENDS):
        ended = "resolved" if last == "resolved" else "retracted"
        return ended if told is not None and last is not None else None
    if told is None:
        return "reopened" if "reopened" in kinds else "firing"
    if told == severity:
        return None
    return "escalated" if SEVERITIES.index(severity) > SEVERITIES.index(told) else "deescalated"

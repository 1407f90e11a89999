"""The one place that decides what is coloured on a terminal: severities, states and levels of logs."""

from enum import StrEnum
from typing import Any

# Fields whose values have a colour, if the value is a word of STYLES.
FIELDS = frozenset({"severity", "state", "level", "last_state", "result", "verdict"})
BAD, SEVERE, WARNING, GOOD, MINOR = "bold red", "red", "yellow", "green", "dim"
STYLES = {
    # severities
    "critical": BAD, "high": SEVERE, "medium": WARNING, "low": "cyan",
    # alerts
    "firing": SEVERE, "pending": WARNING, "acknowledged": WARNING, "resolved": GOOD, "retracted": MINOR,
    # results of monitors
    "OK": GOOD, "ERROR": SEVERE, "NO_DATA": WARNING, "INSUFFICIENT": WARNING,
    "violated": SEVERE, "ok": GOOD, "overdue": WARNING,
    # notifications
    "delivered": GOOD, "dead": SEVERE, "held": WARNING, "superseded": MINOR,
    # processes and parts
    "running": GOOD, "works": GOOD, "answers": GOOD, "leads": GOOD, "does not answer": BAD, "is missing": BAD,
    "gone": BAD, "hangs": SEVERE, "restarting": WARNING, "has another revision": WARNING,
    # levels of logs
    "error": SEVERE, "warning": WARNING, "debug": MINOR,
}  # fmt: skip


ANSI = {BAD: "1;31", SEVERE: "31", WARNING: "33", GOOD: "32", MINOR: "2"}  # where rich is not loaded: in logs


class LogFormat(StrEnum):
    """The format of the lines of a log."""

    TEXT = "text"
    JSON = "json"


class Color(StrEnum):
    """When results are coloured. AUTO: on a terminal, unless NO_COLOR is set or TERM is dumb."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def style_of(value: Any) -> str:
    """Return the style of a word, for rich; an empty text for all other values."""
    return STYLES.get(value, "") if isinstance(value, str) else ""


def style_of_field(field: str, value: Any) -> str:
    """Return the style of a field's value in a table; of several words, "firing, held", that of the last."""
    return style_of(value.rpartition(", ")[2] if isinstance(value, str) else value) if field in FIELDS else ""


def with_ansi(text: str, word: str) -> str:
    """Return a text in the colour of a word, for a terminal."""
    code = ANSI.get(style_of(word))
    return text if code is None else f"\x1b[{code}m{text}\x1b[0m"

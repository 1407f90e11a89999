"""A value that its column can't have, and the sentence that says so."""

from decimal import Decimal
from typing import Any

import msgspec

from dcmon.ingestion.rejected_row import RejectionReason

MISSING_WORDS = frozenset({"", "na", "nan", "null", "none", "n/a", "nil", "undefined"})
MAX_SHOWN = 60  # characters of a value in a sentence


class ValueRefused(Exception):
    """A value that its column can't have.

    `hint` is a sentence that says what to send. `file_hint` takes its place for rows of files, and names the option
    with which the file can be read.
    """

    def __init__(
        self,
        expected: str,
        hint: str = "",
        reason: RejectionReason = RejectionReason.WRONG_TYPE,
        *,
        file_hint: str | None = None,
    ) -> None:
        super().__init__(expected)
        self.expected, self.hint, self.reason = expected, hint, reason
        self.file_hint = hint if file_hint is None else file_hint

    def detail(self, value: Any, *, of_file: bool = False) -> str:
        """Return the sentence for the quarantine, with the value."""
        hint = self.file_hint if of_file else self.hint or _hint(value)
        return f"Expected {self.expected}, got {shown(value)}.{hint and ' ' + hint}"


def _hint(value: Any) -> str:
    """Return what to send instead of a value that a language writes for a missing or a single one."""
    if isinstance(value, str) and value.strip().lower() in MISSING_WORDS:
        return "Send null for a missing value."
    if isinstance(value, list | tuple) and len(value) == 1 and not isinstance(value[0], list | tuple | dict):
        return "It is in a list: send the value alone (in R, toJSON with auto_unbox = TRUE)."
    return ""


def shown(value: Any) -> str:
    """Return a value as a sentence shows it: text in quotes, other values as JSON, shortened."""
    if isinstance(value, str):
        text = repr(value[:MAX_SHOWN])
    elif isinstance(value, Decimal):
        text = str(value)
    else:
        try:
            text = msgspec.json.encode(value, enc_hook=str).decode(errors="replace")
        except (TypeError, ValueError, OverflowError, RecursionError):
            text = repr(value)
    return text if len(text) <= MAX_SHOWN + 2 else text[:MAX_SHOWN] + "…"

"""A value that its column can't have, and the sentence that says so."""

from typing import Any

import msgspec

from dcmon.ingestion.rejected_row import RejectionReason

MAX_SHOWN = 60  # characters of a value in a sentence


class ValueRefused(Exception):
    """A value that its column can't have. `hint` is a sentence that says what to send."""

    def __init__(self, expected: str, hint: str = "", reason: RejectionReason = RejectionReason.WRONG_TYPE) -> None:
        super().__init__(expected)
        self.expected, self.hint, self.reason = expected, hint, reason

    def detail(self, value: Any) -> str:
        """Return the sentence for the quarantine, with the value."""
        return f"Expected {self.expected}, got {shown(value)}.{self.hint and ' ' + self.hint}"


def shown(value: Any) -> str:
    """Return a value as a sentence shows it: text in quotes, other values as JSON, shortened."""
    if isinstance(value, str):
        text = repr(value[:MAX_SHOWN])
    else:
        try:
            text = msgspec.json.encode(value, enc_hook=str).decode(errors="replace")
        except (TypeError, ValueError, OverflowError, RecursionError):
            text = repr(value)
    return text if len(text) <= MAX_SHOWN + 2 else text[:MAX_SHOWN] + "…"

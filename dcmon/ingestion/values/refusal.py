"""A value that its column can't have, and the sentence that says so."""

from typing import Any

import msgspec

from dcmon.ingestion.rejected_row import RejectionReason

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
        hint = self.file_hint if of_file else self.hint
        return f"Expected {self.expected}, got {shown(value)}.{hint and ' ' + hint}"


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

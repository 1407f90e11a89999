"""A row that can't be stored, and the reason codes that the quarantine shows."""

from enum import StrEnum

MAX_DETAIL_LENGTH = 1000  # characters


class RejectionReason(StrEnum):
    """Why a row can't be stored. docs/http.md explains the reasons to senders."""

    MISSING_FEATURE = "missing_feature"
    UNKNOWN_FIELD = "unknown_field"
    WRONG_TYPE = "wrong_type"
    WRONG_LENGTH = "wrong_length"
    OUT_OF_RANGE = "out_of_range"
    MALFORMED = "malformed"
    NUL_CHARACTER = "nul_character"
    UNKNOWN_CLASS = "unknown_class"
    TOO_LONG = "too_long"
    FUTURE_TIMESTAMP = "future_timestamp"
    TOO_OLD = "too_old"
    CONFLICT = "conflict"  # another row with the same id is stored
    REFUSED = "refused"  # by PostgreSQL


class RejectedRow(Exception):
    """A row that can't be stored, with a reason code. `field` is None if the whole row is rejected.

    `file_detail` takes the place of `detail` if the row is of a file: it may name options of commands.
    """

    def __init__(self, reason: RejectionReason, field: str | None, detail: str, file_detail: str | None = None) -> None:
        super().__init__(detail[:MAX_DETAIL_LENGTH])
        self.reason, self.field, self.detail = reason, field and field[:MAX_DETAIL_LENGTH], detail[:MAX_DETAIL_LENGTH]
        self.file_detail = self.detail if file_detail is None else file_detail[:MAX_DETAIL_LENGTH]

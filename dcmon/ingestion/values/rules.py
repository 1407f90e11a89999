"""How a sender writes its values: time zone, order of dates, words for null, marks in numbers."""

from dataclasses import dataclass
from datetime import UTC, tzinfo
from enum import StrEnum
from typing import NamedTuple


class DateOrder(StrEnum):
    """Which part of a date like 01/02/2026 comes first. Dates that begin with the year need no order."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True)
class ValueRules:
    """How a sender writes its values. The defaults are those of files.

    `time_zone`: of times without an offset; None refuses them. `date_order`: of dates like 01/02/2026; None refuses
    them. `null_words`: texts that are null in columns of each type, compared exactly; an empty cell of a CSV is null
    without it, and in columns that are not text so are words like NaN. `decimal_mark`, `thousands_mark`: of numbers in
    text; no mark of thousands if it is "".
    """

    time_zone: tzinfo | None = UTC
    date_order: DateOrder | None = None
    null_words: frozenset[str] = frozenset()
    decimal_mark: str = "."
    thousands_mark: str = ""


class ProofText(NamedTuple):
    """The first text of a column that proves how the column writes its values, and its number among the texts."""

    text: str
    number: int


FILE_RULES = ValueRules()
# HTTP and Kafka: many senders share a version, so that nothing can be said about a time without an offset.
JSON_RULES = ValueRules(time_zone=None)

"""Times: ISO 8601 and its relatives, dates, and numbers since 1970."""

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any

from dcmon.ingestion.rejected_row import RejectionReason
from dcmon.ingestion.values.refusal import ValueRefused
from dcmon.ingestion.values.rules import DateOrder, ProofText, ValueRules

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A number counts seconds since 1970, or if it is too large for that (the year 5138) ms, µs or ns.
_UNITS = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3), (0, 1))
# A smaller number may be a day of Excel (46082), a year, or the date 20260301.
LEAST_NUMBER = 10**8
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_ZONE = r" ?(?:(?P<utc>[Zz]|UTC|GMT)|(?P<offset>[+-]\d\d(?::?\d\d)?)(?: [A-Z]{3,5})?)(?:\[[\w/+-]+\])?"
_DATE = (
    r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})"
    r"|(?P<first>\d{1,2})(?P<other_mark>[-/.])(?P<next>\d{1,2})(?P=other_mark)(?P<last>\d{4}|\d\d)"
)
_TIME = re.compile(rf"(?:{_DATE})(?:(?:[Tt]| +){_CLOCK}(?:{_ZONE})?)?", re.ASCII)
# As most programs write it. With fewer digits or other signs datetime would read what `_TIME` refuses.
_USUAL = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{6}|\.\d{3})?(?:Z|\+00:00)?", re.ASCII)
_OVER_12 = "(?:1[3-9]|2\\d|3[01])"
_CANDIDATES = {
    DateOrder.DAY: re.compile(rf"^[^\S\n]*{_OVER_12}([-/.])\d{{1,2}}\1.*$", re.ASCII | re.MULTILINE),
    DateOrder.MONTH: re.compile(rf"^[^\S\n]*\d{{1,2}}([-/.]){_OVER_12}\1.*$", re.ASCII | re.MULTILINE),
}
_NEEDS_ORDER = re.compile(r"^[^\S\n]*\d{1,2}([-/.])\d{1,2}\1\d\d.*$", re.ASCII | re.MULTILINE)
_EXPECTED = "a time such as 2026-03-01T12:00:00Z"
_NO_OFFSET = "It has no offset: add Z for UTC, or +02:00."
_NO_ORDER = "The day or the month may come first: send the year first."
_NO_ORDER_IN_FILE = "No date of the column shows which of them is the day: give --date-order day or month."
_TOO_SMALL = "A number counts seconds, milli-, micro- or nanoseconds since 1970; a time after March 1973 is expected."


def time(value: Any, rules: ValueRules) -> datetime | None:
    """Return a time in UTC, or None for NaN. Raises ValueRefused."""
    try:
        if isinstance(value, str):
            return _of_text(value.strip(), rules)
        if isinstance(value, datetime):
            return _in_utc(value, rules)
        if isinstance(value, date):
            return _in_utc(datetime(value.year, value.month, value.day), rules)  # noqa: DTZ001  # a local date
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            return _since_epoch(value)
    except OverflowError as error:
        raise ValueRefused(_EXPECTED, "Years are 1 to 9999.", RejectionReason.OUT_OF_RANGE) from error
    raise ValueRefused(_EXPECTED)


def proven_date_order(texts: Iterable[str]) -> DateOrder | None:
    """Return the order that a column of dates proves: 13/02/2026 has the day first. None if it proves none."""
    proven = {order for text in texts if (order := order_of_date(text)) is not None}
    return proven.pop() if len(proven) == 1 else None


def order_of_date(text: str) -> DateOrder | None:
    """Return the order that a date proves. 13/02/26 proves none: it may be a day of 2013."""
    match = _TIME.fullmatch(text.strip())
    if match is None or match["first"] is None:
        return None
    can_be_month = [int(match[name]) <= 12 for name in ("first", "next")]
    if all(can_be_month) or not any(can_be_month):
        return None
    may_be_year_first = len(match["last"]) == 2 and int(match["last"]) <= 31
    if can_be_month[0]:
        return DateOrder.MONTH
    return None if may_be_year_first else DateOrder.DAY


def first_without_order(lines: str) -> ProofText | None:
    """Return the first line that is a date like 01/02/2026, whose day or month may be first."""
    match = _NEEDS_ORDER.search(lines)
    return None if match is None else _proof_text(match)


def first_proof(order: DateOrder, lines: str) -> ProofText | None:
    """Return the first line that proves an order. Many lines are read at once, at a fraction of the cost of each."""
    for match in _CANDIDATES[order].finditer(lines):
        if order_of_date(match[0]) == order:
            return _proof_text(match)
    return None


def _proof_text(match: "re.Match[str]") -> ProofText:
    return ProofText(match[0].strip(), match.string.count("\n", 0, match.start()))


def _of_text(text: str, rules: ValueRules) -> datetime | None:
    if _USUAL.fullmatch(text):  # most times, at a third of the cost
        with suppress(ValueError):  # 24:00:00, a leap second, or no such date
            return _in_utc(datetime.fromisoformat(text), rules)
    if _NUMBER.fullmatch(text):
        return _since_epoch(int(text) if text.lstrip("-").isdecimal() and len(text) < 30 else float(text))
    if match := _TIME.fullmatch(text):
        return _of_match(match, rules)
    try:
        return _in_utc(datetime.fromisoformat(text), rules)  # 20260301T120000Z
    except ValueError as error:
        raise ValueRefused(_EXPECTED) from error


def _of_match(match: "re.Match[str]", rules: ValueRules) -> datetime:
    zone = _zone(match) or rules.time_zone
    try:
        day = _day(match, rules.date_order)
        if match["hour"] is None:
            return _in_utc(day, rules)
        return _in_utc((day + _since_midnight(match)).replace(tzinfo=zone), rules)
    except ValueError as error:
        raise ValueRefused(_EXPECTED, "There is no such date or time.") from error


def _day(match: "re.Match[str]", order: DateOrder | None) -> datetime:
    """Return the date, as a time without a zone. Raises ValueError for a date that does not exist."""
    if match["year"] is not None:
        return datetime(int(match["year"]), int(match["month"]), int(match["day"]))  # noqa: DTZ001
    if order is None:
        raise ValueRefused("a date with the year first", _NO_ORDER, file_hint=_NO_ORDER_IN_FILE)
    day, month = (match["first"], match["next"]) if order == DateOrder.DAY else (match["next"], match["first"])
    year = int(match["last"])
    if len(match["last"]) == 2:  # as POSIX reads them
        year += 1900 if year >= 69 else 2000
    return datetime(year, int(month), int(day))  # noqa: DTZ001


def _since_midnight(match: "re.Match[str]") -> timedelta:
    """Return the time of day. 24:00 is the next midnight, and a leap second the next second, as in PostgreSQL."""
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"] or 0)
    microseconds = (int((match["fraction"] or "").ljust(7, "0")[:7]) + 5) // 10  # half up, as in JSON
    if match["half"]:
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + (12 if match["half"] in "Pp" else 0)
    is_next_midnight = (hour, minute, second, microseconds) == (24, 0, 0, 0)
    if not (hour <= 23 or is_next_midnight) or minute > 59 or second > 60:
        raise ValueError
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=microseconds)


def _zone(match: "re.Match[str]") -> tzinfo | None:
    if match["utc"]:
        return UTC
    if not match["offset"]:
        return None
    digits = match["offset"][1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    if int(digits[2:]) > 59 or offset >= timedelta(hours=24):
        raise ValueRefused(_EXPECTED, "There is no such offset.")
    return timezone(-offset if match["offset"].startswith("-") else offset)


def _in_utc(time: datetime, rules: ValueRules) -> datetime:
    """Convert to UTC. A time without an offset that occurs twice, when clocks go back, is the first one."""
    if time.tzinfo is None:
        if rules.time_zone is None:
            raise ValueRefused("a time with an offset, such as 2026-03-01T12:00:00Z", _NO_OFFSET)
        time = time.replace(tzinfo=rules.time_zone)
    return time.astimezone(UTC)


def _since_epoch(number: "int | float | Decimal") -> datetime | None:
    if isinstance(number, Decimal) and number.is_nan():
        return None
    if not math.isfinite(number):
        if math.isnan(number):
            return None
        raise ValueRefused(_EXPECTED)
    size = abs(float(number))
    if 0 < size < LEAST_NUMBER:
        raise ValueRefused(_EXPECTED, _TOO_SMALL)
    unit = next(unit for least, unit in _UNITS if size >= least)
    if number == int(number):
        return EPOCH + timedelta(microseconds=(int(number) * 1_000_000 + unit // 2) // unit)
    return EPOCH + timedelta(seconds=float(number) / unit)

"""The type of a column, by its values and by the rules of ingestion."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from dcmon.ingestion.files import column_names
from dcmon.ingestion.files.proposal.profile import ColumnProfile
from dcmon.ingestion.values import conversion, numbers, times
from dcmon.ingestion.values.refusal import ValueRefused, shown
from dcmon.ingestion.values.rules import DateOrder, ValueRules
from dcmon.storage.columns import TIME

FEW = 20  # different values; fewer never make a column one of free text
MANY = 1_000
LONG_TEXT = 50  # characters on average
_CODE = re.compile(r"\+?0\d+|\+\d{7,}")
_PLAIN_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", re.ASCII)
_NAMES_OF_CODES = re.compile(
    r"(.+_)?(zip|zip_code|zipcode|postcode|post_code|postal_code|postleitzahl|plz|code_postal|codigo_postal|cep|code)"
)

_NAMES_OF_IDS = re.compile(r"(.+_)?(id|uuid|guid)|id_.+")


class Doubt(StrEnum):
    """Why the type of a column can't be told."""

    NO_VALUE = "no value"
    NO_TYPE = "no type"
    DATE_ORDER = "date order"


@dataclass(frozen=True)
class TypeGuess:
    """The type of a column and the reason. `type` is None if no type fits; `doubt` says why it is not certain.

    `is_share`: the values are numbers from 0 to 1, or lists of numbers.
    """

    type: str | None
    reason: str
    doubt: Doubt | None = None
    is_share: bool = False


def guess(profile: ColumnProfile, rules: ValueRules) -> TypeGuess:
    """Guess the type of a column."""
    if not profile.counts:
        if profile.nested:
            return TypeGuess(None, "nested values: no column has such a type", Doubt.NO_TYPE)
        return TypeGuess(None, "no value in the file", Doubt.NO_VALUE)
    if profile.lists or profile.nested or all(_is_list_text(value) for value in profile.counts):
        return _of_lists(profile, rules)
    if any(isinstance(value, str) and _CODE.fullmatch(value) for value in profile.counts):
        return TypeGuess("categorical", "codes with a leading 0 or +")
    for attempt in (_boolean, _time, _number):
        if (typed := attempt(profile, rules)) is not None:
            return typed
    if not _fits(profile, "text", rules):
        return TypeGuess(None, f"{_example(profile)} has no column type", Doubt.NO_TYPE)
    return _text(profile)


def _fits(profile: ColumnProfile, kind: str, rules: ValueRules) -> bool:
    convert = conversion.converter(kind, rules)
    return all(_converts(convert, value) for value in profile.counts)


def _converts(convert: Callable[[Any], Any], value: Any) -> bool:
    try:
        convert(value)
    except ValueRefused:
        return False
    return True


def _is_list_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip()[:1] in ("[", "{") and value.strip()[-1:] in ("]", "}")


def _of_lists(profile: ColumnProfile, rules: ValueRules) -> TypeGuess:
    for kind, text in (("array_float", "lists of numbers"), ("array_float_2d", "lists of lists of numbers")):
        if not profile.nested and _fits(profile, kind, rules):
            return TypeGuess(kind, text, is_share=kind == "array_float")
    if not profile.lists and not profile.nested:
        return _text(profile)
    return TypeGuess(None, "nested values: no column has such a type", Doubt.NO_TYPE)


def _boolean(profile: ColumnProfile, rules: ValueRules) -> TypeGuess | None:
    """Take a column that has both truth values; one value alone may be a number or a word."""
    if len(profile.counts) > 12 or not _fits(profile, "boolean", rules):
        return None
    if all(isinstance(value, bool) for value in profile.counts):
        return TypeGuess("boolean", "true and false" if len(profile.counts) > 1 else "booleans, one value only")
    truths = {numbers.boolean(value) for value in profile.counts}
    if truths != {True, False}:
        return None
    return TypeGuess("boolean", f"only {_list(profile)}", is_share=_fits(profile, "numeric", rules))


def _time(profile: ColumnProfile, rules: ValueRules) -> TypeGuess | None:
    values = list(profile.counts)
    if all(isinstance(value, datetime | date) for value in values):
        return TypeGuess("datetime", "times" if isinstance(values[0], datetime) else "dates")
    if all(_is_number(value) for value in values):
        if column_names.rank(profile.name, TIME) is None or not _fits(profile, "datetime", rules):
            return None
        return TypeGuess("datetime", f"numbers since 1970 such as {_example(profile)}")
    if any(_is_number(value) for value in values):
        return None
    if _fits(profile, "datetime", rules):
        return TypeGuess("datetime", f"times such as {_example(profile)}")
    if not all(isinstance(value, str) for value in values) or rules.date_order is not None:
        return None
    order = times.proven_date_order(values)
    orders = [order] if order else list(DateOrder)
    if not all(_fits(profile, "datetime", replace(rules, date_order=date_order)) for date_order in orders):
        return None
    if order is not None:
        return TypeGuess("datetime", f"dates with the {order} first, such as {_example(profile)}")
    return TypeGuess("datetime", f"dates such as {_example(profile)}: day or month first?", Doubt.DATE_ORDER)


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return _PLAIN_NUMBER.fullmatch(value.strip()) is not None
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _number(profile: ColumnProfile, rules: ValueRules) -> TypeGuess | None:
    if any(isinstance(value, bool) for value in profile.counts) or not _fits(profile, "numeric", rules):
        return None
    converted = [numbers.number(value, rules) for value in profile.counts]
    low, high = min(converted), max(converted)
    span = f"from {low:g} to {high:g}" if low != high else f"one value only: {low:g}"
    is_integral = all(number == int(number) for number in converted)
    if is_integral and _NAMES_OF_CODES.fullmatch(column_names.plain(profile.name)):
        return TypeGuess("categorical", "codes, by its name")
    kind = next((kind for kind in numbers.INTEGERS if _fits(profile, kind, rules)), None)
    if not is_integral or kind is None or (_has_fractions(profile) and not _has_integers_and_nulls(profile)):
        return TypeGuess("numeric", f"numbers {span}", is_share=0 <= low <= high <= 1)
    if _NAMES_OF_IDS.fullmatch(column_names.plain(profile.name)):
        return TypeGuess("categorical", "whole numbers, ids by its name")
    return TypeGuess(kind, f"whole numbers {span}", is_share=0 <= low <= high <= 1)


def _has_fractions(profile: ColumnProfile) -> bool:
    return any(
        isinstance(value, float) or (isinstance(value, str) and any(mark in value for mark in ".,eE%"))
        for value in profile.counts
    )


def _has_integers_and_nulls(profile: ColumnProfile) -> bool:
    """Return True for 1.0, 2.0 and nulls: so pandas writes whole numbers of which some are missing."""
    return bool(profile.nulls or profile.words) and profile.values >= FEW


def _text(profile: ColumnProfile) -> TypeGuess:
    different, values = len(profile.counts), profile.values
    length = sum(len(str(value)) * count for value, count in profile.counts.items()) / values
    is_varied = different > FEW and (different > values / 2 or (different > MANY and different > values / 10))
    if is_varied or (length > LONG_TEXT and different > 1):
        return TypeGuess("text", f"free text: {different:,} different in {values:,} rows")
    reason = f"{different:,} different texts" if different > 1 else f"one value only: {_example(profile)}"
    if words := [word for word in profile.words if word.strip()]:
        reason += f"; {words[0]!r} is one of them (--null {words[0]}: it is missing)"
    return TypeGuess("categorical", reason)


def _example(profile: ColumnProfile) -> str:
    return shown(next(iter(profile.counts)))


def _list(profile: ColumnProfile) -> str:
    return " and ".join(sorted({str(value) for value in profile.counts})[:4])

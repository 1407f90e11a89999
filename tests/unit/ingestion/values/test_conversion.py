"""Each value is converted or refused: no value may fail the batch of its row."""

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.ingestion.values import conversion, lists
from dcmon.ingestion.values.refusal import ValueRefused
from dcmon.ingestion.values.rules import FILE_RULES, JSON_RULES, DateOrder, ValueRules
from dcmon.storage import categories
from dcmon.storage.columns import TYPES
from tests.helpers.examples import examples

RULES = (FILE_RULES, JSON_RULES, ValueRules(dt.UTC, DateOrder.DAY, decimal_mark=",", thousands_mark="."))
SCALARS = (
    st.text(st.sampled_from("0123456789+-.eE:,/ TZ[]{}%_apmUTCnNiItruefals\"'"), max_size=30)
    | st.text(max_size=8)
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.decimals()
    | st.datetimes()
    | st.datetimes(timezones=st.timezones())
    | st.dates()
    | st.times()
    | st.binary(max_size=8)
    | st.from_regex(r"-?\d{1,30}(\.\d{1,20})?([eE][-+]?\d{1,12})?", fullmatch=True)
    | st.from_regex(
        r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\d{1,2}:\d\d(:\d\d(\.\d{1,9})?)?)?(Z|[+-]\d{2,4})?", fullmatch=True
    )
)
VALUES = st.recursive(
    SCALARS, lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(), items, max_size=2)
)


def convert_or_refuse(convert: Callable[[], Any], value: Any) -> Any:
    """Return the converted value. A refusal must be able to show the value."""
    try:
        return convert()
    except ValueRefused as refused:
        refused.detail(value).encode()
        return None


@given(VALUES)
@settings(max_examples=examples(300))
def test_each_value_is_converted_or_refused(value: Any) -> None:
    for kind in (*TYPES, conversion.ID):
        for rules in RULES:
            converted = convert_or_refuse(partial(conversion.converter(kind, rules), value), value)
            if kind in TYPES and converted is not None and not isinstance(converted, Decimal):
                msgspec.convert(converted, TYPES[kind].python)


@given(VALUES)
@settings(max_examples=examples(100))
def test_probabilities_are_complete_or_refused(value: Any) -> None:
    for length in (2, 3):
        converted = convert_or_refuse(partial(lists.probabilities, value, JSON_RULES, length), value)
        assert converted is None or len(converted) == length


@given(st.permutations(["a", "1.0", "True", "é"]))
def test_probabilities_by_name_are_in_the_order_of_classes(names: list[str]) -> None:
    classes = sorted(names)
    by_name = {categories.normalize(name): number / 10 for number, name in enumerate(names, start=1)}
    wanted = [by_name[categories.normalize(name)] for name in classes]
    for value in (by_name, json.dumps(by_name)):
        assert lists.probabilities(value, JSON_RULES, 4, classes) == wanted
    for wrong in ({**by_name, "b": 0}, dict(list(by_name.items())[1:]), {}, {"a": 1}):
        with pytest.raises(ValueRefused, match="a probability for each class"):
            lists.probabilities(wrong, JSON_RULES, 4, classes)


@pytest.mark.parametrize(
    ("kind", "value", "detail"),
    [
        ("boolean", "maybe", "Expected a boolean, got 'maybe'."),
        ("integer", 2**31, "Expected an integer from -2147483648 to 2147483647, got 2147483648."),
        ("numeric", "x" * 500, f"Expected a number, got '{'x' * 60}'."),
        ("datetime", "2026-03-01", "Expected a time with an offset, such as 2026-03-01T12:00:00Z, got '2026-03-01'."
         " It has no offset: add Z for UTC, or +02:00."),
    ],
)  # fmt: skip
def test_refusal_says_what_was_expected_and_met(kind: str, value: Any, detail: str) -> None:
    with pytest.raises(ValueRefused) as raised:
        conversion.converter(kind, JSON_RULES)(value)
    assert raised.value.detail(value) == detail


@given(
    st.from_regex(r"(19|20)\d\d-[01]\d-[0-3]\d[T ][0-2]\d:[0-6]\d:[0-6]\d(\.\d{1,9})?(Z|\+00:00)?", fullmatch=True)
    | st.sampled_from(["2026-02-28T24:00:00Z", "2026-03-01T23:59:60Z", "2026-10-25 02:30:00", "2026-03-29 02:30:00"])
)
@settings(max_examples=examples(300))
def test_usual_times_mean_the_same_as_all_others(text: str) -> None:
    """A blank before the offset or the end of the clock is what the quick way does not read."""
    other = text.replace("Z", " UTC").replace("+00:00", " +00:00").replace("-", "/", 2)
    for rules in (*RULES, ValueRules(ZoneInfo("Europe/Berlin"))):
        convert = partial(conversion.converter("datetime", rules), text)
        assert convert_or_refuse(convert, text) == convert_or_refuse(
            partial(conversion.converter("datetime", rules), other), other
        )


@given(st.text(st.sampled_from("0123456789\u0663"), min_size=1, max_size=33))
@settings(max_examples=examples(100))
def test_usual_integers_mean_the_same_as_all_others(text: str) -> None:
    for rules in RULES:
        for kind in ("integer", "bigint"):
            convert = conversion.converter(kind, rules)
            assert convert_or_refuse(partial(convert, text), text) == convert_or_refuse(
                partial(convert, f"+{text}"), text
            )

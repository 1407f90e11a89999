"""Files in other dialects: marks in numbers, order of dates, time zone and words for null."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dcmon.ingestion.files import value_conversion
from dcmon.ingestion.values import times
from dcmon.ingestion.values.rules import DateOrder, ValueRules

GERMAN = ValueRules(ZoneInfo("Europe/Berlin"), DateOrder.DAY, decimal_mark=",", thousands_mark=".")
AMERICAN = ValueRules(ZoneInfo("America/New_York"), DateOrder.MONTH, thousands_mark=",")
FRENCH = ValueRules(decimal_mark=",", thousands_mark="\u202f")


@pytest.mark.parametrize(
    ("rules", "kind", "text", "wanted"),
    [
        (GERMAN, "numeric", "1.234,5", 1234.5),
        (GERMAN, "numeric", "-1.234.567", -1234567),
        (GERMAN, "numeric", "0,5", 0.5),
        (GERMAN, "numeric", "1,5e3", 1500),
        (GERMAN, "integer", "1.234", 1234),
        (GERMAN, "integer", "5,0", 5),
        (FRENCH, "numeric", "1\u202f234,5", 1234.5),
        (AMERICAN, "numeric", "1,234.5", 1234.5),
        (AMERICAN, "numeric", "1234.5", 1234.5),
        (AMERICAN, "bigint", "1,234,567,890", 1234567890),
        (GERMAN, "numeric", "1.5", ["1.5"]),  # kept as a list, which no column accepts
        (GERMAN, "numeric", "1.23,5", "1.23,5"),
        (GERMAN, "numeric", "1,2,3", "1,2,3"),
        (AMERICAN, "numeric", "1,23", "1,23"),
        (GERMAN, "probabilities", "0,8", 0.8),
        (GERMAN, "categorical", "1.234,5", "1.234,5"),
    ],
)
def test_number_has_the_marks_of_the_file(rules: ValueRules, kind: str, text: str, wanted: Any) -> None:
    assert value_conversion.text_converter(kind, rules)(text) == wanted


@pytest.mark.parametrize(
    ("rules", "text", "wanted"),
    [
        (GERMAN, "01.02.2026 13:30", datetime(2026, 2, 1, 12, 30, tzinfo=UTC)),
        (GERMAN, "1.2.26", datetime(2026, 1, 31, 23, tzinfo=UTC)),
        (AMERICAN, "01/02/2026 1:30:00 PM", datetime(2026, 1, 2, 18, 30, tzinfo=UTC)),
        (AMERICAN, "1/2/2026 12:00 am", datetime(2026, 1, 2, 5, tzinfo=UTC)),
        (AMERICAN, "2026/01/02", datetime(2026, 1, 2, 5, tzinfo=UTC)),
        (GERMAN, "2026-02-01T12:30:00Z", datetime(2026, 2, 1, 12, 30, tzinfo=UTC)),
        (GERMAN, "2026-10-25 02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # occurs twice: the first one
        (GERMAN, "2026-03-29 02:30", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # does not occur
        (AMERICAN, "13/02/2026", "13/02/2026"),
        (GERMAN, "01/02.2026", "01/02.2026"),
    ],
)
def test_time_has_the_zone_and_order_of_the_file(rules: ValueRules, text: str, wanted: Any) -> None:
    assert value_conversion.text_converter("datetime", rules)(text) == wanted


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (["01/02/2026", "13/02/2026"], DateOrder.DAY),
        (["01/02/2026", "02/13/2026 10:00"], DateOrder.MONTH),
        (["01/02/2026", "", "x"], None),
        (["13/02/2026", "02/13/2026"], None),
        (["2026/02/13"], None),
    ],
)
def test_column_proves_the_order_of_its_dates(texts: list[str], order: DateOrder | None) -> None:
    assert times.proven_date_order(texts) == order

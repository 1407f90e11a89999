"""How a file is written: options are parsed, stored with a source, and refused where they have no meaning."""

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from dcmon import errors
from dcmon.ingestion.files import dialect
from dcmon.ingestion.files.dialect import NO_OPTIONS, Dialect
from dcmon.ingestion.values.rules import FILE_RULES, DateOrder


def test_options_are_parsed_and_become_rules_for_values() -> None:
    typed = {"delimiter": "tab", "encoding": "Latin-1", "decimal": ",", "thousands": ".", "date_order": "Day"}
    created = dialect.create({**typed, "time_zone": "Europe/Berlin"}, ["NA", "-", "NA"])
    rules = created.value_rules()

    assert (created.delimiter, created.encoding, created.null) == ("\t", "iso8859-1", ("NA", "-"))
    assert (rules.decimal_mark, rules.thousands_mark, rules.date_order) == (",", ".", DateOrder.DAY)
    assert (rules.time_zone, rules.null_words) == (ZoneInfo("Europe/Berlin"), {"NA", "-"})


def test_no_options_leave_the_rules_of_files() -> None:
    assert dialect.create({"delimiter": None}) == NO_OPTIONS
    assert NO_OPTIONS.value_rules() == FILE_RULES
    assert NO_OPTIONS.given() == {}


def test_stored_dialect_is_read_back_as_it_was_given() -> None:
    created = Dialect(delimiter=";", null=("NA",), date_order=DateOrder.MONTH, time_zone="Asia/Tokyo")
    stored = msgspec.json.decode(msgspec.json.encode(created.given()))

    assert stored == {"delimiter": ";", "null": ["NA"], "date_order": "month", "time_zone": "Asia/Tokyo"}
    assert dialect.from_json(stored) == created
    assert dialect.from_json(None) == NO_OPTIONS


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"delimiter": ";;"}, "--delimiter: ';;' is not one character"),
        ({"delimiter": '"'}, "is not one character"),
        ({"encoding": "base64"}, "--encoding: There is no encoding 'base64'"),
        ({"encoding": "klingon"}, "windows-1252"),
        ({"decimal": ";"}, "--decimal: ';' is not one of '.', ','"),
        ({"thousands": "x"}, "--thousands: 'x' is not one of"),
        ({"decimal": ",", "thousands": ","}, "choose another mark with --thousands"),
        ({"thousands": "."}, "choose another mark with --decimal"),
        ({"date_order": "year"}, "--date-order: 'year' is not one of 'day', 'month'"),
        ({"time_zone": "Mars/X"}, "no time zone 'Mars/X'"),
    ],
)
def test_option_that_can_not_be_meant_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(errors.InvalidInput, match=sentence):
        dialect.create(options)


def test_option_without_meaning_for_a_format_is_refused() -> None:
    with pytest.raises(errors.InvalidInput, match=r"--delimiter has no meaning for a\.parquet: it is for CSV"):
        Dialect(delimiter=";").require_meaning("a.parquet", "parquet")
    with pytest.raises(errors.InvalidInput, match=r"--encoding has no meaning for a\.parquet: it is for CSV and JSON"):
        Dialect(encoding="utf-16").require_meaning("a.parquet", "parquet")

    Dialect(encoding="utf-16", decimal=",").require_meaning("a.jsonl", "jsonl")
    assert Dialect(delimiter=";", decimal=",").for_format("parquet") == Dialect(decimal=",")

"""Data for programs: each format has the same data, and a terminal obeys nothing in it."""

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon import data_formats, errors
from dcmon.data_formats import Format
from dcmon.formatting import printable
from tests.helpers.examples import examples

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS)
NESTED = st.one_of(VALUES, st.lists(VALUES, max_size=3), st.dictionaries(TEXTS, VALUES, max_size=3))
ROWS = st.lists(st.dictionaries(TEXTS, NESTED, min_size=1, max_size=4), max_size=4)
Rows = list[dict[str, Any]]


@given(ROWS)
def test_json_json_lines_and_yaml_keep_all_data(rows: Rows) -> None:
    assert json.loads(data_formats.serialize(rows, Format.json)) == rows
    lines = data_formats.serialize(rows, Format.jsonl).split("\n") if rows else []
    assert [json.loads(line) for line in lines] == rows
    assert yaml.safe_load(data_formats.serialize(rows, Format.yaml)) == rows


# The core schema of YAML 1.2, in which a plain scalar that fits is no text.
CORE_1_2 = re.compile(
    r"null|Null|NULL|~||true|True|TRUE|false|False|FALSE|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
# Plain scalars that YAML 1.1 (yaml.org/type) or Go's library reads as another type, beside those that PyYAML knows.
OTHER_1_1 = re.compile(
    r"[yYnN]|[-+]?0[bo][0-9_]+|[-+]?[0-9_]+(:[0-5]?[0-9])+(\.[0-9_]*)?|[-+]?([0-9][0-9_,]*)?\.[0-9.]*([eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9_]*[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?"
)
TRAPS = [
    "0029", "1e3", "1E+3", "0o17", "-0o17", "0x1F", "0b11", ".5", "5.", "+1", "-1_000", "685_230.15", "1,000", "12:30",
    "2026-03-01", "2026-03-01T10:00:00Z", "2026-03-01 10:00:00", "yes", "No", "ON", "off", "y", "N", "null",
    "~", "", ".inf", "-.INF", ".NaN", "true", "FALSE", "=", "<<", "-", "...", "# a", "a: b", "*a", "!a", "0", "08",
]  # fmt: skip
NUMERIC = st.text("0123456789+-._:,eExobTZ ", max_size=8)
WORDS = st.sampled_from(TRAPS).flatmap(lambda word: st.sampled_from([word, word.upper(), word.title()]))


@given(st.lists(TEXTS | NUMERIC | WORDS, max_size=6, unique=True))
@settings(max_examples=examples(300))
def test_texts_are_texts_in_each_version_of_yaml(texts: list[str]) -> None:
    written = data_formats.serialize({"values": texts, "keys": dict.fromkeys(texts, 1)}, Format.yaml)
    assert yaml.safe_load(written) == {"values": texts, "keys": dict.fromkeys(texts, 1)}
    plain = [event.value for event in yaml.parse(written) if isinstance(event, yaml.ScalarEvent) and event.implicit[0]]
    taken = [text for text in plain if CORE_1_2.fullmatch(text) or OTHER_1_1.fullmatch(text)]
    assert taken == ["1"] * len(texts)  # the values of the keys: all that is no text


@pytest.mark.parametrize("text", TRAPS)
def test_text_that_looks_like_another_type_is_quoted(text: str) -> None:
    written = data_formats.serialize({"at": text}, Format.yaml)
    assert yaml.safe_load(written) == {"at": text}
    assert written == f"at: '{text}'"


@given(ROWS)
def test_no_format_commands_a_terminal(rows: Rows) -> None:
    for format in Format:
        if not format.is_for_people:
            written = data_formats.serialize(rows, format)
            assert printable(written) == written, format


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.text('xyz,"\n 0', max_size=6), min_size=1), min_size=1))
def test_csv_has_a_row_for_each_object(rows: Rows) -> None:
    read = list(csv.DictReader(io.StringIO(data_formats.serialize(rows, Format.csv))))
    names = list(dict.fromkeys(name for row in rows for name in row))
    filled = [{name: row.get(name, "") for name in names} for row in rows]
    # A reader of CSV skips lines that are blank: rows whose only field is empty.
    assert read == [row for row in filled if len(names) > 1 or row[names[0]]] or len(names) == 1


def test_csv_writes_values_that_other_programs_read() -> None:
    row = {
        "none": None, "flag": True, "at": datetime(2026, 3, 1, tzinfo=UTC), "span": timedelta(hours=1),
        "list": ["a", 1], "object": {"a": None}, "text": 'say "hi", please',
    }  # fmt: skip
    assert data_formats.serialize([row], Format.csv) == (
        "none,flag,at,span,list,object,text\n"
        ',true,2026-03-01T00:00:00+00:00,3600.0,"[""a"", 1]","{""a"": null}","say ""hi"", please"'
    )


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"name": "churn", "id": 4}, "churn"),
        ({"id": 4, "name": None}, "4"),
        ({"org": "acme", "dry_run": True, "email": "ann@acme.org"}, "ann@acme.org"),
        ({"org": "acme"}, "acme"),
        ({"check": "FeatureDrift", "needs": []}, "FeatureDrift"),
    ],
)
def test_name_is_what_further_commands_take(row: dict[str, Any], name: str) -> None:
    assert data_formats.serialize(row, Format.name) == name


def test_fields_are_chosen_in_their_order_and_inside_objects() -> None:
    rows = [{"id": 1, "alert": {"since": 5}}, {"id": 2, "alert": None}, {"id": 3}]
    assert data_formats.choose_fields(rows, ["alert.since", "id"]) == [
        {"alert.since": 5, "id": 1}, {"alert.since": None, "id": 2}, {"alert.since": None, "id": 3},
    ]  # fmt: skip
    assert data_formats.choose_fields(rows[0], ["id"]) == {"id": 1}
    assert data_formats.choose_fields([], ["anything"]) == []


def test_unknown_field_is_refused_with_the_nearest() -> None:
    with pytest.raises(errors.InvalidInput, match=r"There is no field 'severty'. Do you mean 'severity'"):
        data_formats.choose_fields([{"id": 1, "severity": "high"}], ["severty"])


def test_rows_are_sorted_by_meaning_and_unknown_ones_are_last() -> None:
    rows = [
        {"id": 1, "severity": "low", "at": None}, {"id": 2, "severity": "critical"},
        {"id": 3, "severity": "medium", "at": datetime(2026, 3, 1, tzinfo=UTC)}, {"id": 4},
    ]  # fmt: skip

    def order(sort: str, limit: int | None = None) -> list[int]:
        return [row["id"] for row in data_formats.arrange(rows, sort, limit)]

    assert order("") == [1, 2, 3, 4]
    assert order("severity") == [1, 3, 2, 4]
    assert order("-severity") == [2, 3, 1, 4]
    assert order("-id", 2) == [4, 3]
    assert order("at") == [3, 1, 2, 4]
    with pytest.raises(errors.InvalidInput, match="no field 'severty'"):
        order("severty")


def test_limit_of_a_history_leaves_the_newest_rows() -> None:
    rows = [{"id": 1}, {"id": 2}, {"id": 3}]
    assert data_formats.arrange(rows, "", 2, newest_is_last=True) == rows[1:]
    assert data_formats.arrange(rows, "id", 2, newest_is_last=True) == rows[:2]
    assert data_formats.arrange(rows, "", 4, newest_is_last=True) == rows


@given(st.lists(st.fixed_dictionaries({"a": VALUES, "b": st.integers()}), max_size=6), st.booleans())
def test_sorting_loses_no_row_of_any_values(rows: Rows, is_descending: bool) -> None:
    ordered = data_formats.arrange(rows, "-a" if is_descending else "a", None)
    assert sorted(map(str, ordered)) == sorted(map(str, rows))

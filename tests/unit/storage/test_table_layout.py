"""The layout of a version's tables: which columns are in arrays, and which versions are refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon import errors
from dcmon.storage import table_layout
from dcmon.storage.columns import RESERVED, TYPES, Columns
from dcmon.storage.table_layout import (
    ARRAY_SQL,
    ELEMENT_SQL,
    KINDS,
    MAX_COLUMNS,
    MAX_ROW_BYTES,
    NUMBERS,
    TEXTS,
    Layout,
    choose,
    of,
    row_bytes,
)


def columns(**counts: int) -> Columns:
    """Return a version with so many features of each type."""
    features = {f"{kind}{number}": kind for kind, count in counts.items() for number in range(count)}
    return Columns("binary", features, {}, ["0", "1"])


@pytest.mark.parametrize(
    ("version", "layout"),
    [
        (columns(numeric=1), Layout.NO_ARRAY),
        (columns(numeric=950), Layout.NO_ARRAY),
        (columns(numeric=1_000), Layout.NUMBERS_IN_ARRAY),
        (columns(numeric=5_000), Layout.NUMBERS_IN_ARRAY),
        (columns(integer=3_000, boolean=1_000, categorical=300), Layout.NUMBERS_IN_ARRAY),
        (columns(categorical=300), Layout.NO_ARRAY),
        (columns(categorical=400), Layout.NUMBERS_AND_TEXTS_IN_ARRAY),
        (columns(numeric=2_000, categorical=1_500, text=1_500), Layout.NUMBERS_AND_TEXTS_IN_ARRAY),
        (columns(bigint=900, boolean=4_000), Layout.NUMBERS_IN_ARRAY),
    ],
)
def test_layout_is_the_first_in_which_rows_fit(version: Columns, layout: Layout) -> None:
    assert choose(version) == layout


def test_too_many_columns_are_refused_with_number_and_limit() -> None:
    with pytest.raises(
        errors.InvalidInput, match=r"has 5,001 columns, and at most 5,000 are possible\. Leave some out"
    ):
        choose(columns(numeric=MAX_COLUMNS + 1))


@pytest.mark.parametrize(
    ("version", "says"),
    [
        (columns(bigint=1_100), r"With 1,100 columns of types bigint, datetime, .* up to 9,\d{3} bytes, .* 8,160\."),
        (columns(numeric=3_000, datetime=1_200), r"With 1,200 columns of types bigint, datetime, "),
        (columns(array_float=400), r"With 400 columns of types .* Leave some out, or use numeric or integer"),
    ],
)
def test_rows_that_fit_in_no_layout_are_refused(version: Columns, says: str) -> None:
    with pytest.raises(errors.InvalidInput, match=says):
        choose(version)


@given(st.lists(st.sampled_from(list(TYPES)), max_size=1_200), st.sampled_from(["binary", "regression"]))
def test_chosen_layout_has_each_column_once_and_fits(kinds: list[str], task: str) -> None:
    version = Columns(task, {f"f{number}": kind for number, kind in enumerate(kinds)}, {})
    try:
        layout = choose(version)
    except errors.InvalidInput:
        return
    tables = of(version.with_layout(layout))
    in_array = [name for array in tables.array_columns for name in array.column_types]
    assert row_bytes(tables) <= MAX_ROW_BYTES
    assert sorted([*tables.own, *in_array]) == sorted([*version.model_output, *version.user_columns])
    assert all(kind in KINDS[array.name] for array in tables.array_columns for kind in array.column_types.values())
    for array in tables.array_columns:
        assert [tables.elements[name].position for name in array.column_types] == list(range(len(array.column_types)))


def test_column_in_an_array_is_an_element_in_sql() -> None:
    tables = of(Columns("binary", {"a": "text", "b": "numeric", "c": "integer"}, {"d": "boolean"}, layout=3))

    assert tables.expression("s", "_dc_prediction") == 's."_dc_prediction"'
    assert tables.expression("s", "a") == "s._dc_texts[1]"
    assert tables.expression("s", "b") == "nullif(s._dc_numbers[1], cast('NaN' as float8))"
    assert "s._dc_numbers[2]" in tables.expression("s", "c")
    assert re.search(r"s\._dc_numbers\[3\].* as bool\)$", tables.expression("s", "d"))
    assert tables.declarations.endswith(", _dc_numbers float8[], _dc_texts text[]")


def test_layout_without_arrays_keeps_the_declarations() -> None:
    """Tables of versions that fit are as they were before there were arrays."""
    tables = of(Columns("binary", {"a": "text", "b": "numeric"}, {"c": "boolean"}))

    assert tables.declarations == '"_dc_prediction" text, "a" text, "b" float8, "c" bool'
    assert (tables.array_columns, tables.elements) == ((), {})


def test_arrays_have_reserved_names_and_known_types() -> None:
    assert {NUMBERS, TEXTS} == set(ARRAY_SQL) == set(KINDS)
    assert {NUMBERS, TEXTS} <= RESERVED
    assert {kind for kinds in KINDS.values() for kind in kinds} == set(ELEMENT_SQL)
    assert set(table_layout.ARRAY_COLUMNS) == set(Layout)

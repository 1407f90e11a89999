"""A file's content proves how it writes its values, or proves nothing: then nothing is guessed."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyarrow import parquet

from dcmon.ingestion.files import column_mapping, reader
from dcmon.ingestion.files.column_mapping import FileKind
from dcmon.ingestion.files.dialect import NO_OPTIONS, Dialect
from dcmon.ingestion.files.proofs import search
from dcmon.ingestion.values.rules import DateOrder
from dcmon.storage.columns import Columns
from tests.helpers.examples import examples

COLUMNS = Columns(
    "binary",
    {"amount": "numeric", "km": "integer", "zone": "categorical"},
    {"at": "datetime", "born": "datetime", "share": "numeric"},
)
MAPPING = column_mapping.create(COLUMNS, FileKind.SAMPLES, {})
Cells = Mapping[str, Sequence[str]]


def write(path: Path, cells: Cells) -> Path:
    """Write cells in a format, with the columns that each row must have."""
    count = max(map(len, cells.values()))
    wanted = {"_dc_prediction": ["a"], "amount": ["1"], "km": ["1"], "zone": ["x"], "at": [""], "born": [""], **cells}
    columns = {"_dc_sample_id": [f"s{n}" for n in range(count)], "_dc_time": ["2026-03-01"] * count}
    columns |= {name: (list(texts) * count)[:count] for name, texts in wanted.items()}
    records = list(zip(*columns.values(), strict=True))
    if path.suffix == ".csv":
        with path.open("w", newline="") as stream:
            csv.writer(stream, delimiter=";").writerows([list(columns), *records])
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(dict(zip(columns, record, strict=True))) + "\n" for record in records))
    else:
        parquet.write_table(pyarrow.table(columns), path)
    return path


def read(path: Path, dialect: Dialect = NO_OPTIONS) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of a file, and what is said about it."""
    given = Dialect(**{**dialect.given(), "delimiter": ";"} if path.suffix == ".csv" else dialect.given())
    mapping = column_mapping.create(COLUMNS, FileKind.SAMPLES, {}, given.value_rules())
    with reader.open_file(str(path), dialect=given) as file:
        rows = [json.loads(bytes(row)) for chunk in file.chunks(mapping, rows=7) for row in chunk.samples.values()]
        return rows, file.remarks(mapping)


@pytest.fixture(params=["a.csv", "a.jsonl", "a.parquet"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def with_lines(sentences: Sequence[str], path: Path) -> list[str]:
    """Return sentences about rows as they are said of a file in this format."""
    first = {".csv": 2, ".jsonl": 1}.get(path.suffix)
    if first is None:
        return list(sentences)
    return [re.sub(r"\brow (\d+)", lambda row: f"line {int(row[1]) + first}", sentence) for sentence in sentences]


@pytest.mark.parametrize(
    ("cells", "wanted", "said"),
    [
        ({"amount": ["1,5", "2"]}, [1.5, 2], ["decimal mark: , (1,5 of amount in row 0)"]),
        ({"amount": ["7", "0,125"]}, [7, 0.125], ["decimal mark: , (0,125 of amount in row 1)"]),
        (
            {"amount": ["1.234,56", "1.234"]},
            [1234.56, 1234],
            ["decimal mark: , (1.234,56 of amount in row 0)", "thousands mark: . (1.234,56 of amount in row 0)"],
        ),
        ({"amount": ["1,234", "1,234,567"]}, [1234, 1234567], ["thousands mark: , (1,234,567 of amount in row 1)"]),
        ({"amount": ["1,234.5", "12"]}, [1234.5, 12], ["thousands mark: , (1,234.5 of amount in row 0)"]),
        ({"amount": ["1'234.5", "1’000"]}, [1234.5, 1000], ["thousands mark: apostrophe (1'234.5 of amount in row 0)"]),
        (
            {"amount": ["1\u202f234,567", "-1\u00a0000 %"]},
            [1234.567, -10],
            [
                "decimal mark: , (1\u202f234,567 of amount in row 0)",
                "thousands mark: space (1\u202f234,567 of amount in row 0)",
            ],
        ),
        ({"amount": ["1.5", "1.234"]}, [1.5, 1.234], []),
        ({"amount": ["1.234", "2.345"]}, [1.234, 2.345], []),
    ],
)
def test_marks_of_numbers_are_proven(path: Path, cells: Cells, wanted: list[float], said: list[str]) -> None:
    rows, remarks = read(write(path, cells))
    assert [row["amount"] for row in rows] == wanted
    assert remarks == with_lines(said, path)


def test_number_with_one_comma_is_not_guessed(path: Path) -> None:
    rows, remarks = read(write(path, {"amount": ["1,234", "2"]}))
    assert [row["amount"] for row in rows] == ["1,234", 2]
    assert remarks == with_lines(
        ["amount has '1,234' in row 0, which may be 1234 or 1.234: give --thousands , or --decimal ,"], path
    )
    assert [row["amount"] for row in read(path, Dialect(decimal=","))[0]] == [1.234, 2]
    assert [row["amount"] for row in read(path, Dialect(thousands=","))[0]] == [1234, 2]


def test_columns_that_contradict_themselves_are_not_guessed(path: Path) -> None:
    """The contradiction is far below the rows that raise the question."""
    last = search.ROWS_AT_ONCE + 10
    rows, remarks = read(
        write(
            path,
            {
                "amount": ["1,5"] * last + ["2.5"],
                "km": ["1.234.567"] * (last + 1),
                "born": ["13/02/2026"] * last + ["02/13/2026"],
            },
        )
    )
    assert (rows[0]["amount"], rows[-1]["amount"], rows[0]["born"]) == ("1,5", 2.5, "13/02/2026")
    assert {row["km"] for row in rows} == {1234567}
    assert remarks == with_lines(
        [
            "decimal mark: , (1.234.567 of km in row 0)",
            "thousands mark: . (1.234.567 of km in row 0)",
            f"amount has numbers with different marks, '1,5' in row 0 and '2.5' in row {last}: give --decimal.",
            "born has dates in different orders, '13/02/2026' in row 0 and"
            f" '02/13/2026' in row {last}: give --date-order.",
        ],
        path,
    )


def test_proof_of_a_column_holds_for_columns_without(path: Path) -> None:
    """Thousands of a German file are no fractions. A column that proves other marks keeps them."""
    cells = {"amount": ["1.234,5", "2"], "km": ["1.234", "5"]}
    rows, _ = read(write(path, cells))
    assert [row["km"] for row in rows] == [1234, 5]

    rows, remarks = read(write(path, {**cells, "share": ["0.25", "0.5"]}))
    assert [(row["km"], row["share"]) for row in rows] == [("1.234", 0.25), (5, 0.5)]
    assert remarks[-1:] == with_lines(
        ["km has '1.234' in row 0, which may be 1234 or 1.234: give --thousands . or --decimal ."], path
    )


@pytest.mark.parametrize(
    ("dates", "wanted", "said"),
    [
        (["01/02/2026", "13/02/2026"], "2026-02-01T00:00:00Z", "day first (13/02/2026 in row 1)"),
        (["1/2/2026 1:30 PM", "2/13/2026"], "2026-01-02T13:30:00Z", "month first (2/13/2026 in row 1)"),
        (["01.02.2026 13:30", "31.12.69"], "2026-02-01T13:30:00Z", "day first (31.12.69 in row 1)"),
    ],
)  # fmt: skip
def test_order_of_dates_is_proven_by_the_column(path: Path, dates: list[str], wanted: str, said: str) -> None:
    rows, remarks = read(write(path, {"at": dates, "born": ["01/02/2026", ""]}))
    assert (rows[0]["at"], rows[0]["born"]) == (wanted, "01/02/2026")
    assert remarks == with_lines(
        [
            f"date order of at: {said}",
            "No date of born shows whether '01/02/2026' in row 0 has the day first: give --date-order day or month.",
        ],
        path,
    )
    assert read(path, Dialect(date_order=DateOrder.MONTH))[0][0]["born"] == "2026-01-02T00:00:00Z"


def test_words_that_may_mean_null_are_asked_about(path: Path) -> None:
    cells = {"zone": ["NA", "x", "\\N", "#N/A"], "km": ["1", "NA", "\\N", "#N/A"]}
    rows, remarks = read(write(path, cells))
    assert [row["zone"] for row in rows] == ["NA", "x", None, "#N/A"]
    assert [row["km"] for row in rows] == [1, None, None, None]
    assert remarks == with_lines(
        [
            "zone has 'NA' in row 0, which is a word like others. If it means null, give --null NA.",
            "zone has '#N/A' in row 3, which is a word like others. If it means null, give --null '#N/A'.",
        ],
        path,
    )
    rows, remarks = read(path, Dialect(null=("NA", "#N/A")))
    assert ([row["zone"] for row in rows], remarks) == ([None, "x", None, None], [])


def test_broken_lines_prove_nothing(tmp_path: Path) -> None:
    """A cell of several lines is one text, and a line that can't be read is none."""
    path = write(tmp_path / "a.csv", {"amount": ["x\n1,5", "2", "3"]})
    path.write_text(path.read_text() + 's9;2026-03-01;"a;1,5;1;x;;\ns10;2026-03-01;a;4\n')
    rows, remarks = read(path)
    assert [row["amount"] for row in rows] == ["x\n1,5", 2, 3]
    assert remarks == []


GERMAN = st.floats(-1e9, 1e9).map(lambda number: round(number, 2))


@given(st.lists(GERMAN, min_size=1, max_size=20), st.sampled_from([("", ","), (".", ","), ("\u202f", ","), ("'", ".")]))
@hypothesis_settings(max_examples=examples(60))
def test_numbers_in_other_marks_are_read_or_refused(numbers: list[float], marks: tuple[str, str]) -> None:
    """What is proven is right: no number becomes another one, unless it looks like one with a decimal point."""
    between, decimal = marks
    texts = [f"{number:,.2f}".replace(",", "\0").replace(".", decimal).replace("\0", between) for number in numbers]
    rows: list[dict[str, Any]] = [{"amount": text} for text in texts]
    proofs = search.find(lambda _: iter(rows), MAPPING, NO_OPTIONS)
    convert = replace(MAPPING, field_rules=proofs.field_rules).text_converter("amount")
    assert [convert(text) for text in texts] == numbers

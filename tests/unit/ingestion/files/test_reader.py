"""Files are read as rows of their version: each format, unusual values and invalid lines."""

import csv
import datetime as dt
import decimal
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon import errors, file_errors
from dcmon.ingestion import label_decoder, sample_decoder
from dcmon.ingestion.files import column_mapping, reader
from dcmon.ingestion.files.dialect import NO_OPTIONS, Dialect
from dcmon.ingestion.files.reader import Chunk
from dcmon.ingestion.rejected_row import RejectedRow
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.row_types import label_row_type, sample_row_type
from dcmon.storage.columns import Columns
from tests.helpers.examples import examples

COLUMNS = Columns(
    "binary",
    {"age": "numeric", "visits": "integer", "job": "categorical", "is_new": "boolean"},
    {"seen": "datetime", "words": "text", "big": "bigint", "vector": "array_float"},
    ["0", "1"],
)
HEADER = ["_dc_sample_id", "_dc_time", "_dc_prediction", "age", "visits", "job", "is_new"]
ROW = ["a", "2026-03-01T00:00:00Z", "1", "41.5", "3", "clerk", "true"]
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
TIMES = st.datetimes(timezones=st.just(dt.UTC)).filter(lambda time: 1000 <= time.year < 9999)


UTF8 = Dialect(encoding="utf-8")


def chunks(
    path: Path,
    mapping: Mapping[str, str] | None = None,
    kind: str = "samples",
    skip: int = 0,
    dialect: Dialect = NO_OPTIONS,
) -> list[Chunk]:
    """Read all chunks of a file."""
    with reader.open_file(str(path), dialect=dialect) as file:
        return list(file.chunks(column_mapping.create(COLUMNS, kind, mapping or {}), skip))


def decoded(path: Path, mapping: Mapping[str, str] | None = None, dialect: Dialect = NO_OPTIONS) -> Iterator[Any]:
    """Return the fields with a value, or the reason of a rejection, by row number."""
    row_type = sample_row_type(COLUMNS)
    for chunk in chunks(path, mapping, dialect=dialect):
        for number in range(chunk.first_row, chunk.next_row):
            if number in chunk.malformed:
                yield "malformed"
                continue
            if number not in chunk.samples:
                yield "skipped"
                continue
            try:
                values = zip(row_type.names, row_type.decode(chunk.samples[number]), strict=True)
                yield {name: value for name, value in values if value is not None}
            except RejectedRow as why:
                yield f"{why.reason} {why.field}"


def write_csv(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def cell(path: Path, column: str, text: str) -> Any:
    """Return the value of a cell, or its rejection, in an otherwise valid row."""
    row = dict(zip(HEADER, ROW, strict=True)) | {column: text}
    (entry,) = decoded(write_csv(path / "one.csv", [list(row.values())], list(row)))
    return entry if isinstance(entry, str) else entry.get(column)


def test_csv_cells_get_the_types_of_the_version(tmp_path: Path) -> None:
    """Cells of a CSV are converted to the column types of the version."""
    (row,) = decoded(write_csv(tmp_path / "a.csv", [ROW]))

    assert row == {
        "_dc_sample_id": "a", "_dc_time": dt.datetime(2026, 3, 1, tzinfo=dt.UTC), "_dc_prediction": "1",
        "age": 41.5, "visits": 3, "job": "clerk", "is_new": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("column", "text", "wanted"),
    [
        ("age", "", None),
        ("age", "NaN", None),
        ("age", "1e309", "out_of_range age"),
        ("age", "inf", "wrong_type age"),
        ("age", "1_000", "wrong_type age"),
        ("age", "forty", "wrong_type age"),
        ("age", "123456789012345678901234567890", 123456789012345678901234567890.0),
        ("visits", "5.0", 5),
        ("visits", "5.5", "wrong_type visits"),
        ("visits", "2147483648", "out_of_range visits"),
        ("visits", "99999999999999999999999", "out_of_range visits"),
        ("big", "9223372036854775807", 2**63 - 1),
        ("big", "9223372036854775808", "out_of_range big"),
        ("job", " ", " "),
        ("job", "NaN", "NaN"),
        ("job", "a\x00b", "nul_character job"),
        ("job", 'two\r\nlines, "quoted"', 'two\r\nlines, "quoted"'),
        ("is_new", "FALSE", False),
        ("is_new", "0", False),
        ("is_new", "maybe", "wrong_type is_new"),
        ("vector", "[0.5, 1, null]", "wrong_type vector"),
        ("vector", "[0.5, 1]", [0.5, 1.0]),
        ("vector", "[0.5", "wrong_type vector"),
        ("seen", "2026-03-01T13:00:00+01:00", NOON),
        ("seen", "2026-03-01 12:00", NOON),
        ("seen", "1772366400", NOON),
        ("seen", "1772366400000", NOON),
        ("seen", "1772366400000000000", NOON),
        ("seen", "1772366400.5", NOON + dt.timedelta(seconds=0.5)),
        ("seen", "2026-03-01", dt.datetime(2026, 3, 1, tzinfo=dt.UTC)),
        ("seen", "20260301", "wrong_type seen"),
        ("seen", "yesterday", "wrong_type seen"),
        ("seen", "0001-01-01T00:00:00+14:00", "out_of_range seen"),
        ("seen", "9" * 400, "wrong_type seen"),
        ("_dc_prediction", "1.0", "1"),
        ("job", "1.0", "1.0"),
        ("_dc_time", "", "wrong_type _dc_time"),
        ("_dc_prediction", "", "wrong_type _dc_prediction"),
    ],
)
def test_csv_cell_becomes_value_or_rejection(tmp_path: Path, column: str, text: str, wanted: Any) -> None:
    """A cell is converted, or its row is rejected with a reason and the field."""
    assert cell(tmp_path, column, text) == wanted


@settings(max_examples=examples(60))
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "age": st.floats(allow_nan=False, allow_infinity=False) | st.none(),
                "visits": st.integers(-(2**31), 2**31 - 1) | st.none(),
                "big": st.integers(-(2**63), 2**63 - 1) | st.none(),
                "is_new": st.booleans() | st.none(),
                "job": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
                "seen": TIMES,
            }
        ),
        min_size=1,
        max_size=8,
    )
)
def test_all_formats_give_the_same_rows(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    """The same rows written as CSV, JSON lines and Parquet are read the same."""
    known = {"_dc_time": NOON, "_dc_prediction": "1"}
    rows = [{"_dc_sample_id": f"s{at}", **known, **row} for at, row in enumerate(rows)]
    text = [["" if row[name] is None else str(row[name]) for name in rows[0]] for row in rows]
    write_csv(tmp_path / "a.csv", text, list(rows[0]))
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row, default=dt.datetime.isoformat) for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")

    wanted = [{name: value for name, value in row.items() if value is not None} for row in rows]
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        assert list(decoded(tmp_path / name)) == wanted, name


OF_CLASSES = {"no": "_dc_prediction_probabilities[0]", "yes": "_dc_prediction_probabilities[1]"}


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (("0.2", "0.8"), [0.2, 0.8]),
        (("", ""), None),
        (("0.2", ""), "wrong_type _dc_prediction_probabilities"),
        (("0.2", "high"), "wrong_type _dc_prediction_probabilities"),
    ],
)
def test_columns_of_single_classes_are_one_list(tmp_path: Path, cells: tuple[str, str], wanted: Any) -> None:
    """The columns are joined in the order of the classes, whatever their order in the file."""
    (entry,) = decoded(write_csv(tmp_path / "rows.csv", [[*ROW, *cells[::-1]]], [*HEADER, "yes", "no"]), OF_CLASSES)
    assert (entry if isinstance(entry, str) else entry.get("_dc_prediction_probabilities")) == wanted


def test_json_line_has_a_list_or_single_classes(tmp_path: Path) -> None:
    row = dict(zip(HEADER, ROW, strict=True))
    name, rejected = "_dc_prediction_probabilities", "wrong_type _dc_prediction_probabilities"
    rows: list[dict[str, Any]] = [{"no": 0.2, "yes": 0.8}, {name: [0.2, 0.8]}, {"no": 0.2}, {"no": 0.2, name: [1, 0]}]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row | each) + "\n" for each in rows))
    found = [entry if isinstance(entry, str) else entry[name] for entry in decoded(path, OF_CLASSES)]
    assert found == [[0.2, 0.8], [0.2, 0.8], rejected, rejected]


def test_columns_of_some_classes_are_refused(tmp_path: Path) -> None:
    for header, sentence in (("yes", "has no column for"), ("yes,no,_dc_prediction_probabilities", "has both")):
        path = tmp_path / "rows.csv"
        path.write_text(",".join([*HEADER, header]) + "\n")
        with pytest.raises(errors.InvalidInput, match=sentence):
            chunks(path, {name: field for name, field in OF_CLASSES.items() if name in header.split(",")})


def test_malformed_csv_line_rejects_only_itself(tmp_path: Path) -> None:
    """The lines before and after a malformed line are read."""
    good = [",".join([f"s{number}", *ROW[1:]]) for number in range(4)]
    lines = [",".join(HEADER), good[0], 's,"never closed', good[1], "too,few", good[2], 's,"a"b,c', "", good[3]]
    path = tmp_path / "a.csv"
    path.write_text("\r\n".join(lines))

    decoded_rows = list(decoded(path))

    assert [row if isinstance(row, str) else row["_dc_sample_id"] for row in decoded_rows] == [
        "s0", "malformed", "s1", "malformed", "s2", "malformed", "s3",
    ]  # fmt: skip
    (chunk,) = chunks(path)
    assert chunk.malformed[1].row == b's,"never closed'
    assert "2 cells, the header has 7" in chunk.malformed[3].reason


def test_many_unclosed_quotes_reject_only_their_lines(tmp_path: Path) -> None:
    """A quote that is not closed does not consume the next line."""
    path = tmp_path / "a.csv"
    body = [line for number in range(50) for line in (f's{number},"', ",".join([f"g{number}", *ROW[1:]]))]
    path.write_text("\n".join([",".join(HEADER), *body]))

    decoded_rows = list(decoded(path))

    assert [row["_dc_sample_id"] for row in decoded_rows if not isinstance(row, str)] == [f"g{n}" for n in range(50)]


def test_csv_id_that_is_not_utf8_rejects_only_its_row(tmp_path: Path) -> None:
    """The row after one with bytes that are not UTF-8 is read."""
    path = tmp_path / "a.csv"
    path.write_bytes(
        ",".join(HEADER).encode() + b"\ns\xff," + ",".join(ROW[1:]).encode() + b"\n" + ",".join(ROW).encode()
    )

    bad, good = decoded(path)

    assert isinstance(bad, str)
    assert good["_dc_sample_id"] == "a"


@pytest.mark.parametrize("line", ['{"_dc_sample_id": "a"', "[]", "7", "\ufeff\ufeff{}", '{"a": "\\ud800"}'])
def test_json_line_that_is_no_object_rejects_only_itself(tmp_path: Path, line: str) -> None:
    """The line after one that is not a JSON object is read."""
    path = tmp_path / "a.jsonl"
    good = json.dumps(dict(zip(HEADER, ROW, strict=True)) | {"age": 1.5, "visits": 3, "is_new": True})
    path.write_text(f"{line}\n\n{good}\n")

    bad, decoded_rows = decoded(path)

    assert isinstance(bad, str)
    assert decoded_rows["age"] == 1.5


def test_json_lines_convert_numeric_ids_and_times(tmp_path: Path) -> None:
    """Ids and classes become text, numbers become times, and 1e309 is rejected."""
    path = tmp_path / "a.jsonl"
    row = {"_dc_sample_id": 7, "_dc_time": 1772366400, "_dc_prediction": 1.0, "age": 1, "visits": 2, "job": 5}
    path.write_text(
        json.dumps({**row, "is_new": False}).replace('"age": 1', '"age": 1e309')
        + "\n"
        + json.dumps({**row, "is_new": None})
    )

    bad, good = decoded(path)

    assert bad == "out_of_range age"
    assert (good["_dc_sample_id"], good["_dc_time"], good["_dc_prediction"], good["job"]) == ("7", NOON, "1", "5")


def test_parquet_converts_arrow_types(tmp_path: Path) -> None:
    """Decimals, dictionaries, nanoseconds, dates and lists are converted."""
    table = pa.table(
        {
            "_dc_sample_id": pa.array([1, 2], pa.int64()),
            "_dc_time": pa.array([NOON.replace(tzinfo=None)] * 2, pa.timestamp("ns")),
            "_dc_prediction": pa.array(["1", "0"]).dictionary_encode(),
            "age": pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.00")], pa.decimal128(5, 2)),
            "visits": pa.array([1.0, float("nan")], pa.float64()),
            "job": pa.array([3.0, None], pa.float64()),
            "is_new": pa.array([True, None]),
            "seen": pa.array([dt.date(2026, 3, 1), None], pa.date32()),
            "vector": pa.array([[0.5, 1.5], None], pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")

    first, second = decoded(tmp_path / "a.parquet")

    assert first == {
        "_dc_sample_id": "1", "_dc_time": NOON, "_dc_prediction": "1", "age": 1.5, "visits": 1, "job": "3",
        "is_new": True, "seen": dt.datetime(2026, 3, 1, tzinfo=dt.UTC), "vector": [0.5, 1.5],
    }  # fmt: skip
    assert second == {"_dc_sample_id": "2", "_dc_time": NOON, "_dc_prediction": "0", "age": 2.0}


def test_index_of_pandas_in_a_parquet_file_is_ignored(tmp_path: Path) -> None:
    """A frame that was put together or filtered has an index without a name, which pandas writes as a column."""
    columns = {"_dc_sample_id": ["a"], "_dc_time": [NOON], "_dc_prediction": ["1"], "age": [1.5], "visits": [1],
               "job": ["3"], "is_new": [True], "seen": [NOON], "vector": [[0.5]], "__index_level_0__": [7]}  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    (row,) = decoded(tmp_path / "a.parquet")
    assert row["_dc_sample_id"] == "a"
    assert "__index_level_0__" not in row


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "row_index", "rownames"])
def test_numbers_of_rows_are_ignored_unless_they_are_fields(name: str) -> None:
    mapping = column_mapping.create(COLUMNS, "samples", {})
    fields = mapping.map_columns([*HEADER, name])
    assert fields == {column: column for column in HEADER}
    if name:
        columns = replace(COLUMNS, features={**COLUMNS.features, name: "integer"})
        assert column_mapping.create(columns, "samples", {}).map_columns([*HEADER, name])[name] == name


def test_nulls_that_json_lines_leave_out_are_null(tmp_path: Path) -> None:
    """Spark leaves out each null. A field that no row has is missing, because its name may be mistyped."""
    rows = [dict(zip(HEADER, ROW, strict=True)) for _ in range(3)]
    for number, row in enumerate(rows):
        row |= {"_dc_sample_id": str(number), "age": 1.5, "visits": 1, "is_new": True, "vector": [0.5]}
    del rows[1]["age"], rows[2]["job"]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = [(row.get("age"), row.get("job")) for row in decoded(path)]
    assert read == [(1.5, "clerk"), (None, "clerk"), (1.5, None)]

    for row in rows:
        row.pop("age", None)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert list(decoded(path)) == ["missing_feature age"] * 3


def test_parquet_infinity_is_rejected(tmp_path: Path) -> None:
    """Infinity is a wrong value, not a missing one as NaN is."""
    row = dict(zip(HEADER, ROW, strict=True)) | {"age": float("inf"), "visits": 1, "is_new": True}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")

    assert list(decoded(tmp_path / "a.parquet")) == ["wrong_type age"]


@pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.date32()])
@pytest.mark.parametrize("column", ["_dc_sample_id", "job", "seen"])
def test_parquet_date_out_of_range_rejects_only_its_row(tmp_path: Path, column: str, kind: pa.DataType) -> None:
    """Arrow accepts years that Python does not."""
    good = {**dict(zip(HEADER, ROW, strict=True)), "age": 1.5, "visits": 1, "is_new": True}
    columns = {name: pa.array([value] * 2) for name, value in good.items()} | {"seen": pa.nulls(2)}
    columns[column] = pa.array([2**30, 0], pa.int32()).cast(kind) if kind == pa.date32() else pa.array([2**50, 0], kind)
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")

    bad, decoded_rows = decoded(tmp_path / "a.parquet")

    assert bad == f"wrong_type {column}"
    assert decoded_rows[column] is not None


def test_parquet_bytes_are_text_if_they_are_utf8(tmp_path: Path) -> None:
    """Some writers declare text as bytes; other bytes are rejected."""
    row = {**dict(zip(HEADER, ROW, strict=True)), "age": 1.5, "visits": 1, "is_new": True}
    rows = [{**row, "job": "Käse".encode()}, {**row, "job": b"\xff"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")

    good, bad = decoded(tmp_path / "a.parquet")

    assert (good["job"], bad) == ("Käse", "wrong_type job")


@settings(max_examples=examples(300))
@given(st.sampled_from(["a.csv", "a.csv.gz", "a.jsonl", "a.parquet"]), st.binary(max_size=300), st.booleans())
def test_arbitrary_bytes_give_rows_or_a_dcmon_error(tmp_path: Path, name: str, body: bytes, is_headed: bool) -> None:
    """No content of a file raises an unexpected exception."""
    (tmp_path / name).write_bytes((",".join(HEADER).encode() + b"\n" if is_headed else b"") + body)
    collected = list[Any]()
    with suppress(errors.DcmonError):
        collected = list(decoded(tmp_path / name))
    assert all(isinstance(row, str | dict) for row in collected)


@settings(max_examples=examples(300))
@given(st.lists(st.text('"\n\r,a1;\\ \0', max_size=12), max_size=8))
def test_valid_csv_line_is_read_after_arbitrary_lines(tmp_path: Path, before: list[str]) -> None:
    """A valid last line is read after lines of any content."""
    path = tmp_path / "a.csv"
    path.write_text("\n".join([",".join(HEADER), *before, ",".join(ROW), ""]), newline="")

    *_, last = decoded(path)

    assert last["_dc_sample_id"] == "a"


def test_byte_order_mark_and_gzip_are_removed(tmp_path: Path) -> None:
    """A compressed CSV that begins with a byte order mark is read."""
    text = io.StringIO()
    csv.writer(text).writerows([HEADER, ROW])
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.getvalue().encode("utf-8-sig")))

    (row,) = decoded(tmp_path / "a.csv.gz")

    assert row["_dc_sample_id"] == "a"


def test_broken_gzip_and_parquet_are_refused(tmp_path: Path) -> None:
    """The error of an incomplete archive or an invalid Parquet file says so."""
    compressed = gzip.compress(b"\n".join([",".join(HEADER).encode(), *[",".join(ROW).encode()] * 5000]))
    (tmp_path / "torn.csv.gz").write_bytes(compressed[: len(compressed) // 2])
    (tmp_path / "no.parquet").write_bytes(b"PAR1 no")

    with pytest.raises(errors.InvalidInput, match="can't be decompressed completely"):
        chunks(tmp_path / "torn.csv.gz")
    with pytest.raises(errors.InvalidInput, match="can't be read as Parquet"):
        chunks(tmp_path / "no.parquet")


def test_columns_are_mapped_and_ignored_by_name(tmp_path: Path) -> None:
    """Columns are renamed and ignored; an error names columns that do not match."""
    header = ["id", "when", *HEADER[2:], "comment", "more"]
    path = write_csv(tmp_path / "a.csv", [[*ROW, "x", "y"]], header)
    named = {"id": "_dc_sample_id", "when": "_dc_time"}

    (row,) = decoded(path, {**named, "comment": "", "*": ""})
    assert row["_dc_sample_id"] == "a"

    with pytest.raises(errors.InvalidInput, match="Its columns comment, more are not fields"):
        chunks(path, named)
    with pytest.raises(errors.InvalidInput, match="no column for _dc_sample_id, _dc_time"):
        chunks(path)
    with pytest.raises(errors.InvalidInput, match="no column absent"):
        chunks(path, {**named, "*": "", "absent": "age"})
    with pytest.raises(errors.InvalidInput, match="mapped to the same field"):
        chunks(path, {**named, "*": "", "comment": "age"})
    with pytest.raises(errors.InvalidInput, match="can't be mapped to 'agee'"):
        chunks(path, {"id": "agee"})


def test_duplicate_column_is_refused(tmp_path: Path) -> None:
    """A file with two columns of the same name is refused."""
    with pytest.raises(errors.InvalidInput, match="'age' twice"):
        chunks(write_csv(tmp_path / "a.csv", [], [*HEADER, "age"]))


def test_labels_beside_samples_become_rows_of_labels(tmp_path: Path) -> None:
    """Labels are split from samples; an empty label is no label."""
    path = write_csv(tmp_path / "a.csv", [[*ROW, "1"], ["b", *ROW[1:], ""]], [*HEADER, "_dc_label"])

    (chunk,) = chunks(path)

    assert [bytes(row) for row in chunk.labels.values()] == [b'{"_dc_sample_id":"a","_dc_label":"1"}']
    assert all(b"_dc_label" not in bytes(row) for row in chunk.samples.values())


@pytest.mark.parametrize(("classes", "wanted"), [(["0", "1"], "1"), (None, "1"), (["0.0", "1.0"], "1.0")])
def test_class_1_0_is_1_unless_a_class_has_that_name(tmp_path: Path, classes: list[str] | None, wanted: str) -> None:
    """1.0 stands for class 1, unless the version has a class "1.0". Labels belong to all versions of a model."""
    columns = Columns("binary", {}, {}, classes)
    header = ["_dc_sample_id", "_dc_time", "_dc_prediction", "_dc_label"]
    path = write_csv(tmp_path / "a.csv", [["a", ROW[1], "1.0", "1.0"]], header)
    with reader.open_file(str(path)) as file:
        (chunk,) = file.chunks(column_mapping.create(columns, "samples", {}))
    samples = sample_decoder.decode(columns, [RowBatch(list(chunk.samples.values()), NOON, "file")])
    labels = label_decoder.decode(False, [RowBatch(list(chunk.labels.values()), NOON, "file")])

    line = samples.lines[0].removeprefix(b"\0\0\0\1a")
    assert line[4 : 4 + int.from_bytes(line[:4])].decode() == wanted
    assert [label for label, _ in labels.last.values()] == ["1"]


def test_file_of_labels_keeps_empty_labels(tmp_path: Path) -> None:
    """In a file of labels, an empty label withdraws the label."""
    path = write_csv(tmp_path / "a.csv", [["a", "1"], ["b", ""]], ["_dc_sample_id", "_dc_label"])

    (chunk,) = chunks(path, kind="labels")

    assert [label_row_type(False).decode(row) for row in chunk.labels.values()] == [("a", "1"), ("b", None)]


def test_reading_continues_from_any_row(tmp_path: Path) -> None:
    """Chunks from any row on equal the end of the complete file."""
    path = write_csv(tmp_path / "a.csv", [[f"s{number}", *ROW[1:]] for number in range(25)])
    mapping = column_mapping.create(COLUMNS, "samples", {})
    with reader.open_file(str(path)) as file:
        all_rows = {at: bytes(row) for chunk in file.chunks(mapping, rows=7) for at, row in chunk.samples.items()}
        for skip in range(26):
            parts = list(file.chunks(mapping, skip, rows=7))
            assert {at: bytes(row) for part in parts for at, row in part.samples.items()} == {
                at: row for at, row in all_rows.items() if at >= skip
            }
            assert [part.first_row for part in parts] == list(range(skip, 25, 7))


def test_file_that_grows_while_read_raises_file_changed(tmp_path: Path) -> None:
    """Rows are returned only while the content of the file has its digest."""
    path = write_csv(tmp_path / "a.csv", [[f"s{number}", *ROW[1:]] for number in range(20)])
    with reader.open_file(str(path)) as file:
        reading = file.chunks(column_mapping.create(COLUMNS, "samples", {}), rows=5)
        next(reading)
        with path.open("a") as more:
            more.write(",".join(ROW) + "\n")
        with pytest.raises(file_errors.FileChanged):
            list(reading)


def test_format_comes_from_name_or_option(tmp_path: Path) -> None:
    """A file whose name shows no format is refused without --format."""
    (tmp_path / "a.txt").write_text("x")
    assert [reader.format_of(name) for name in ("a.CSV", "b.csv.gz", "c.ndjson", "d.pq", "e.gz", "f")] == [
        "csv", "csv", "jsonl", "parquet", None, None,
    ]  # fmt: skip
    with pytest.raises(errors.InvalidInput, match="Use --format"), reader.open_file(str(tmp_path / "a.txt")):
        pass
    with pytest.raises(errors.NotFound, match="no file"), reader.open_file(str(tmp_path / "no.csv")):
        pass
    with pytest.raises(file_errors.FileRefused, match="directory"), reader.open_file(str(tmp_path), "csv"):
        pass


def test_empty_json_lines_file_has_no_rows(tmp_path: Path) -> None:
    """An empty file of JSON lines is valid."""
    (tmp_path / "a.jsonl").touch()
    assert chunks(tmp_path / "a.jsonl") == []


@pytest.mark.parametrize("content", [b"", b"\n\r\n", b"\xef\xbb\xbf"])
def test_csv_without_header_is_refused(tmp_path: Path, content: bytes) -> None:
    """An empty CSV has no header and is refused."""
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(errors.InvalidInput, match=r"a\.csv is empty: a CSV begins with a header"):
        chunks(tmp_path / "a.csv")


def test_csv_header_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """The error names the header."""
    (tmp_path / "a.csv").write_bytes(b"caf\xe9,b\n1,2\n")
    with pytest.raises(errors.InvalidInput, match=r"The header of .*a\.csv is not UTF-8"):
        chunks(tmp_path / "a.csv")


def test_csv_cell_that_is_not_utf8_keeps_original_bytes(tmp_path: Path) -> None:
    """The malformed row has its original bytes, the field and, if known, the sample id."""
    good, bad = ",".join(ROW).encode(), b'b,2026-03-01T00:00:00Z,1,41.5,3,"caf\xe9,\r\n2",true'
    nameless = b"\xff,2026-03-01T00:00:00Z,1,41.5,3,x,true"
    path = tmp_path / "a.csv"
    path.write_bytes(b"\r\n".join([",".join(HEADER).encode(), bad, good, nameless, "é".join(ROW).encode()]))

    (chunk,) = chunks(path, dialect=UTF8)

    assert list(chunk.samples) == [1]
    malformed_rows = [
        (at, malformed.row, malformed.field, malformed.sample_id) for at, malformed in chunk.malformed.items()
    ]
    assert malformed_rows[:2] == [(0, bad, "job", "b"), (2, nameless, "_dc_sample_id", None)]
    assert [malformed.field for malformed in chunk.malformed.values()] == ["job", "_dc_sample_id", None]
    assert "not UTF-8" in chunk.malformed[0].reason


def test_ignored_column_may_have_invalid_utf8(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 do not matter in an ignored column."""
    path = tmp_path / "a.csv"
    path.write_bytes(",".join([*HEADER, "comment"]).encode() + b"\n" + ",".join(ROW).encode() + b",caf\xe9\n")

    (row,) = decoded(path, {"comment": ""}, UTF8)

    assert (row["_dc_sample_id"], row["job"]) == ("a", "clerk")

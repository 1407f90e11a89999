"""Columns of paths: typed by the version's column, for each format, and compared with the file's own column."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from dcmon import errors
from dcmon.ingestion.files import column_mapping, path_columns, path_expansion, reader
from dcmon.storage.columns import Columns

COLUMNS = Columns(
    "binary",
    {"country": "categorical", "month": "integer", "is_new": "boolean", "amount": "numeric"},
    {"day": "datetime"},
    ["0", "1"],
)
ROWS = [{"_dc_sample_id": f"s{n}", "_dc_time": "2026-03-01T00:00:00Z", "_dc_prediction": "1"} for n in range(2)]
PATH = "country=D%C3%A9/month=03/is_new=true/amount=1.5E0/day=2026-03-01 12%3A00%3A00/part-0"
EXPECTED = {"country": "Dé", "month": 3, "is_new": True, "amount": 1.5, "day": "2026-03-01T12:00:00Z"}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows in the format that the path shows."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
        path.write_text("\n".join(lines))
    return path


def read(file: Path, below: str, renames: dict[str, str] | None = None) -> list[Any]:
    """Return the rows as objects, or the reason why a row can't be read."""
    mapping = column_mapping.create(COLUMNS, "samples", renames or {}).with_path(path_columns.parse("lake", below))
    with reader.open_file(str(file)) as opened:
        (chunk,) = opened.chunks(mapping)
    return [
        chunk.malformed[number].reason if number in chunk.malformed else json.loads(bytes(chunk.samples[number]))
        for number in range(chunk.next_row)
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_columns_of_the_path_are_in_each_row(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / name, ROWS)
    assert read(file, PATH) == [{**row, **EXPECTED} for row in ROWS]
    nulls = "country=__HIVE_DEFAULT_PARTITION__/month=/is_new=NA/amount=null/day=__HIVE_DEFAULT_PARTITION__/x"
    assert read(file, nulls) == [{**row, **dict.fromkeys(EXPECTED)} for row in ROWS]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_column_in_file_and_path_must_be_equal(tmp_path: Path, name: str) -> None:
    """Two spellings of a category are equal."""
    rows = [{**ROWS[0], "country": "1.0", "month": 3}, {**ROWS[1], "country": "2", "month": 3}]
    path = "country=1/month=03/is_new=1/amount=0/x"
    first, second = read(write(tmp_path / name, rows), path)
    assert (first["country"], first["month"]) == ("1.0", 3)
    assert second == "'country' is '2' in the row, and '1' in the path."


def test_column_of_the_path_can_be_mapped(tmp_path: Path) -> None:
    rows = [{name: value for name, value in row.items() if name != "_dc_time"} for row in ROWS]
    path = "dt=2026-03-01/land=DE/month=3/is_new=0/amount=0/x"
    renames = {"dt": "_dc_time", "land": "country"}
    (first, _) = read(write(tmp_path / "a.csv", rows), path, renames)
    assert (first["_dc_time"], first["country"]) == ("2026-03-01T00:00:00Z", "DE")
    assert read(write(tmp_path / "a.csv", ROWS), f"run=7/{PATH}", {"run": ""})[0]["country"] == "Dé"
    assert read(write(tmp_path / "a.csv", ROWS), f"run=7/{PATH}", {"*": ""})[0]["country"] == "Dé"


@pytest.mark.parametrize(
    ("below", "sentence"),
    [
        ("contry=DE/x", "The path has the column 'contry', which is not a field. Map it with --map contry=FIELD"),
        ("month=March/x", "month=March in the path: Expected an integer"),
        ("land=DE/country=DE/x", "whose field 'country' another column of the path is mapped to"),
        ("country=DE/x", "It has no column for amount, is_new, month."),
    ],
)
def test_wrong_column_of_the_path_is_refused(tmp_path: Path, below: str, sentence: str) -> None:
    with pytest.raises(errors.InvalidInput) as refused:
        read(write(tmp_path / "a.csv", ROWS), below, {"land": "country"})
    assert sentence in str(refused.value)


def test_columns_of_the_given_path_fill_gaps_only(tmp_path: Path) -> None:
    """A folder `run=7` in the path as it was typed need not be a column, and the file's own column wins."""
    path = tmp_path / "run=7" / "country=DE" / "month=1"
    path.mkdir(parents=True)
    file = write(path / "a.jsonl", [{**ROWS[0], "country": "FR"}])
    mapping = column_mapping.create(COLUMNS, "samples", {}).with_path(path_columns.parse(str(file)))
    with reader.open_file(str(file)) as opened:
        (chunk,) = opened.chunks(mapping)
    assert json.loads(bytes(chunk.samples[0])) == {**ROWS[0], "country": "FR", "month": 1}


def test_csv_of_spark_without_a_header_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "part-00000.csv"
    file.write_text("s1,2026-03-01T00:00:00.000Z,1,1\ns2,2026-03-02T00:00:00.000Z,1,1\n")
    with pytest.raises(errors.InvalidInput, match=r"is a row, and not a header .* it has the value '2026-03-01T00"):
        read(file, PATH)
    mapping = column_mapping.create(COLUMNS, "samples", {})
    with reader.open_file(str(file)) as opened, pytest.raises(errors.InvalidInput, match="is a row, and not a header"):
        opened.column_names(mapping)  # a load looks at the names first, with 1 twice among them


def with_options(texts: dict[str, str], kind: str = "samples") -> column_mapping.ColumnMapping:
    return column_mapping.create(COLUMNS, kind, {}).with_options(texts)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_constants_of_options_are_in_each_row(tmp_path: Path, name: str) -> None:
    """They have the types of their columns, and no row may have a value of its own."""
    texts = {"country": "DE", "month": "03", "is_new": "yes", "amount": "", "day": "2026-03-01"}
    mapping = with_options(texts)
    with reader.open_file(str(write(tmp_path / name, ROWS))) as opened:
        (chunk,) = opened.chunks(mapping)
    values = {"country": "DE", "month": 3, "is_new": True, "amount": None, "day": "2026-03-01T00:00:00Z"}
    assert [json.loads(bytes(row)) for row in chunk.samples.values()] == [{**row, **values} for row in ROWS]

    file = write(tmp_path / name, [{**row, "country": "DE"} for row in ROWS])
    with reader.open_file(str(file)) as opened:
        if name == "a.jsonl":
            (chunk,) = opened.chunks(mapping)
            assert [row.reason for row in chunk.malformed.values()] == [
                "The row has 'country', which --set gives too."
            ] * 2
            assert [row.sample_id for row in chunk.malformed.values()] == ["s0", "s1"]
        else:
            with pytest.raises(errors.InvalidInput, match="has the column 'country', which --set country=… gives too"):
                next(opened.chunks(mapping))


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ({"contry": "DE"}, "--set can't give 'contry'. Do you mean 'country'? The fields of samples are _dc_label, "),
        ({"_dc_sample_id": "1"}, "--set can't give '_dc_sample_id'"),
        ({"month": "March"}, "--set month=March: Expected an integer"),
    ],
)
def test_wrong_constant_is_refused(texts: dict[str, str], sentence: str) -> None:
    with pytest.raises(errors.InvalidInput) as refused:
        with_options(texts)
    assert sentence in str(refused.value)


def test_column_of_the_path_contradicts_an_option() -> None:
    """A folder below the given path must be a column; one in the given path gives way."""
    mapping = with_options({"country": "DE"})
    with pytest.raises(errors.InvalidInput, match="'country', whose field 'country' --set gives too"):
        mapping.with_path(path_columns.parse("lake", "country=FR/a.csv"))
    given = mapping.with_path(path_columns.parse("lake/country=FR/a.csv"))
    assert given.constants["country"].value == "DE"


def test_labels_may_have_one_value_for_all_ids(tmp_path: Path) -> None:
    file = tmp_path / "fraud.csv"
    file.write_text("_dc_sample_id\na\nb\n")
    with reader.open_file(str(file)) as opened:
        (chunk,) = opened.chunks(with_options({"_dc_label": "1"}, "labels"))
    assert [json.loads(bytes(row))["_dc_label"] for row in chunk.labels.values()] == ["1", "1"]


def test_directory_of_pyarrow_has_all_values(tmp_path: Path) -> None:
    """pyarrow writes the folders and escapes; the names of the files and the markers are those of Spark."""
    texts = ["DE", "Côte d'Ivoire", "a/b:c=d%", " ", None]
    rows = [
        {**ROWS[0], "_dc_sample_id": str(number), "amount": 0.1 * number, "is_new": number % 2 == 0, "month": number,
         "country": text, "day": dt.datetime(2026, 3, 1 + number, 12, 30, tzinfo=dt.UTC)}
        for number, text in enumerate(texts)
    ]  # fmt: skip
    keys = ["country", "month", "is_new", "amount", "day"]
    pyarrow.dataset.write_dataset(
        pa.Table.from_pylist(rows), tmp_path, format="parquet", partitioning=keys, partitioning_flavor="hive",
        basename_template="part-0000{i}-8e5e1f6e-7f7f-4a4a-9b9b-0123456789ab.c000.snappy.parquet",
    )  # fmt: skip
    for name in ("_SUCCESS", "._SUCCESS.crc", "_metadata", "_common_metadata"):
        (tmp_path / name).touch()

    expansion = path_expansion.expand([str(tmp_path)])
    assert (expansion.errors, expansion.remarks, len(expansion.files)) == ([], [], len(rows))
    values = {}
    for file in expansion.files:
        mapping = column_mapping.create(COLUMNS, "samples", {}).with_path(file.columns)
        with reader.open_file(file.path) as opened:
            (chunk,) = opened.chunks(mapping)
        row = json.loads(bytes(chunk.samples[0]))
        values[row["_dc_sample_id"]] = {**row, "day": dt.datetime.fromisoformat(row["day"])}
    assert [values[str(number)] for number in range(len(rows))] == [
        {**row, "amount": pytest.approx(row["amount"])} for row in rows
    ]

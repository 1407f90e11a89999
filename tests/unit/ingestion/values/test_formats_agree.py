"""One table gives the same stored values through JSON, CSV, Parquet and JSON lines, as pandas and csv write them."""

import csv
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.ingestion import label_decoder, sample_decoder
from dcmon.ingestion.files import column_mapping, reader
from dcmon.ingestion.files.column_mapping import FileKind
from dcmon.ingestion.raw_rows import Raw
from dcmon.ingestion.row_batch import RowBatch
from dcmon.storage.columns import Columns
from tests.helpers.examples import examples

COLUMNS = Columns(
    "binary",
    {"zone": "categorical", "seen": "categorical", "is_new": "boolean", "amount": "numeric", "visits": "integer"},
    {"count": "bigint", "at": "datetime", "word": "categorical", "mixed": "categorical"},
    ["0", "1"],
)
NOW = datetime(2026, 11, 1, tzinfo=UTC)
FRACTIONS = st.integers(-(10**6), 10**6).map(lambda n: n / 1000)  # pandas writes 15 decimals in JSON
WHOLE_NUMBERS = st.integers(-(2**31), 2**31 - 1)
TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2026, 10, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
ROW = st.fixed_dictionaries(
    {
        "_dc_time": TIMES,
        "_dc_prediction": st.integers(0, 1),
        "_dc_label": st.integers(0, 1) | st.none(),
        "zone": st.none() | WHOLE_NUMBERS | st.just(0) | st.just(-0.0) | FRACTIONS,
        "seen": st.booleans(),
        "is_new": st.none() | st.integers(0, 1),
        "amount": st.none() | FRACTIONS | WHOLE_NUMBERS,
        "visits": st.none() | WHOLE_NUMBERS,
        "count": WHOLE_NUMBERS,
        "at": TIMES,
        "word": st.sampled_from(["a", "007", "1.50", "v1.0", "1.0.0", "NA is a word", "é;,\"'", "True"]),
        "mixed": st.none() | st.sampled_from(["1.0", "-3.0", "1e+16", "0.0", "2", "x"]),
    }
)
Row = dict[str, Any]


def write_pandas_csv(rows: Sequence[Row], path: Path) -> None:
    pd.DataFrame(rows).to_csv(path, index=False)


def write_plain_csv(rows: Sequence[Row], path: Path) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(rows: Sequence[Row], path: Path) -> None:
    pd.DataFrame(rows).to_parquet(path)


def write_json_lines(rows: Sequence[Row], path: Path) -> None:
    pd.DataFrame(rows).to_json(
        path, orient="records", lines=True, date_format="iso", date_unit="us", double_precision=15
    )


def write_epoch_json_lines(rows: Sequence[Row], path: Path) -> None:
    pd.DataFrame(rows).to_json(
        path, orient="records", lines=True, date_format="epoch", date_unit="us", double_precision=15
    )


WRITERS: dict[str, Callable[[Sequence[Row], Path], None]] = {
    "pandas.csv": write_pandas_csv,
    "plain.csv": write_plain_csv,
    "pandas.parquet": write_parquet,
    "pandas.jsonl": write_json_lines,
    "epoch.jsonl": write_epoch_json_lines,
}


def decoded(samples: Sequence[Any], labels: Sequence[Any]) -> dict[str, Any]:
    """Return the bytes of each sample for COPY, their times, and the labels by key."""
    stored = sample_decoder.decode(COLUMNS, [RowBatch([Raw(row) for row in samples], NOW, "s")])
    stored_labels = label_decoder.decode(False, [RowBatch([Raw(row) for row in labels], NOW, "l")])
    assert ([bad.detail for bad in stored.bad], stored_labels.bad) == ([], [])
    last = {key: label for key, (label, _) in stored_labels.last.items() if label is not None}
    return {"lines": stored.lines, "times": stored.times, "labels": last}


def of_json(rows: Sequence[Row], text: Callable[[Any], Any]) -> dict[str, Any]:
    """Send rows as a service does. `text`: how it writes a value that is a number or a boolean."""
    samples = [{name: text(value) for name, value in row.items() if name != "_dc_label"} for row in rows]
    labels = [{name: text(row[name]) for name in ("_dc_sample_id", "_dc_label")} for row in rows]
    encoded = [[json.dumps(row, default=datetime.isoformat).encode() for row in part] for part in (samples, labels)]
    return decoded(*encoded)


def of_file(rows: Sequence[Row], path: Path, write: Callable[[Sequence[Row], Path], None]) -> dict[str, Any]:
    write(rows, path)
    with reader.open_file(str(path)) as file:
        chunks = list(file.chunks(column_mapping.create(COLUMNS, FileKind.SAMPLES, {})))
    assert [chunk.malformed for chunk in chunks if chunk.malformed] == []
    return decoded(*([row for chunk in chunks for row in part(chunk).values()] for part in (_samples, _labels)))


def _samples(chunk: reader.Chunk) -> dict[int, Any]:
    return chunk.samples


def _labels(chunk: reader.Chunk) -> dict[int, Any]:
    return chunk.labels


def as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) else value


def as_float(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@given(st.lists(ROW, min_size=1, max_size=8))
@settings(max_examples=examples(60))
def test_all_formats_store_the_same_values(tmp_path: Path, generated: list[Row]) -> None:
    """Nulls, negative, zero and fractional numbers stand among whole ones, so that pandas writes these as floats."""
    rows = [{"_dc_sample_id": str(number), **row} for number, row in enumerate(generated)]
    wanted = of_json(rows, lambda value: value)

    assert of_json(rows, as_text) == wanted
    assert of_json(rows, as_float) == wanted
    for name, write in WRITERS.items():
        assert of_file(rows, tmp_path / name, write) == wanted, name


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_nanoseconds_are_rounded_alike(tmp_path: Path, zone: str | None) -> None:
    columns = Columns("regression", {"at": "datetime"}, {})
    texts = ["2026-03-01T12:00:00.1234565", "1960-03-01T12:00:00.9999996", "2026-03-01T12:00:00.1234564", None]
    at = pd.to_datetime(pd.Series(texts), utc=True).astype("datetime64[ns, UTC]")
    frame = pd.DataFrame({"_dc_sample_id": list("abcd"), "_dc_time": NOW, "_dc_prediction": 1.0, "at": at})
    rows = [{**row, "at": text and f"{text}Z"} for row, text in zip(frame.to_dict("records"), texts, strict=True)]
    frame.assign(at=at.dt.tz_convert(zone)).to_parquet(tmp_path / "a.parquet")
    with reader.open_file(str(tmp_path / "a.parquet")) as file:
        (chunk,) = file.chunks(column_mapping.create(columns, FileKind.SAMPLES, {}))
    sent = [Raw(json.dumps(row, default=datetime.isoformat).encode()) for row in rows]
    stored = [
        sample_decoder.decode(columns, [RowBatch(part, NOW, "s")]) for part in (sent, list(chunk.samples.values()))
    ]

    assert [part.bad for part in stored] == [[], []]
    assert stored[0].lines == stored[1].lines


@pytest.mark.parametrize("numpy_type", ["float32", "float16"])
def test_short_floats_of_parquet_are_those_of_csv(tmp_path: Path, numpy_type: str) -> None:
    columns = Columns("regression", {"zone": "categorical", "amount": "numeric"}, {})
    values = pd.Series([0.1, 0.2, None, 3.0, -1.5], dtype=numpy_type)
    at = NOW - timedelta(days=1)
    frame = pd.DataFrame(
        {"_dc_sample_id": range(5), "_dc_time": at, "_dc_prediction": 1.0, "zone": values, "amount": values}
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    collected = []
    for name in ("a.csv", "a.parquet"):
        with reader.open_file(str(tmp_path / name)) as file:
            (chunk,) = file.chunks(column_mapping.create(columns, FileKind.SAMPLES, {}))
        stored = sample_decoder.decode(columns, [RowBatch(list(chunk.samples.values()), NOW, "s")])
        assert stored.bad == []
        collected.append(stored.lines)

    assert collected[0] == collected[1]
    assert b"\0\0\0\x030.1" in collected[0][0]


LISTS_OF_32_BITS = (pa.list_(pa.float32()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 2))


@pytest.mark.parametrize("arrow_type", LISTS_OF_32_BITS, ids=str)
def test_short_floats_in_lists_of_parquet_are_those_of_json(tmp_path: Path, arrow_type: pa.DataType) -> None:
    """Probabilities of many libraries have 32 bits, and an embedding that is sent over HTTP has the same numbers."""
    columns = Columns("binary", {"vector": "array_float", "grid": "array_float_2d"}, {}, ["a", "b"])
    vectors, grids = [[0.1, 0.7], [2.0, 16777216.0], [1.5, 3e-20]], [[[0.1, 0.3], [2.0, 0.7]], None, [[0.1]]]
    rows: list[Row] = [
        {
            "_dc_sample_id": f"s{number}", "_dc_time": NOW - timedelta(days=1), "_dc_prediction": "a",
            "_dc_prediction_probabilities": [0.2, 0.8], "vector": vectors[number], "grid": grids[number],
        }
        for number in range(3)
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows)
    for name, kind in (
        ("vector", arrow_type), ("_dc_prediction_probabilities", arrow_type), ("grid", pa.list_(pa.list_(pa.float32())))
    ):  # fmt: skip
        values = pa.array([row[name] for row in rows], kind)
        table = table.set_column(table.column_names.index(name), name, values)
    pq.write_table(table, tmp_path / "a.parquet")
    with reader.open_file(str(tmp_path / "a.parquet")) as file:
        (chunk,) = file.chunks(column_mapping.create(columns, FileKind.SAMPLES, {}))
    sent = [Raw(json.dumps(row, default=datetime.isoformat).encode()) for row in rows]
    stored = [
        sample_decoder.decode(columns, [RowBatch(part, NOW, "s")]) for part in (sent, list(chunk.samples.values()))
    ]

    assert [part.bad for part in stored] == [[], []]
    assert stored[0].lines == stored[1].lines

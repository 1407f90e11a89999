"""CSV and JSON lines as programs write them: delimiters, encodings, compression, and rows that are no rows."""

import bz2
import csv
import gzip
import io
import lzma
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon import errors
from dcmon.ingestion.files import column_mapping, csv_detection, reader
from dcmon.ingestion.files.column_mapping import FileKind
from dcmon.ingestion.files.csv_layout import HeaderFit
from dcmon.ingestion.files.csv_lines import Lines
from dcmon.ingestion.files.dialect import NO_OPTIONS, Dialect
from dcmon.storage.columns import Columns
from tests.helpers.examples import examples

COLUMNS = Columns("binary", {"age": "numeric", "job": "categorical"}, {}, ["0", "1"])
NAMES = ["_dc_sample_id", "_dc_time", "_dc_prediction", "age", "job"]
HEADER = ",".join(NAMES) + "\n"
QUOTED = ",".join(f'"{name}"' for name in NAMES) + "\n"


class Content(NamedTuple):
    """What a file has: the samples by number, the reasons of malformed rows, and the remark."""

    samples: dict[int, dict[str, Any]]
    malformed: dict[int, str]
    remark: str | None

    @property
    def jobs(self) -> list[Any]:
        return [sample["job"] for sample in self.samples.values()]


def row(number: int, job: str = "clerk") -> str:
    return f"s{number},1772366400,1,4.5,{job}\n"


def read(path: Path, content: bytes | str, dialect: Dialect = NO_OPTIONS) -> Content:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with reader.open_file(str(path), None if path.suffix != ".txt" else "csv", dialect=dialect) as file:
        mapping = column_mapping.create(COLUMNS, FileKind.SAMPLES, {}, dialect.value_rules())
        chunks = list(file.chunks(mapping, rows=3))
        samples = {at: msgspec.json.decode(raw) for chunk in chunks for at, raw in chunk.samples.items()}
        malformed = {at: bad.reason for chunk in chunks for at, bad in chunk.malformed.items()}
        return Content(samples, malformed, file.layout_remark)


def zstandard(content: bytes) -> bytes:
    compressed: bytes = pa.compress(content, "zstd", asbytes=True)
    return compressed


TWO = HEADER + row(1) + row(2)


@pytest.mark.parametrize(
    ("name", "content", "remark"),
    [
        ("a.csv", TWO, None),
        ("a.csv", TWO.replace(",", ";"), "delimiter ';'"),
        ("a.tsv", TWO.replace(",", "\t"), "delimiter tab"),
        ("a.tab", TWO.replace(",", "\t"), "delimiter tab"),
        ("a.txt", TWO.replace(",", "|"), "delimiter '|'"),
        ("a.csv", "\ufeff" + TWO.replace("\n", "\r\n"), None),
        ("a.csv", TWO.replace("\n", "\r"), None),
        ("a.csv", TWO.encode("utf-16"), "encoding utf-16"),
        ("a.csv", b"\xfe\xff" + TWO.replace(",", "\t").encode("utf-16-be"), "encoding utf-16, delimiter tab"),
        ("a.csv", TWO.encode("utf-16-le"), "encoding utf-16-le"),
        ("a.csv", TWO.encode("utf-16-be"), "encoding utf-16-be"),
        ("a.csv", TWO.encode("utf-32"), "encoding utf-32"),
        ("a.csv", "\ufeffsep=;\r\n" + TWO.replace(",", ";"), "delimiter ';'"),
        ("a.csv", '"sep=,"\r\n' + TWO, None),
        ("a.csv.gz", gzip.compress(TWO.encode(), mtime=0), None),
        ("a.csv", gzip.compress(TWO.encode(), mtime=0), None),
        ("a.csv.zst", zstandard(TWO.encode("utf-16")), "encoding utf-16"),
        ("a.csv.zst", zstandard(TWO[:99].encode()) + zstandard(TWO[99:].encode()), None),
        ("a.csv.bz2", bz2.compress(TWO.encode()), None),
        ("a.csv.xz", lzma.compress(TWO.encode()), None),
        ("a.csv", TWO.replace(",", ", "), "blanks after delimiters left out"),
        ("a.csv", HEADER + (row(1) + row(2)).replace(",", ", "), "blanks after delimiters left out"),
        ("a.csv", TWO.replace("\n", ",\n"), None),
        ("a.csv", TWO.replace("\n", ";;;\n").replace(",", ";"), "delimiter ';'"),
        ("a.csv", HEADER + (row(1) + row(2)).replace("\n", ",\n"), None),
        ("a.csv", HEADER.replace("\n", ",\n") + row(1) + row(2), None),
        ("a.csv", f",{HEADER}0,{row(1)}1,{row(2)}", None),
        ("a.csv", f"Unnamed: 0,{HEADER}0,{row(1)}1,{row(2)}", None),
        ("a.csv", f'"",{HEADER}"1",{row(1)}"2",{row(2)}', None),
        ("a.csv", f'{QUOTED}"1",{row(1)}"2",{row(2)}', "the rows begin with names, which are ignored"),
        (
            "a.tsv",
            f"{HEADER}1,{row(1)}2,{row(2)}".replace(",", "\t"),
            "delimiter tab, the rows begin with names, which are ignored",
        ),
        (
            "a.txt",
            f'{QUOTED}"1",{row(1)}"2",{row(2)}'.replace(",", " "),
            "delimiter space, the rows begin with names, which are ignored",
        ),
        ("a.csv", f"\n{TWO}\n\n", None),
        ("a.csv", f",,,,\n{TWO},,,,\n,,,,\n", "2 blank rows skipped"),
        ("a.csv", HEADER + row(1) + "\ufeff" + HEADER + row(2), "1 repeated header skipped"),
    ],
)  # fmt: skip
def test_file_of_another_dialect_has_the_same_rows(
    tmp_path: Path, name: str, content: bytes | str, remark: str | None
) -> None:
    wanted = {"_dc_time": "2026-03-01T12:00:00Z", "_dc_prediction": "1", "age": 4.5, "job": "clerk"}

    found = read(tmp_path / name, content)

    assert list(found.samples.values()) == [{"_dc_sample_id": "s1", **wanted}, {"_dc_sample_id": "s2", **wanted}]
    assert found.malformed == {}
    assert found.remark == remark


@pytest.mark.parametrize(
    ("content", "sentences"),
    [
        (
            "a,b|c,d|e\n1,2|3,4|5\n",
            ["can't be told: it has 3 columns with ',' and 3 columns with '|'", "--delimiter '|'"],
        ),
        ("a;b\n1\n2\n", ["The header is one column with ';' in it", "use --delimiter ';'"]),
        ("a\tb\n1\n2\n", ["one column with tab in it", "use --delimiter tab"]),
        ("id;outcome\n1;2\n", ["no column for _dc_prediction", "Its columns id, outcome are not fields"]),
        (HEADER + "1,a,1772366400,1,4,\n", ["one cell more than the header"]),
        (b"PK\x03\x04 and more", ["is an Excel workbook or another ZIP archive. Save it as CSV"]),
        (b"PAR1 and more", ["is a Parquet file. Use --format parquet"]),
        (TWO.encode("utf-16") + b"\x00", ["begins as utf-16, but other bytes follow"]),
        ("sep=;\n", ["is empty: a CSV begins with a header"]),
        (zstandard(TWO.encode())[:-4], ["can't be decompressed completely"]),
        (HEADER.replace("job", "job,job") + row(1), ["the column 'job' twice"]),
    ],
)
def test_file_that_is_not_certain_is_refused(tmp_path: Path, content: bytes | str, sentences: Sequence[str]) -> None:
    with pytest.raises(errors.InvalidInput) as refused:
        read(tmp_path / "a.csv", content)

    assert all(sentence in str(refused.value) for sentence in sentences), str(refused.value)


@pytest.mark.parametrize("first", ["a", "1", '"1"'])
def test_cell_too_many_in_each_row_shifts_no_cell(tmp_path: Path, first: str) -> None:
    """A decimal comma or a comma in a name, without quotes, is not taken for the name of a row."""
    content = HEADER + "".join(f"{at},1772366400,1,4,5,clerk\n" for at in (first, first.replace("1", "2")))

    found = read(tmp_path / "a.csv", content)

    assert (found.samples, list(found.malformed)) == ({}, [0, 1])
    assert "6 cells, the header has 5" in found.malformed[0]


LATIN = (HEADER + row(1, "Köln") + row(2) + row(3, "Müller") + row(4)).encode("latin-1")


def test_file_in_another_encoding_is_not_half_loaded(tmp_path: Path) -> None:
    """Without an option the rows with only ASCII letters would be stored: a biased sample."""
    with pytest.raises(errors.InvalidInput) as refused:
        read(tmp_path / "a.csv", LATIN)

    assert "is not UTF-8 (2 lines, the first is line 2: 'Köln' in windows-1252" in str(refused.value)
    assert "--encoding windows-1252" in str(refused.value)
    for encoding in ("latin-1", "windows-1252"):
        assert read(tmp_path / "a.csv", LATIN, Dialect(encoding=encoding)).jobs == ["Köln", "clerk", "Müller", "clerk"]
    half = read(tmp_path / "a.csv", LATIN, Dialect(encoding="utf-8"))
    assert (half.jobs, list(half.malformed)) == (["clerk", "clerk"], [0, 2])


def test_stray_row_that_is_not_utf8_is_rejected_alone(tmp_path: Path) -> None:
    """Where most accents are UTF-8, the file is UTF-8."""
    rows = [row(number, "Köln").encode() for number in range(30)]
    found = read(tmp_path / "a.csv", b"".join([HEADER.encode(), *rows, row(30, "K").encode()[:-1] + b"\xf6ln\n"]))

    assert (len(found.samples), list(found.malformed)) == (30, [30])


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_told_in_other_scripts(tmp_path: Path, encoding: str) -> None:
    jobs = ["ĀĀĀ", "東京都港区の会社員", "Ā東京"]
    content = HEADER + "".join(row(number, job) for number, job in enumerate(jobs))

    assert read(tmp_path / "a.csv", content.encode(encoding)).jobs == jobs


def test_encoding_that_the_file_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match="bytes that are not shift_jis"):
        read(tmp_path / "a.csv", HEADER.encode() + b"\x85\xff,1,1,1,x\n", Dialect(encoding="shift_jis"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
def test_json_lines_are_read_in_each_encoding(tmp_path: Path, encoding: str) -> None:
    lines = '{"_dc_sample_id": "a", "job": "Köln"}\n\n{"_dc_sample_id": "b", "job": "東京"}\n'

    assert read(tmp_path / "a.jsonl", lines.encode(encoding)).jobs == ["Köln", "東京"]
    compressed = zstandard(lines.encode(encoding))
    assert read(tmp_path / "a.jsonl.zst", compressed).jobs == ["Köln", "東京"]


def test_json_lines_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    lines = '{"_dc_sample_id": "a", "job": "Köln"}\n{"_dc_sample_id": "b", "job": "x"}\n'.encode("latin-1")
    with pytest.raises(errors.InvalidInput, match=r"a\.jsonl is not UTF-8 \(line 1: 'Köln' in windows-1252"):
        read(tmp_path / "a.jsonl", lines)
    assert read(tmp_path / "a.jsonl", lines, Dialect(encoding="latin-1")).jobs == ["Köln", "x"]


@pytest.mark.parametrize(
    "content", ['[{"_dc_sample_id": "a"}]', '[\n  {"_dc_sample_id": "a"}\n]', "[ {", '[["a",4.5]]']
)
def test_json_array_is_refused_with_the_way_out(tmp_path: Path, content: str) -> None:
    with pytest.raises(errors.InvalidInput, match=r"a\.json is one JSON array, and not JSON lines.*lines=True"):
        read(tmp_path / "a.json", content)


@pytest.mark.parametrize(
    "content",
    [
        '{"_dc_sample_id":{"0":"a"},"job":{"0":"x"}}',
        '{"columns":["_dc_sample_id"],"index":[0],"data":[["a"]]}',
        '{"0":{"_dc_sample_id":"a"}}',
        '{\n  "_dc_sample_id": {"0": "a"}\n}',
        '{"_dc_sample_id":{"0":"' + "a" * 2**24 + '"}}',
    ],
    ids=["columns", "split", "index", "indent", "long"],
)
def test_json_object_of_all_rows_is_refused_with_the_way_out(tmp_path: Path, content: str) -> None:
    with pytest.raises(errors.InvalidInput, match=r"a\.json is one JSON object, and not JSON lines.*lines=True"):
        read(tmp_path / "a.json", content)


def test_json_lines_of_objects_are_judged_row_by_row(tmp_path: Path) -> None:
    """Kafka Connect writes schema and payload of each row: they are no fields, which each row is told."""
    found = read(tmp_path / "a.json", '{"schema": {}, "payload": {"_dc_sample_id": "a"}}\n' * 2)
    assert list(found.samples) == [0, 1]


def test_workbook_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match=r"a\.xlsx is a workbook. Save it as CSV"):
        read(tmp_path / "a.xlsx", b"PK\x03\x04")


def test_quotes_that_a_backslash_escapes_are_read(tmp_path: Path) -> None:
    """Spark escapes quotes with a backslash, other backslashes are as they are."""
    cells = [r'"he said \"hi\""', r'"x\",\"y"', r'"C:\dir, z"', '"two\n\\"lines\\""', r"a\b"]
    found = read(tmp_path / "a.csv", HEADER + "".join(row(number, cell) for number, cell in enumerate(cells)))

    assert found.jobs == ['he said "hi"', 'x","y', r"C:\dir, z", 'two\n"lines"', r"a\b"]
    assert found.malformed == {}


def test_backslash_at_the_end_of_a_cell_stays(tmp_path: Path) -> None:
    """In a CSV without escapes a path may end with a backslash."""
    cells = ['"C:\\"', '"D:\\, ""x"""', '"E:\\"', "plain"]
    found = read(tmp_path / "a.csv", HEADER + "".join(row(number, cell) for number, cell in enumerate(cells)))

    assert (found.jobs, found.malformed) == (["C:\\", 'D:\\, "x"', "E:\\", "plain"], {})


@pytest.mark.parametrize("piece", ["x" * 100, "some words\n", 'quotes ""twice"", \n', "a,b\n"])
def test_field_of_any_size_is_one_malformed_row(tmp_path: Path, piece: str) -> None:
    """Its row is rejected; memory holds only a part of it."""
    path = tmp_path / "a.csv"
    with path.open("w") as stream:
        stream.write(HEADER + row(1) + 's2,1772366400,1,4.5,"')
        for _ in range(48):
            stream.write(piece * (2**20 // len(piece)))
        stream.write('"\n' + row(3))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with reader.open_file(str(path)) as file:
        (chunk,) = file.chunks(column_mapping.create(COLUMNS, FileKind.SAMPLES, {}))

    assert (list(chunk.samples), list(chunk.malformed)) == ([0, 2], [1])
    assert len(chunk.malformed[1].row) <= 2**16
    assert "more than 2,097,152 characters" in chunk.malformed[1].reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB


def test_unclosed_quote_in_a_large_file_rejects_one_line(tmp_path: Path) -> None:
    """Lines that are rows by themselves are no part of a quoted field, however far its end is."""
    rows = "".join(row(number) for number in range(2, 100_000))
    found = read(tmp_path / "a.csv", HEADER + row(0) + 's1,1772366400,1,4.5,"open\n' + rows)

    assert (len(found.samples), list(found.malformed)) == (99_999, [1])


def test_json_line_of_any_size_is_one_malformed_row(tmp_path: Path) -> None:
    lines = b'{"_dc_sample_id": "a"}\n{"x": "' + b"x" * (40 * 2**20) + b'"}\n{"_dc_sample_id": "b"}\n'
    found = read(tmp_path / "a.jsonl", lines)

    assert (list(found.samples), list(found.malformed)) == ([0, 2], [1])


def test_skipped_rows_keep_the_numbers_of_the_others(tmp_path: Path) -> None:
    """A load that was interrupted before or after them continues at the same row."""
    path = tmp_path / "a.csv"
    path.write_text(HEADER + row(0) + ",,,,\n" + HEADER + row(3) + "Total: 2\n" + row(5))
    mapping = column_mapping.create(COLUMNS, FileKind.SAMPLES, {})
    for skip in range(7):
        with reader.open_file(str(path)) as file:
            chunks = list(file.chunks(mapping, skip, rows=2))
        assert [number for chunk in chunks for number in chunk.samples] == [at for at in (0, 3, 5) if at >= skip]
        assert [number for chunk in chunks for number in chunk.malformed] == [at for at in (4,) if at >= skip]


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


@settings(max_examples=examples(150), deadline=None)
@given(
    rows=st.lists(st.tuples(TEXTS, st.floats(-1e9, 1e9), TEXTS), min_size=1, max_size=6),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_dialect_is_read_back_as_it_was_written(
    tmp_path: Path,
    rows: list[tuple[str, float, str]],
    delimiter: str,
    encoding: str,
    quoting: Any,
    line_end: str,
) -> None:
    """The delimiter and the encoding are told from the file, or given."""
    if quoting == csv.QUOTE_MINIMAL:  # Python does not quote a carriage return that is no line end
        rows = [(id_.replace("\r", ""), age, job.replace("\r", "")) for id_, age, job in rows]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=line_end)
    writer.writerows([NAMES, *(("s" + id_, "2026-03-01T12:00:00Z", "1", age, "j" + job) for id_, age, job in rows)])
    wanted = [("s" + id_, age, "j" + job) for id_, age, job in rows]
    # Without a mark, a file full of letters like U+0100 shows neither order of bytes.
    is_unclear = encoding in ("utf-16-le", "utf-16-be") and any(ord(mark) % 256 == 0 for mark in text.getvalue())
    options = [Dialect(delimiter=delimiter, encoding=encoding), *([] if is_unclear else [NO_OPTIONS])]
    for dialect in options:
        found = read(tmp_path / "a.csv", text.getvalue().encode(encoding), dialect)

        assert found.malformed == {}
        assert [(one["_dc_sample_id"], one["age"], one["job"]) for one in found.samples.values()] == wanted


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " "])
@pytest.mark.parametrize("has_row_names", [False, True])
def test_table_of_r_is_told_without_known_fields(delimiter: str, has_row_names: bool) -> None:
    """R's write.table puts texts in quotes, a blank between them by default, and a name before each row."""
    rows = [[f'"s{number}"', '"2026-03-01 10:00:00"', str(number)] for number in range(3)]
    named = [[f'"{number}"', *row] if has_row_names else row for number, row in enumerate(rows, 1)]
    written = "".join(delimiter.join(cells) + "\n" for cells in [['"id"', '"ts"', '"age"'], *named])
    layout = csv_detection.detect(Lines(io.StringIO(written)), "a.csv", None, lambda name: False)
    assert layout.delimiter == delimiter
    assert layout.header_fit == (HeaderFit.ROW_NAMES if has_row_names else HeaderFit.SAME)

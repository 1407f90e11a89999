"""The table of loaded files stays readable with many files and long names."""

import datetime as dt
from typing import Any

import pytest

from dcmon.commands.views import ingest
from dcmon.output import Output


def row(file: str, **counts: Any) -> dict[str, Any]:
    """Return the row of a file of three stored rows."""
    usual = {"rows": 3, "stored": 3, "duplicates": 0, "quarantined": {}, "labels": 0, "seconds": 0.1, "was": "loaded"}
    usual |= {"in_since": None, "remarks": [], "rejections": []}
    return {"file": file, **usual, **counts}


@pytest.fixture(autouse=True)
def _narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_files_of_spark_fit_in_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Names have no common folder and short ids; columns with nothing in them are left out."""
    name = "part-0000{}-8e5e1f6e-7f7f-4a4a-9b9b-0123456789ab.c000.snappy.parquet"
    rows = [row(f"/srv/lake/scores/day={day}/{name.format(day)}") for day in (1, 2)]
    Output().page(ingest.loaded_files(rows))
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "Files below /srv/lake/scores",
        "file                                        rows  stored  was",
        "day=1/part-00001-8e5e….c000.snappy.parquet     3       3  loaded",
        "day=2/part-00002-8e5e….c000.snappy.parquet     3       3  loaded",
        "2 files                                        6       6",
    ]


def test_rejected_rows_fit_in_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Each reason has its first row, and files the names that they have above."""
    detail = "Expected a number, got 'old'."
    rejection = {"rows": 9, "reason": "wrong_type", "field": "age", "line": 14, "row": 12, "value": "old"}
    rows = [row("/srv/in/a.csv", rejections=[{**rejection, "detail": detail}]), row("/srv/in/b.csv")]
    Output().page(ingest.loaded_files(rows))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= 80
    assert lines[-2].split() == ["file", "rows", "reason", "field", "first", "line", "value", "detail"]
    assert lines[-1].split() == ["a.csv", "9", "wrong_type", "age", "14", '"old"', *detail.split()]


def test_total_adds_reasons_of_all_files(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("a.csv", quarantined={"conflict": 1}), row("/b.csv", quarantined={"conflict": 2, "malformed": 1})]
    Output().page(ingest.loaded_files(rows))
    lines = capsys.readouterr().out.splitlines()
    assert "conflict 3, malformed 1" in lines[-1]
    assert [line.split()[0] for line in lines] == ["file", "a.csv", "/b.csv", "2"]


def test_remark_of_many_files_is_written_once() -> None:
    since = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    files = [row(f"{number}.csv", remarks=["The delimiter is ;."], in_since=since) for number in range(1000)]
    assert ingest.remarks(files) == [
        "1,000 of 1,000 files were loaded already; --again loads them again.",
        "0.csv and 999 other files: The delimiter is ;.",
    ]
    assert ingest.remarks([files[0], row("b.csv", remarks=["The delimiter is ;."])]) == [
        "0.csv was loaded already at 2026-03-01 12:00 UTC; --again loads it again.",
        "0.csv and b.csv: The delimiter is ;.",
    ]

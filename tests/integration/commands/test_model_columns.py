"""Columns of a version, as the commands that create models and load files take them."""

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dcmon.storage.columns import TAKEN_NAMES
from tests.conftest import Acme
from tests.helpers.installed import Dcmon
from tests.helpers.odd_names import LONG, ODD_NAMES


def test_features_with_any_names_are_created_and_stored(
    with_url: Callable[[str], Dcmon], database_url: str, acme: Acme, tmp_path: Path
) -> None:
    """PostgreSQL has system columns of some names, and dcmon's tables have a column `revision`."""
    dcmon, names = with_url(database_url), [*sorted(TAKEN_NAMES), *ODD_NAMES]
    features = [argument for name in names for argument in ("--feature", f"{name}:numeric")]
    done = dcmon("model", "create", "odd", "--task", "binary", "--version", "v1", *features)
    assert done.returncode == 0, done.stderr
    own = {name: float(number) for number, name in enumerate(names)}
    path = tmp_path / "rows.jsonl"
    row = {"_dc_sample_id": "a", "_dc_time": "2026-03-01T00:00:00Z", "_dc_prediction": "1", **own}
    path.write_text(json.dumps(row) + "\n")
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "rows.parquet")
    for file_name, wanted in (("rows.csv", 1), ("rows.jsonl", 0), ("rows.parquet", 0)):  # the others are duplicates
        (loaded,) = dcmon.json("ingest", "file", str(tmp_path / file_name), "--model", "odd")
        assert (loaded["stored"], loaded["duplicates"]) == (wanted, 1 - wanted), file_name
    (shown,) = dcmon.json("sample", "show", "a", "--model", "odd")
    assert {name: shown["row"][name] for name in names} == own

    in_sentences = (" ", 'he said "hi"', "back\\slash", "any feature", "line\nbreak", "\x1b[31m", LONG + "2")
    for number, name in enumerate(in_sentences):
        quoted = name.replace('"', '""')
        done = dcmon(
            "monitor", "create", f"M{number}", "--model", "odd", "--check", "PercentOfNulls", f"--feature={name}",
            "--filter", f'"{quoted}" >= 0', "--rule", 'feature "{}" > 0.5'.format(quoted.replace("\\", "\\\\")),
        )  # fmt: skip
        assert done.returncode == 0, (name, done.stderr)


START = datetime(2026, 3, 2, tzinfo=UTC)
FEATURES = {f"f{number}": "numeric" for number in range(1_000)} | {"job": "categorical", "is_new": "boolean"}


def wide_row(number: int) -> dict[str, Any]:
    """Return an hourly sample; f999 has no value from the second day on."""
    own: dict[str, Any] = {name: number + position / 8 for position, name in enumerate(FEATURES)}
    own |= {"job": f"job {number % 3}", "is_new": number % 2 == 0, "f999": number / 4 if number < 24 else None}
    time = (START + timedelta(hours=number)).isoformat()
    return {"_dc_sample_id": f"s{number}", "_dc_time": time, "_dc_prediction": str(number % 2), **own}


@pytest.fixture
def wide(with_url: Callable[[str], Dcmon], database_url: str, acme: Acme, tmp_path: Path) -> Dcmon:
    """Return dcmon with a model of 1,002 features, and 72 rows from files of each format."""
    dcmon = with_url(database_url)
    features = [argument for name, kind in FEATURES.items() for argument in ("--feature", f"{name}:{kind}")]
    done = dcmon("model", "create", "wide", "--task", "binary", "--version", "v1", "--no-defaults", *features)
    assert done.returncode == 0, done.stderr
    rows = [wide_row(number) for number in range(72)]
    (tmp_path / "1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:30]))
    with (tmp_path / "2.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows[30:50])
    pq.write_table(pa.Table.from_pylist(rows[50:]), tmp_path / "3.parquet")
    for name in ("1.jsonl", "2.csv", "3.parquet"):
        done = dcmon("ingest", "file", str(tmp_path / name), "--model", "wide")
        assert done.returncode == 0, done.stdout + done.stderr
    pq.write_table(
        pa.Table.from_pylist([{**row, "_dc_label": "1"} for row in rows[:24]]), tmp_path / "reference.parquet"
    )
    done = dcmon(
        "reference", "load", str(tmp_path / "reference.parquet"), "--model", "wide", "--version", "v1",
        "--map", "_dc_sample_id=", "--map", "_dc_time=",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dcmon


def test_wide_version_is_monitored_corrected_and_pruned(wide: Dcmon) -> None:
    assert wide.json("audit")["is_well"]
    for number in (0, 40, 71):
        (shown,) = wide.json("sample", "show", f"s{number}", "--model", "wide")
        assert {name: shown["row"][name] for name in FEATURES} == {name: wide_row(number)[name] for name in FEATURES}

    added = ("monitor", "create", "Nulls", "--model", "wide", "--check", "PercentOfNulls", "--feature", "f999")
    wide.json(*added, "--aggregation", "max", "--filter", "f998 >= 0 and is_new = true")
    for day in ("2026-03-03", "2026-03-04"):
        assert wide("monitor", "run", "Nulls", "--at", day).returncode == 0
    values = [(result["value"], result["n"]) for result in wide.json("monitor", "history", "Nulls")]
    assert sorted(set(values)) == [(0.0, 12), (1.0, 12)]

    day = ("sample", "delete", "--model", "wide", "--from", "2026-03-02", "--to", "2026-03-03")
    assert wide.json(*day, "--yes")[0]["samples"] == 24
    wide.json("model", "set-retention", "wide", "30d", "--yes")
    assert wide.json("prune", "--yes")
    assert wide.json("audit")["is_well"]
    assert wide.json("model", "list")[0]["samples"] == 0


def test_version_that_is_too_wide_is_refused_with_the_limit(
    with_url: Callable[[str], Dcmon], database_url: str, acme: Acme
) -> None:
    dcmon = with_url(database_url)
    features = [argument for number in range(5_001) for argument in ("--feature", f"f{number}:numeric")]
    done = dcmon("model", "create", "wide", "--task", "binary", "--version", "v1", *features)
    assert done.returncode == 2
    assert "has 5,001 columns, and at most 5,000 are possible. Leave some out" in " ".join(done.stderr.split())
    assert dcmon.json("model", "list") == []

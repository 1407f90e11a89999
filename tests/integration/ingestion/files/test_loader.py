"""Files are loaded exactly once: also after a kill, by two loaders, and after a dry run."""

import csv
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.db import Organization
from dcmon.ingestion.files import file_target, manual_load, reader, registry
from dcmon.ingestion.files.dialect import NO_OPTIONS, Dialect
from dcmon.ingestion.files.file_target import FileTarget
from dcmon.ingestion.files.loader import FileLoader, LoadResult
from dcmon.ingestion.files.manual_load import LoadAction, LoadRequest
from dcmon.monitoring import lifecycle
from dcmon.storage import models, versions
from dcmon.storage.ledger import Outcome
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from tests.integration.conftest import Target as Stored
from tests.integration.conftest import eventually, new_target, rows

HEADER = ["_dc_sample_id", "_dc_time", "_dc_prediction", "age", "job"]


def write(path: Path, lines: Sequence[Mapping[str, Any]], header: Sequence[str] = HEADER) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, header, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)
    return path


def lines(first: int, count: int, **more: Any) -> list[dict[str, Any]]:
    """Return the lines of a file of samples. The same numbers give the same rows."""
    return [{**json.loads(row), **more} for row in rows(first, count)]


def target_of(stored: Stored, kind: str = "samples", dialect: Dialect = NO_OPTIONS) -> FileTarget:
    with db.org_session(stored.engine, stored.org) as session:
        return file_target.find(session, "credit", None, kind, {}, dialect)


def load(
    stored: Stored, path: Path, kind: str = "samples", dialect: Dialect = NO_OPTIONS, *, is_dry_run: bool = False
) -> LoadResult:
    """Load a file, as `dcmon ingest file` does."""
    request = LoadRequest(str(path), is_dry_run=is_dry_run)
    return manual_load.load(stored.engine, stored.org, target_of(stored, kind, dialect), request).result


def ledger(stored: Stored) -> tuple[int, ...]:
    """Return the sums of the ledger, and check that each line adds up."""
    columns = "taken, stored, duplicates, quarantined, dropped, removed"
    with db.org_session(stored.engine, stored.org) as session:
        stored_rows = session.execute(text(f"select {columns} from batches where kind = 'samples'")).all()
    assert all(line[0] == sum(line[1:]) for line in stored_rows)
    return tuple(int(sum(column)) for column in zip(*stored_rows, strict=True))


def line_counts(stored: Stored) -> list[int]:
    """Return how many rows quarantine, ledger and list of files have."""
    return [stored.scalar(f"select count(*) from {table}") for table in ("quarantine", "batches", "ingested_files")]


def next_row_of(stored: Stored) -> int:
    """Return the next row of the file that is not stored."""
    return int(stored.scalar("select coalesce(max(next_row), 0) from ingested_files"))


def has_reached(stored: Stored, wanted: int) -> bool:
    return next_row_of(stored) >= wanted


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load chunks of 40 rows, so that small files have many chunks."""
    monkeypatch.setattr(reader.File.chunks, "__defaults__", (0, 40))


def test_file_with_bad_rows_stores_the_others(target: Stored, tmp_path: Path) -> None:
    """Good rows are stored, bad ones quarantined, and the ledger counts all."""
    bad = [
        {**lines(7, 1)[0], "age": "old"},
        {**lines(8, 1)[0], "_dc_sample_id": "s0"},
        {**lines(9, 1)[0], "_dc_time": ""},
    ]
    path = write(tmp_path / "a.csv", [*lines(0, 5), *bad, *lines(3, 4)])
    path.write_text(path.read_text() + "too,few\n")

    loaded = load(target, path)

    assert loaded.outcome == Outcome(13, 7, 2, 4)
    assert loaded.reasons == {"conflict": 1, "malformed": 1, "wrong_type": 2}
    assert target.samples == 7
    assert ledger(target) == (13, 7, 2, 4, 0, 0)
    assert target.scalar("select count(distinct (source, position)) from quarantine") == 4
    assert target.scalar("select sum(taken) from receipts") == 13, "the line that can't be read was received too"


def test_lines_that_cannot_be_read_are_received_rows(target: Stored, tmp_path: Path) -> None:
    """A file without a readable line is no silence: its rows were received and are in quarantine."""
    path = write(tmp_path / "a.csv", [])
    path.write_text(path.read_text() + "".join(f"s{number},too few\n" for number in range(30)))

    assert load(target, path).outcome == Outcome(30, 0, 0, 30)
    assert target.scalar("select (sum(taken), count(*), bool_or(is_touched))::text from receipts") == "(30,1,t)"


def test_row_refused_by_postgresql_is_quarantined(target: Stored, tmp_path: Path) -> None:
    """A row that only PostgreSQL refuses does not stop its file."""
    with db.org_session(target.engine, target.org) as session:
        table = session.scalar(text("select 'samples_' || relation from versions"))
        session.execute(text(f"alter table {table} add check (age <> 25)"))

    loaded = load(target, write(tmp_path / "a.csv", lines(0, 60)))

    assert loaded.outcome == Outcome(60, 59, 0, 1)
    assert loaded.reasons == {"refused": 1}
    assert target.samples == 59


def test_row_with_invalid_utf8_is_quarantined_unchanged(target: Stored, tmp_path: Path) -> None:
    """The quarantine keeps the original bytes of the line."""
    path, line = tmp_path / "a.csv", b"u1,2026-03-01T00:00:00Z,1,4,caf\xe9"
    path.write_bytes(",".join(HEADER).encode() + b"\n" + line + b"\n")

    utf8 = Dialect(encoding="utf-8")  # without it, the whole file is refused
    counted = load(target, path, dialect=utf8, is_dry_run=True)
    assert counted.reasons == load(target, path, dialect=utf8).reasons == {"malformed": 1}

    quarantined = "select (reason, field, sample_id, row)::text from quarantine"
    assert target.scalar(quarantined) == f'(malformed,job,u1,"\\\\x{line.hex()}")'


@pytest.mark.usefixtures("few_rows")
def test_loaded_file_is_loaded_again_only_on_request(target: Stored, tmp_path: Path) -> None:
    """A loaded file is recognized under another name; a repeated load finds duplicates."""
    path = write(tmp_path / "a.csv", [*lines(0, 100), {**lines(7, 1)[0], "age": "old"}])
    load(target, path)
    copy = path.rename(tmp_path / "other-name.csv")

    finished = target.scalar("select finished_at from ingested_files")
    assert load(target, copy) == LoadResult(str(copy), 101, finished)
    again = manual_load.load(target.engine, target.org, target_of(target), LoadRequest(str(copy), is_repeated=True))
    assert (again.action, again.result.first_row) == (LoadAction.LOADED, 0)
    assert again.result.outcome == Outcome(101, 0, 101, 0)
    assert target.scalar("select count(*) from quarantine") == 1, "the bad row is the same row again"
    assert ledger(target)[3] == 1


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize("seed", range(4))
def test_dry_run_counts_what_the_load_then_stores(target: Stored, tmp_path: Path, seed: int) -> None:
    """A dry run gives the counts of the load and writes nothing."""
    generator = random.Random(seed)
    load(target, write(tmp_path / "before.csv", lines(0, 60)))
    load(target, write(tmp_path / "said.csv", [{"_dc_sample_id": f"s{n}", "_dc_label": n % 2} for n in range(40, 90)],
                       ["_dc_sample_id", "_dc_label"]), "labels")  # fmt: skip
    mixed = [lines(generator.randrange(150), 1)[0] for _ in range(400)]
    for line in generator.sample(mixed, 60):
        line |= generator.choice(
            [
                {"_dc_sample_id": "s0"},
                {"age": "x"},
                {"age": 1000},
                {"_dc_time": "2200-01-01T00:00:00Z"},
                {"_dc_sample_id": ""},
            ]
        )
    for line in mixed:
        line["_dc_label"] = generator.choice(["0", "1", ""])
    path = write(tmp_path / "a.csv", [*mixed, *mixed[100:140]], [*HEADER, "_dc_label"])
    path.write_text(path.read_text() + "too,few\n" * 3 + "fewer\n")
    before = (target.samples, target.labels, line_counts(target))

    counted = load(target, path, is_dry_run=True)
    assert (target.samples, target.labels, line_counts(target)) == before
    loaded = load(target, path)

    assert (counted.outcome, counted.labels) == (loaded.outcome, loaded.labels)
    assert dict(counted.reasons) == dict(loaded.reasons)
    assert counted.rows == loaded.rows == 444


def test_model_with_two_versions_needs_a_version_name(target: Stored) -> None:
    """The error lists the versions."""
    with db.org_session(target.engine, target.org) as session:
        versions.create(session, models.find(session, "credit"), NewVersion("v2", {"age": "numeric"}))
    with pytest.raises(errors.InvalidInput, match=r"several versions \(v2, v1\): choose one with --version"):
        target_of(target)


def test_labels_beside_samples_are_stored_with_them(target: Stored, tmp_path: Path) -> None:
    """A file of samples with labels stores both."""
    path = write(
        tmp_path / "a.csv", [*lines(0, 30, _dc_label="1"), *lines(30, 30, _dc_label="")], [*HEADER, "_dc_label"]
    )

    loaded = load(target, path)

    assert (loaded.outcome.stored, loaded.labels.stored) == (60, 30)
    assert (target.samples, target.labels) == (60, 30)


@pytest.mark.usefixtures("few_rows")
def test_concurrent_loads_of_a_file_share_its_rows(target: Stored, tmp_path: Path) -> None:
    """Three loads of one file store each row once."""
    path = write(tmp_path / "a.csv", [*lines(0, 600), *({**line, "age": "x"} for line in lines(600, 50))])
    threads = [threading.Thread(target=load, args=(target, path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)

    assert target.samples == 600
    assert ledger(target) == (650, 600, 0, 50, 0, 0)
    assert target.scalar("select count(*) from quarantine") == 50


SLOW_LOAD = """
import sys
from dcmon import db
from dcmon.db import Organization
from dcmon.ingestion.files import file_target, manual_load, reader
reader.File.chunks.__defaults__ = (0, 40)
engine = db.engine(sys.argv[1])
org = Organization(int(sys.argv[2]), sys.argv[3], sys.argv[4])
with db.org_session(engine, org) as session:
    target = file_target.find(session, "credit", None, "samples", {})
manual_load.load(engine, org, target, manual_load.LoadRequest(sys.argv[5]))
"""


@pytest.mark.parametrize("seed", range(3))
def test_killed_load_continues_at_the_next_row(target: Stored, database_url: str, tmp_path: Path, seed: int) -> None:
    """After kill -9 no row is lost or stored twice."""
    path = write(tmp_path / "a.csv", [*lines(0, 2000), *({**line, "age": "x"} for line in lines(2000, 200))])
    org, randomness = target.org, random.Random(seed)
    command = [sys.executable, "-c", SLOW_LOAD, database_url, str(org.id), org.name, org.schema, str(path)]
    for _ in range(4):
        wanted = min(2200, next_row_of(target) + randomness.randrange(1, 500))
        process = subprocess.Popen(command)
        assert eventually(partial(has_reached, target, wanted))
        time.sleep(randomness.random() / 50)
        process.kill()
        process.wait(300)
    before = next_row_of(target)
    loaded = load(target, path)
    good, bad = max(0, 2000 - before), min(200, 2200 - before)
    assert (loaded.first_row, loaded.outcome) == (before, Outcome(good + bad, good, 0, bad))
    totals = "select array[taken, stored, duplicates, quarantined] from ingested_files"
    assert target.scalar(totals) == [2200, 2000, 0, 200]
    assert target.samples == 2000
    assert ledger(target) == (2200, 2000, 0, 200, 0, 0)
    assert target.scalar("select count(distinct position) from quarantine") == 200


def test_load_into_a_deleted_model_raises_not_found(target: Stored, tmp_path: Path) -> None:
    """A model that is deleted during the load ends it with an error."""
    path, samples = write(tmp_path / "a.csv", lines(0, 20)), target_of(target)
    with reader.open_file(str(path)) as file:
        fingerprint = file_target.fingerprint(file, samples)
        with db.org_session(target.engine, target.org) as session:
            registry.register(session, fingerprint, str(path), samples)
        with db.org_session(target.engine, target.org) as session:
            lifecycle.delete_model(session, models.find(session, "credit"))
        with pytest.raises(errors.NotFound, match="no model version"):
            FileLoader(target.engine, target.org).load(file, samples, fingerprint, 0)


def test_file_is_loaded_once_per_organization(engine: Engine, target: Stored, tmp_path: Path) -> None:
    """Each organization has a registry of files of its own."""
    from dcmon.tenancy.provisioning import create_organization

    other = new_target(engine, create_organization(engine, "other", "o@other.example").organization)
    path = write(tmp_path / "a.csv", lines(0, 10))

    assert load(target, path).outcome.stored == load(other, path).outcome.stored == 10


def test_regression_labels_are_stored_as_numbers(engine: Engine, org: Organization, tmp_path: Path) -> None:
    """Labels of a regression model are numbers."""
    with db.org_session(engine, org) as session:
        model = models.create(session, NewModel("credit", "regression"))
        version = versions.create(session, model, NewVersion("v1", {"age": "numeric"}))
    stored = Stored(engine, org, model.id, version.id)
    row = {"_dc_sample_id": "a", "_dc_time": 1772366400, "_dc_prediction": "1.5", "age": "", "_dc_label": "1e3"}

    loaded = load(stored, write(tmp_path / "a.csv", [row], list(row)))

    assert (loaded.outcome.stored, loaded.labels.stored) == (1, 1)
    assert stored.scalar(f"select label from labels_{version.relation}") == 1000.0

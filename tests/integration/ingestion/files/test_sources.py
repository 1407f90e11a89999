"""New or changed files of a directory or bucket are loaded once."""

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from dcmon import db, errors, file_errors
from dcmon.app import App
from dcmon.health import checks, collector
from dcmon.ingestion.files import file_target, source_losses, sources
from dcmon.ingestion.files.directory import Directory
from dcmon.ingestion.files.file_target import FileTarget
from dcmon.ingestion.files.locations import FileEntry
from dcmon.ingestion.files.scanner import Scanner, ScanResult, ScanStopped, _SourceScan
from dcmon.ingestion.files.sources import NewSource
from dcmon.jobs import schedule
from dcmon.output import Output
from dcmon.settings import S3, Health, Settings, Sources
from dcmon.storage import versions
from tests.helpers.s3_server import KEY, SECRET, Server, server
from tests.integration.conftest import Target, eventually, rows, running

HEADER = "_dc_sample_id,_dc_time,_dc_prediction,age,job"


def csv_of(first: int, count: int, age: str | None = None) -> str:
    """Return samples as a CSV. The same numbers give the same rows."""
    created = [json.loads(row) for row in rows(first, count)]
    return "\n".join(
        [
            HEADER,
            *(
                ",".join(str(age or row[n]) if n == "age" else str(row[n]) for n in HEADER.split(","))
                for row in created
            ),
        ]
    )


def put(path: Path, content: str, age: float = 60) -> Path:
    """Write a file that looks as if it was written some seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def add_source(target: Target, url: str, kind: str = "samples", name: str = "lake") -> None:
    with db.org_session(target.engine, target.org) as session:
        file_target_ = file_target.find(session, "credit", None, kind, {})
        sources.add(session, NewSource(name, url, kind, file_target_.model_id, file_target_.version_id, {}))


def loading_target(target: Target) -> FileTarget:
    with db.org_session(target.engine, target.org) as session:
        return file_target.find(session, "credit", None, "samples", {})


def scan(target: Target, s3: S3 | None = None, *, retry: bool = False, name: str = "lake") -> ScanResult:
    return Scanner(target.engine, target.org, s3 or S3()).scan(name, retry=retry)


def described(target: Target, name: str = "lake") -> dict[str, Any]:
    with db.org_session(target.engine, target.org) as session:
        return sources.describe(session, sources.find(session, name))


def test_new_files_in_any_folder_are_loaded_once(target: Target, tmp_path: Path) -> None:
    """A scan loads new files of all folders, and no file twice."""
    put(tmp_path / "a.csv", csv_of(0, 10))
    add_source(target, str(tmp_path))
    assert [file.path for file in scan(target).loaded] == ["a.csv"]
    put(tmp_path / "v1" / "production" / "2026-03-01" / "b.csv", csv_of(10, 10))

    scan_result = scan(target)

    assert [file.path for file in scan_result.loaded] == ["v1/production/2026-03-01/b.csv"]
    assert (scan_result.seen, target.samples) == (2, 20)
    assert scan(target).loaded == []
    assert described(target)["loaded"] == 2


def jobs(target: Target) -> str:
    """Return the values of column `job` in the stored samples."""
    with db.org_session(target.engine, target.org) as session:
        relation = versions.get(session, target.version_id)[1].relation
    return str(target.scalar(f"select string_agg(distinct job, ',') from samples_{relation}"))


def part_of_spark(number: int) -> str:
    """Return a CSV of ten samples without the column of its folder."""
    return "\n".join(line.rpartition(",")[0] for line in csv_of(number * 10, 10).split("\n"))


def test_directory_of_spark_waits_until_it_is_written(target: Target, tmp_path: Path) -> None:
    """Nothing is loaded beside `_temporary`; without `_SUCCESS`, part files wait an hour."""
    lake = tmp_path / "lake"
    add_source(target, str(lake))
    for number, job in enumerate(("clerk", "r%C3%A9gie")):
        put(lake / "scores" / f"job={job}" / f"part-0000{number}.csv", part_of_spark(number))
    put(lake / "scores" / "part-00002.csv", "")
    (lake / "scores" / "_temporary" / "0").mkdir(parents=True)
    put(lake / "other" / "data_0.csv", csv_of(100, 1))

    first = scan(target)
    assert ([file.path for file in first.loaded], first.being_written) == (["other/data_0.csv"], 2)
    assert first.waiting == {f"{lake}/scores": "Spark is writing it."}
    (lake / "scores" / "_temporary" / "0").rmdir()
    (lake / "scores" / "_temporary").rmdir()
    assert scan(target).waiting == {f"{lake}/scores": "its files wait an hour for _SUCCESS."}
    put(lake / "scores" / "_SUCCESS", "")
    assert len(scan(target).loaded) == 2
    assert jobs(target) == "clerk,j0,régie"

    put(lake / "late" / "job=x" / "part-00000.csv", part_of_spark(5), age=2 * 3600)
    put(lake / "failed" / "job=x" / "part-00000.csv", part_of_spark(6), age=30 * 3600)
    (lake / "failed" / "_temporary").mkdir()
    assert [file.path for file in scan(target).loaded] == ["late/job=x/part-00000.csv"]
    assert described(target)["last_error"].startswith(f"The files of {lake}/failed wait for more than a day")


def test_changed_file_is_loaded_again_without_duplicates(target: Target, tmp_path: Path) -> None:
    """Only the new rows of a file that grew are stored."""
    path = put(tmp_path / "a.csv", csv_of(0, 10))
    add_source(target, str(tmp_path))
    scan(target)
    put(path, csv_of(0, 15), age=30)

    (loaded,) = scan(target).loaded

    assert (loaded.outcome.stored, loaded.outcome.duplicates) == (5, 10)
    os.utime(path, (time.time() - 20, time.time() - 20))
    assert scan(target).loaded == []
    assert target.samples == 15
    assert described(target)["files"] == 1


def test_source_of_a_pattern_leaves_other_files(target: Target, tmp_path: Path) -> None:
    """Samples and labels of one directory have two sources."""
    put(tmp_path / "job=x" / "samples-1.csv", part_of_spark(0))
    put(tmp_path / "job=x" / "labels-1.csv", "_dc_sample_id,_dc_label\ns1,1\n")
    add_source(target, f"{tmp_path}/**/samples-*.csv")
    result = scan(target)
    assert (result.seen, [file.path for file in result.loaded]) == (1, ["job=x/samples-1.csv"])
    assert jobs(target) == "x"


def test_file_being_written_waits_for_the_next_scan(target: Target, tmp_path: Path) -> None:
    """Files that changed just now, and hidden or temporary ones, are not loaded."""
    path = put(tmp_path / "a.csv", csv_of(0, 10), age=-3600)  # also if a busy machine lists the files much later
    for name in (".a.csv", "_a.csv", "a.csv.tmp", "a.csv.part", "_temporary/b.csv", "notes.txt"):
        put(tmp_path / name, csv_of(50, 10))
    add_source(target, str(tmp_path))

    scan_result = scan(target)
    assert (scan_result.seen, scan_result.being_written, scan_result.loaded) == (1, 1, [])
    os.utime(path, (time.time() - 60, time.time() - 60))
    assert len(scan(target).loaded) == 1
    assert target.samples == 10


def test_bad_row_does_not_reject_its_file(target: Target, tmp_path: Path) -> None:
    """The other rows of the file are stored."""
    put(tmp_path / "a.csv", csv_of(0, 10) + "\n" + csv_of(10, 1, age="old").splitlines()[1] + "\ntoo,few")
    add_source(target, str(tmp_path))

    (loaded,) = scan(target).loaded

    assert (loaded.outcome.stored, dict(loaded.reasons)) == (10, {"malformed": 1, "wrong_type": 1})


def test_rows_that_a_source_loses_are_told_for_it(target: Target, tmp_path: Path) -> None:
    """Another source of the same version loses nothing: it does not dilute the share, and is not told."""
    put(tmp_path / "good" / "a.csv", csv_of(100, 400))
    put(tmp_path / "bad" / "a.csv", csv_of(0, 10))
    put(tmp_path / "bad" / "b.csv", csv_of(0, 30, age="old") + "\ntoo,few")
    put(tmp_path / "bad" / "c.csv", csv_of(0, 10) + "\n" + csv_of(0, 2, age="old").split("\n", 1)[1])
    for name in ("good", "bad"):
        add_source(target, str(tmp_path / name), name=name)
        scan(target, name=name)

    with db.org_session(target.engine, target.org) as session:
        (loss,) = source_losses.by_source(session).values()
        groups = source_losses.by_reason(session, sources.find(session, "bad").id)

    assert (loss.source, loss.received, loss.quarantined, loss.file) == ("bad", 41, 31, "b.csv")
    assert loss.reasons == ["wrong_type (age)", "malformed"]
    first = {"rows": 30, "reason": "wrong_type", "field": "age", "file": "b.csv", "row": 1, "value": "old"}
    assert groups[0] == {**first, "detail": loss.detail}
    assert (groups[1]["rows"], groups[1]["row"], groups[1]["value"]) == (1, 31, "too,few")
    app = App(Settings(database_url=target.engine.url.render_as_string(hide_password=False)), Output())
    problems = checks.find_problems(collector.collect(target.engine, app.settings), Health())
    (problem,) = [problem for problem in problems if problem.name == "source loses rows"]
    assert (problem.subject, problem.severity) == ("acme/bad", "high")
    assert problem.sentence.startswith("76% of the new rows of source bad in acme were quarantined within a day (31 of")
    assert problem.command == "dcmon source show bad --org acme"

    with db.org_session(target.engine, target.org) as session:
        session.execute(text("delete from quarantine"))
        assert source_losses.by_source(session) == {}, "rows that were retried or dropped are no longer lost"


def test_unreadable_file_is_retried_after_a_change(target: Target, tmp_path: Path) -> None:
    """A failed file is listed, and tried again with --retry or after a change."""
    bad = put(tmp_path / "bad.csv", "no,such,columns\n1,2,3\n", age=7200)
    put(tmp_path / "no.parquet", "PAR1 no", age=3600)
    put(tmp_path / "good.csv", csv_of(0, 10))
    add_source(target, str(tmp_path))

    scan_result = scan(target)
    assert (sorted(scan_result.failed), [file.path for file in scan_result.loaded]) == (
        ["bad.csv", "no.parquet"],
        ["good.csv"],
    )
    assert "no column for _dc_prediction" in scan_result.failed["bad.csv"]
    with db.org_session(target.engine, target.org) as session:
        failed = sources.failed_files(session, sources.find(session, "lake"))
        assert [file.path for file in failed] == ["bad.csv", "no.parquet"]

    assert scan(target).failed == {}
    assert sorted(scan(target, retry=True).failed) == ["bad.csv", "no.parquet"]
    put(bad, csv_of(10, 10), age=30)
    assert [file.path for file in scan(target).loaded] == ["bad.csv"]
    about = described(target)
    assert (about["files"], about["loaded"], about["failed"]) == (3, 2, 1)


def test_files_of_labels_are_loaded_in_order_of_writing(target: Target, tmp_path: Path) -> None:
    """The label of the file that was written last wins."""
    put(tmp_path / "a.csv", "_dc_sample_id,_dc_label\ns1,1\n", age=30)
    put(tmp_path / "b.csv", "_dc_sample_id,_dc_label\ns1,0\n", age=3600)
    add_source(target, str(tmp_path), "labels")

    assert [file.path for file in scan(target).loaded] == ["b.csv", "a.csv"]
    with db.org_session(target.engine, target.org) as session:
        relation = session.scalar(text("select relation from models"))
        assert session.scalar(text(f"select label from orphan_labels_{relation}")) == "1"


def test_source_added_again_loads_no_file_twice(target: Target, tmp_path: Path) -> None:
    """The registry of files survives the removal of a source."""
    put(tmp_path / "a.csv", csv_of(0, 10) + "\ntoo,few")
    add_source(target, str(tmp_path))
    scan(target)
    with db.org_session(target.engine, target.org) as session:
        sources.remove(session, sources.find(session, "lake"))
    assert target.samples == 10

    add_source(target, str(tmp_path))

    assert scan(target).loaded == []
    assert target.scalar("select count(*) from quarantine") == 1


def test_concurrent_scan_of_a_source_is_refused(target: Target, tmp_path: Path) -> None:
    """A second scan of the same source raises Locked."""
    for number in range(20):
        put(tmp_path / f"{number}.csv", csv_of(10 * number, 10))
    add_source(target, str(tmp_path))
    held, refused = list[ScanResult](), list[errors.Locked]()

    def one() -> None:
        try:
            held.append(scan(target))
        except errors.Locked as error:
            refused.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)

    assert len(held) + len(refused) == 4
    assert sum(len(result.loaded) for result in held) == 20
    assert target.samples == 200
    held.clear()
    put(tmp_path / "more.csv", csv_of(200, 10))
    with db.org_session(target.engine, target.org) as session:
        source = sources.find(session, "lake")
    with Scanner(target.engine, target.org, S3())._exclusive(source):
        one()
    assert held == []
    assert str(refused[-1]) == "Source 'lake' is being scanned by another process. Try again later."


def test_stopped_scan_is_continued_by_the_next(target: Target, tmp_path: Path) -> None:
    """A scan that is asked to stop leaves the rest for the next scan."""
    put(tmp_path / "a.csv", csv_of(0, 10))
    add_source(target, str(tmp_path))
    stop = threading.Event()
    stop.set()
    with pytest.raises(ScanStopped):
        Scanner(target.engine, target.org, S3(), stop).scan("lake")
    assert target.samples == 0
    scan(target)
    assert target.samples == 10


def test_scan_that_is_late_ends_after_a_file(target: Target, tmp_path: Path) -> None:
    """So each scan of an organization loads a file, and none of them keeps the others waiting."""
    for number in range(3):
        put(tmp_path / f"{number}.csv", csv_of(number * 10, 10))
    add_source(target, str(tmp_path))
    late = Scanner(target.engine, target.org, S3(), deadline=0.0)
    assert [len(late.scan("lake").loaded) for _ in range(4)] == [1, 1, 1, 0]
    assert target.samples == 30


def test_longest_unscanned_source_is_the_first(target: Target, tmp_path: Path) -> None:
    for name in ("a", "b", "idle"):
        add_source(target, str(tmp_path), name=name)
    scan(target, name="a")
    with db.org_session(target.engine, target.org) as session:
        sources.find(session, "idle").is_active = False
        session.flush()
        assert [source.name for source in sources.longest_unscanned(session)] == ["b", "a"]


def test_missing_directory_is_the_last_error(target: Target, tmp_path: Path) -> None:
    """The error is stored with the source until a scan succeeds."""
    add_source(target, (tmp_path / "gone").as_uri())
    with pytest.raises(errors.NotFound, match="no directory"):
        scan(target)
    assert "no directory" in described(target)["last_error"]
    (tmp_path / "gone").mkdir()
    scan(target)
    assert described(target)["last_error"] is None


@pytest.mark.parametrize("url", ["relative/path", "http://acme/x", "s3://", "file://elsewhere/x", ""])
def test_invalid_source_url_is_refused(url: str) -> None:
    """A URL must be a path, file:// or s3://."""
    with pytest.raises(errors.InvalidInput, match="can't be a source"):
        sources.location(url, S3())


def test_scheduler_scans_every_source(
    app: App, target: Target, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An error in one source does not keep the others from being scanned, and is logged once."""
    put(tmp_path / "good" / "a.csv", csv_of(0, 10))
    add_source(target, str(tmp_path / "absent"), name="absent")
    add_source(target, str(tmp_path / "good"), name="good")

    with caplog.at_level(logging.WARNING):
        assert schedule.scan_sources(app, threading.Event()) == 1
        assert schedule.scan_sources(app, threading.Event()) == 0
    assert target.samples == 10
    assert [record.message.split(":")[0] for record in caplog.records] == ["source absent"]


def test_scheduler_scans_periodically(database_url: str, data_dir: Path, target: Target, tmp_path: Path) -> None:
    """The running scheduler loads new files without a command."""
    add_source(target, str(tmp_path))
    often = Sources(scan_every=timedelta(seconds=0.2))
    settings = Settings(database_url=SecretStr(database_url), data_dir=data_dir, sources=often)
    with App(settings, Output(quiet=True)) as app, running(schedule.run, app):
        put(tmp_path / "a.csv", csv_of(0, 10))
        assert eventually(lambda: target.samples == 10)
        put(tmp_path / "b.csv", csv_of(10, 10))
        assert eventually(lambda: target.samples == 20)


def test_inaccessible_file_is_retried_without_a_change(target: Target, tmp_path: Path) -> None:
    """A file that could not be opened is tried at each scan."""
    path = put(tmp_path / "a.csv", csv_of(0, 10))
    path.rename(tmp_path / "kept")
    path.mkdir()  # can't be read as a file, even by root
    add_source(target, str(tmp_path))
    with db.org_session(target.engine, target.org) as session:
        source = sources.find(session, "lake")
    scanner, result = Scanner(target.engine, target.org, S3()), ScanResult("lake")
    source_scan = _SourceScan(scanner, source, loading_target(target), result)
    for _ in range(2):
        source_scan.load(Directory(tmp_path), FileEntry("a.csv", "stamp", 0.0))
    assert (list(result.failed), result.newly_failed) == (["a.csv"], ["a.csv"])
    path.rmdir()
    (tmp_path / "kept").rename(path)

    assert [file.path for file in scan(target).loaded] == ["a.csv"]
    assert described(target)["failed"] == 0


@pytest.fixture(scope="session")
def s3() -> Iterator[Server]:
    """Start an S3 server for the session."""
    with server() as created:
        yield created


@pytest.fixture
def bucket(s3: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Create a bucket for this test, and set the credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    s3.client.create_bucket(Bucket=name)
    return name


def test_bucket_of_two_pages_is_loaded_completely_once(target: Target, s3: Server, bucket: str) -> None:
    """All pages of a listing are loaded, and later only new or changed objects."""
    # Most objects, and the last page too, have names of other formats: loading a thousand files would take long.
    for number in range(1050):
        s3.place(bucket, f"credit/v1/{number:04d}.{'txt' if number % 10 else 'csv'}", csv_of(number, 1).encode())
    s3.put(bucket, "credit-not/9.csv", csv_of(5000, 1).encode())
    add_source(target, f"s3://{bucket}/credit")

    scan_result = scan(target, s3.settings)

    assert (scan_result.seen, len(scan_result.loaded), target.samples) == (105, 105, 105)
    s3.put(bucket, "credit/v1/0000.csv", csv_of(2000, 3).encode())
    s3.put(
        bucket,
        "credit/later/1.jsonl",
        b"\n".join(rows(3000, 4)).replace(b'"_dc_prediction_probabilities": [0.5, 0.5], ', b""),
    )
    assert sorted(file.path for file in scan(target, s3.settings).loaded) == ["later/1.jsonl", "v1/0000.csv"]
    assert target.samples == 112
    assert scan(target, s3.settings).loaded == []


def test_partitions_of_a_bucket_are_columns(target: Target, s3: Server, bucket: str) -> None:
    """The markers may be listed after the files: `Job=…` comes before `_SUCCESS`."""
    add_source(target, f"s3://{bucket}/scores")
    with db.org_session(target.engine, target.org) as session:
        sources.find(session, "lake").mapping = {"Job": "job"}
    s3.put(bucket, "scores/Job=R%26D/part-00000.csv", part_of_spark(0).encode())
    s3.put(bucket, "scores/_temporary/0/part-00001.csv", b"")
    assert (scan(target, s3.settings).loaded, scan(target, s3.settings).being_written) == ([], 1)
    add_source(target, f"s3://{bucket}/sc*/*/part-*.csv", name="pattern")
    assert scan(target, s3.settings, name="pattern").being_written == 1
    s3.client.delete_object(Bucket=bucket, Key="scores/_temporary/0/part-00001.csv")
    s3.put(bucket, "scores/_SUCCESS", b"")
    assert len(scan(target, s3.settings).loaded) == 1
    assert jobs(target) == "R&D"


def test_object_of_the_same_size_is_loaded_by_new_etag(target: Target, s3: Server, bucket: str) -> None:
    """The ETag shows a changed object."""
    add_source(target, f"s3://{bucket}")
    for first in (0, 1, 2):
        s3.put(bucket, "a.csv", csv_of(first, 1).encode())
        assert len(scan(target, s3.settings).loaded) == 1
    assert target.samples == 3


def test_s3_failures_have_errors_of_their_own(
    target: Target, bucket: str, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong credentials, a missing bucket and an unreachable server are three errors."""
    add_source(target, f"s3://{bucket}/x")
    add_source(target, "s3://no-such-bucket/x", name="absent")
    with pytest.raises(errors.NotFound, match="no bucket 'no-such-bucket'"):
        scan(target, s3.settings, name="absent")
    with pytest.raises(errors.Unreachable, match=r"S3 can't be reached at http://127\.0\.0\.1:1"):
        scan(target, S3(endpoint_url="http://127.0.0.1:1", region="us-east-1"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(file_errors.StorageRefused, match="does not match"):
        scan(target, s3.settings)
    assert described(target)["last_error"].startswith("The object storage at")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    scan(target, s3.settings)
    assert described(target)["last_error"] is None


def test_missing_s3_credentials_are_reported(
    target: Target, s3: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error says that there are no credentials."""
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    add_source(target, "s3://some/x")
    with pytest.raises(file_errors.StorageRefused, match="credentials"):
        scan(target, s3.settings)


def test_too_large_object_is_a_file_that_fails(target: Target, s3: Server, bucket: str) -> None:
    """It is not copied, the next file is loaded, and a larger limit loads it after all."""
    s3.put(bucket, "a.csv", csv_of(0, 100).encode())
    s3.put(bucket, "b.csv", csv_of(100, 1).encode())
    add_source(target, f"s3://{bucket}")
    size = len(csv_of(0, 100).encode())
    result = scan(target, s3.settings.model_copy(update={"max_object_bytes": size - 1}))
    assert [file.path for file in result.loaded] == ["b.csv"]
    assert "DCMON_S3__MAX_OBJECT_BYTES" in result.failed["a.csv"]
    assert [file.path for file in scan(target, s3.settings, retry=True).loaded] == ["a.csv"]


def test_copy_of_an_object_ends_when_it_must_stop(s3: Server, bucket: str) -> None:
    s3.put(bucket, "a.csv", csv_of(0, 10).encode())
    location = sources.location(f"s3://{bucket}", s3.settings)

    def stop() -> None:
        raise ScanStopped

    with pytest.raises(ScanStopped), location.fetch("a.csv", stop):
        pytest.fail("it was copied")


def test_scan_continues_after_an_s3_outage(target: Target, bucket: str, s3: Server) -> None:
    """Objects that could not be fetched are loaded by the next scan."""
    for number in range(5):
        s3.put(bucket, f"{number}.csv", csv_of(number, 1).encode())
    add_source(target, f"s3://{bucket}")
    scanner, page_count = Scanner(target.engine, target.org, s3.settings), 0

    @contextmanager
    def away() -> Iterator[None]:
        s3.stop()
        yield
        s3.start()

    location = sources.location(f"s3://{bucket}", s3.settings)
    pages = [entry.path for page in location.pages() for entry in page.files]
    with away(), pytest.raises(errors.Unreachable), location.fetch(pages[0]):
        page_count += 1
    assert (len(pages), page_count) == (5, 0)
    assert len(scanner.scan("lake").loaded) == 5


@pytest.mark.parametrize("url", ["s3://key:canary@bucket/in", "file://user:canary@host/in", "https://canary@host/in"])
def test_source_with_a_password_in_its_url_is_refused(url: str) -> None:
    """It would be stored and shown, and no bucket can be read with it."""
    with pytest.raises(errors.InvalidInput, match="user or password") as refused:
        sources.location(url, S3())
    assert "canary" not in str(refused.value)

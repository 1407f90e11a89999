"""Files and sources from the command line: counts, exit codes, continued loads."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import Engine, text

from dcmon import db
from tests.conftest import Acme
from tests.helpers.installed import COMMAND, Dcmon
from tests.helpers.s3_server import Server, server
from tests.helpers.waiting import blocked_writer, eventually, is_waiting_for_a_lock

HEADER = "_dc_sample_id,_dc_time,_dc_prediction,age,job\n"


def row(number: int, age: str = "41") -> str:
    return f"s{number},{1772366400 + number},{number % 2},{age},clerk\n"


@pytest.fixture
def credit(with_url: Callable[[str], Dcmon], database_url: str, acme: Acme) -> Dcmon:
    """Return dcmon with a model of two features and one version."""
    created = with_url(database_url)
    features = ["--feature", "age:numeric", "--feature", "job:categorical", "--class", "0", "--class", "1"]
    created.json("model", "create", "credit", "--task", "binary", "--version", "v1", *features)
    return created


@pytest.fixture
def may(tmp_path: Path) -> Path:
    """Write a file of ten rows, one duplicate and three rows that can't be stored."""
    path = tmp_path / "may.csv"
    path.write_text(HEADER + "".join(row(n) for n in [*range(10), 3]) + row(20, "old") + row(5, "42") + "too,few\n")
    return path


def load(credit: Dcmon, *arguments: str) -> dict[str, object]:
    (entry,) = credit.json("ingest", "file", "--model", "credit", *arguments)
    return {name: value for name, value in entry.items() if name not in ("seconds", "file", "rejections")}


def samples(credit: Dcmon) -> int:
    (model,) = credit.json("model", "list")
    return int(model["samples"])


def test_file_loads_once_after_a_dry_run(credit: Dcmon, may: Path) -> None:
    nothing = {"rows": 0, "stored": 0, "duplicates": 0, "rejected": 0, "labels": 0, "quarantined": {}}
    nothing["remarks"] = []
    reasons = {"conflict": 1, "malformed": 1, "wrong_type": 1}
    counts = {"rows": 14, "stored": 10, "duplicates": 1, "rejected": 3, "labels": 0, "quarantined": reasons}
    counts |= {"in_before": 0, "in_since": None, "remarks": []}

    assert load(credit, str(may), "--dry-run") == {**counts, "was": "not stored", "dry_run": True}
    assert samples(credit) == 0
    assert load(credit, str(may)) == {**counts, "was": "loaded"}
    assert samples(credit) == 10
    again = load(credit, str(may))
    since = str(again["in_since"])
    assert again == {**nothing, "in_before": 14, "in_since": since, "was": "in already"}
    assert load(credit, str(may), "--dry-run") == {**again, "dry_run": True}
    output = credit("ingest", "file", str(may), "--model", "credit").stderr
    assert f"was loaded already at {since[:10]} {since[11:16]} UTC; --again loads it again." in output
    assert load(credit, str(may), "--again")["duplicates"] == 14


def test_renamed_columns_and_labels_from_stdin_are_loaded(credit: Dcmon, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        HEADER.replace("_dc_sample_id", "customer").replace("job", "job,comment") + "a,1772366400,1,4,x,y\n"
    )
    message = credit("ingest", "file", str(path), "--model", "credit")
    assert message.returncode == 2
    assert f"{path}: The file's columns do not match the fields of samples." in message.stderr
    assert "no column for _dc_sample_id. Its columns customer, comment are not fields" in message.stderr
    assert load(credit, str(path), "--map", "customer=_dc_sample_id", "--ignore-extra")["stored"] == 1

    done = subprocess.run(
        [COMMAND, "-o", "json", "ingest", "file", "-", "--model", "credit", "--labels", "--format", "jsonl"],
        input='{"_dc_sample_id": "a", "_dc_label": 1}\n', env=credit.environment, cwd="/", capture_output=True,
        text=True, timeout=300, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)[0]["stored"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["no.csv", "--model", "credit"], 5, "There is no file"),
        (["may.csv", "--model", "absent"], 5, "There is no model 'absent'"),
        (["may.csv", "--model", "credit", "--version", "v9"], 5, "'v9'"),
        (["may.csv", "--model", "credit", "--map", "age"], 2, "is not COLUMN=FIELD"),
        (["may.csv", "--model", "credit", "--map", "age=aeg"], 2, "can't be mapped to 'aeg'"),
        (["may.txt", "--model", "credit"], 2, "Use --format"),
        (["may.csv", "--model", "credit", "--format", "parquet"], 2, "can't be read as Parquet"),
        (["empty", "--model", "credit", "--format", "csv"], 2, "The directory {}/empty is empty."),
        (["*.orc", "--model", "credit"], 5, "No file matches '{}/*.orc'."),
        (["empty.csv", "--model", "credit"], 2, "empty.csv is empty: a CSV begins with a header."),
    ],
)
def test_unloadable_file_is_refused_with_its_reason(
    credit: Dcmon, may: Path, arguments: list[str], code: int, sentence: str
) -> None:
    may.with_suffix(".txt").write_text("x")
    may.with_name("empty.csv").touch()
    may.with_name("empty").mkdir()
    done = credit("ingest", "file", str(may.parent / arguments[0]), *arguments[1:])

    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert sentence.format(may.parent) in done.stderr


def test_options_say_how_a_file_is_written(credit: Dcmon, tmp_path: Path) -> None:
    """One file with all options, loaded by hand and by a source that keeps them."""
    lake = tmp_path / "lake"
    lake.mkdir()
    path = lake / "may.csv"
    text = HEADER.replace(",", ";") + "a;01/06/2026 10:00;1;1.234,5;-\nb;02/06/2026 10:00;0;-;Köln\n"
    path.write_bytes(text.encode("latin-1"))
    os.utime(path, (0, 0))
    options = ["--delimiter", ";", "--encoding", "latin-1", "--decimal", ",", "--thousands", ".", "--null", "-"]
    options += ["--date-order", "day", "--time-zone", "Europe/Berlin"]

    assert load(credit, str(path), *options)["stored"] == 2
    added = credit.json("source", "create", "lake", str(lake), "--model", "credit", *options)
    assert added["dialect"] == {
        "delimiter": ";", "encoding": "iso8859-1", "decimal": ",", "thousands": ".", "null": ["-"],
        "time_zone": "Europe/Berlin", "date_order": "day",
    }  # fmt: skip
    (scan,) = credit.json("source", "scan", "lake")
    assert (scan["loaded"], scan["duplicates"], scan["quarantined"]) == (1, 2, 0)
    shown = credit("-o", "json", "sample", "show", "a", "--model", "credit").stdout
    assert "2026-06-01T08:00:00" in shown
    assert "1234.5" in shown


def test_directory_of_spark_loads_its_partitions(credit: Dcmon, tmp_path: Path) -> None:
    """The partitions' column is in no file. What is being written, and a broken file, don't stop the others."""
    lake, header = tmp_path / "lake", HEADER.replace(",job", "")
    for number, job in enumerate(("clerk", "r%C3%A9gie", "__HIVE_DEFAULT_PARTITION__")):
        part = lake / "scores" / f"job={job}" / f"part-0000{number}.csv"
        part.parent.mkdir(parents=True)
        part.write_text(header + row(number).replace(",clerk", ""))
        part.with_name(f".{part.name}.crc").touch()
    (lake / "scores" / "_SUCCESS").touch()

    done = credit("ingest", "file", str(lake), "--model", "credit")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Files below {lake}/scores\n" in done.stdout
    assert "3 files" in done.stdout.splitlines()[-1]
    again = credit.json("ingest", "file", str(lake / "scores" / "*" / "*.csv"), str(lake), "--model", "credit")
    assert [entry["was"] for entry in again] == ["in already"] * 3

    (lake / "next" / "_temporary").mkdir(parents=True)
    (lake / "next" / "part-00000.csv").write_text(HEADER + row(7))
    (lake / "broken.csv").write_text("a,b\n1,2\n")
    done = credit("-o", "json", "ingest", "file", str(lake), "--model", "credit")
    assert done.returncode == 8
    assert f"Spark is writing the directory {lake}/next." in done.stderr
    assert "broken.csv: The file's columns do not match" in done.stderr
    refused = credit("ingest", "file", str(lake / "next"), "--model", "credit")
    assert (refused.returncode, refused.stdout) == (6, "")


def test_constant_columns_are_stored_with_a_source(credit: Dcmon, tmp_path: Path) -> None:
    """`--set` gives a column that no file has, for files by hand, of a source and of a reference."""
    header, lake = HEADER.replace(",job", ""), tmp_path / "lake"
    (lake / "age=40").mkdir(parents=True)
    file = lake / "may.csv"
    file.write_text(header + row(1).replace(",clerk", ""))
    os.utime(file, (0, 0))
    assert load(credit, str(file), "--set", "job=clerk")["stored"] == 1
    assert load(credit, str(file), "--set", "job=clerk")["was"] == "in already"
    other = ["--set", "job=baker", "--max-rejected", "100%"]
    assert "conflict 1" in credit("ingest", "file", str(file), "--model", "credit", *other).stdout
    refused = credit("ingest", "file", str(file), "--model", "credit", "--set", "age=old", "--set", "job=x")
    assert (refused.returncode, "--set age=old: Expected a number" in refused.stderr) == (2, True)

    added = credit.json("source", "create", "lake", str(lake), "--model", "credit", "--set", "job=clerk")
    assert added["constants"] == {"job": "clerk"}
    (scan,) = credit.json("source", "scan", "lake")
    assert (scan["loaded"], scan["duplicates"], scan["failed"]) == (1, 1, 0)

    part = lake / "age=40" / "part-00000.json"
    part.write_text('{"_dc_prediction": 1}\n{"_dc_prediction": 0}\n')
    reference = ["reference", "load", str(lake / "age=*"), "--model", "credit", "--version", "v1"]
    assert credit.json(*reference, "--set", "job=clerk")["rows"] == 2
    (lake / "_temporary").mkdir()
    assert credit(*reference[:2], str(lake), *reference[3:]).returncode == 6


def test_file_shows_how_it_is_written_and_the_load_says_so(credit: Dcmon, tmp_path: Path) -> None:
    """A CSV of Excel, compressed, on the standard input; the same as a file, as a reference and in a source."""
    lake = tmp_path / "lake"
    lake.mkdir()
    text = "sep=;\r\n" + (HEADER + row(1) + row(2)).replace(",", ";").replace("\n", "\r\n") + ";;;;\r\n"
    compressed = pa.compress(text.encode("utf-16"), "zstd", asbytes=True)
    (lake / "may.csv.zst").write_bytes(compressed)
    os.utime(lake / "may.csv.zst", (0, 0))

    done = subprocess.run(
        [COMMAND, "-o", "json", "ingest", "file", "-", "--model", "credit", "--format", "csv"],
        input=compressed, env=credit.environment, cwd="/", capture_output=True, timeout=300, check=True,
    )  # fmt: skip
    (entry,) = json.loads(done.stdout)
    assert (entry["rows"], entry["stored"], entry["rejected"]) == (2, 2, 0)
    assert "-: encoding utf-16, delimiter ';', 1 blank row skipped\n" in done.stderr.decode()

    credit.json("source", "create", "lake", str(lake), "--model", "credit")
    scanned = credit("-o", "json", "source", "scan", "lake")
    assert json.loads(scanned.stdout)[0]["duplicates"] == 2, scanned.stderr
    assert "lake: may.csv.zst: encoding utf-16, delimiter ';', 1 blank row skipped" in scanned.stderr

    target = ["--model", "credit", "--version", "v1", "--ignore-extra"]
    loaded = credit("-o", "json", "reference", "load", str(lake / "may.csv.zst"), *target)
    assert (json.loads(loaded.stdout)["stored"], "delimiter ';'" in loaded.stderr) == (2, True), loaded.stderr


def test_file_in_another_encoding_is_refused_before_a_row(credit: Dcmon, tmp_path: Path) -> None:
    path = tmp_path / "may.csv"
    path.write_bytes((HEADER + row(1) + row(2).replace("clerk", "Köln")).encode("latin-1"))

    refused = credit("ingest", "file", str(path), "--model", "credit")
    assert (refused.returncode, samples(credit)) == (2, 0)
    assert "may.csv is not UTF-8 (line 3: 'Köln' in windows-1252" in " ".join(refused.stderr.split())
    assert load(credit, str(path), "--encoding", "windows-1252")["stored"] == 2


def test_file_without_storable_rows_fails(credit: Dcmon, may: Path, tmp_path: Path) -> None:
    """A file that can't be read does not affect other files."""
    rejected, broken = tmp_path / "rejected.csv", tmp_path / "broken.csv"
    rejected.write_text(HEADER + row(1, "old"))
    broken.write_text("a,b\n1,2\n")

    refused = credit("ingest", "file", str(rejected), "--model", "credit", "--max-rejected", "100%")
    assert (refused.returncode, "wrong_type 1" in refused.stdout) == (3, True)
    assert "None of the 1 rows" in refused.stderr
    done = credit("-o", "json", "ingest", "file", str(broken), str(may), "--model", "credit")
    assert done.returncode == 8
    assert [entry["stored"] for entry in json.loads(done.stdout)] == [10]
    assert "broken.csv" in done.stderr


def test_interrupted_load_is_continued(credit: Dcmon, engine: Engine, acme: Acme, tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    path.write_text(HEADER + "".join(row(number) for number in range(60_000)))

    def rows_in() -> int:
        with db.org_session(engine, acme.org) as session:
            return int(session.scalar(text("select coalesce(max(next_row), 0) from ingested_files")) or 0)

    with blocked_writer(engine, f"{acme.org.schema}.ingested_files", "new.next_row > 30000"):
        process = credit.start("ingest", "file", str(path), "--model", "credit")
        assert eventually(lambda: process.poll() is not None or is_waiting_for_a_lock(engine))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)

    assert process.returncode == 130, errors
    assert "Repeat the command" in errors
    assert 0 < samples(credit) == rows_in() < 60_000
    before = samples(credit)
    counted = load(credit, str(path), "--dry-run")
    done = credit("-o", "json", "ingest", "file", "--model", "credit", str(path))
    (entry,) = json.loads(done.stdout)
    assert f"{before:,} rows of {path} were loaded before." in done.stderr
    for counts in (counted, entry):
        assert (counts["in_before"], counts["rows"], counts["stored"]) == (before, 60_000 - before, 60_000 - before)
    assert (entry["was"], entry["duplicates"], samples(credit)) == ("resumed", 0, 60_000)


def test_directory_is_watched_from_first_file_to_removal(credit: Dcmon, may: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    assert credit("source", "create", "lake", str(lake / "x"), "--model", "credit").returncode == 5
    assert credit.json("source", "create", "lake", str(lake), "--model", "credit")["version"] == "v1"
    assert credit("source", "create", "lake", str(lake), "--model", "credit").returncode == 6
    may.rename(lake / "may.csv")
    os.utime(lake / "may.csv", (0, 0))

    (entry,) = credit.json("source", "scan", "lake")
    assert (entry["loaded"], entry["stored"], entry["quarantined"]) == (1, 10, 3)
    (lake / "bad.csv").write_text("a,b\n")
    os.utime(lake / "bad.csv", (0, 0))
    assert credit("source", "scan").returncode == 8
    second = credit("source", "scan")
    assert (second.returncode, second.stderr) == (
        0,
        '1 file still can\'t be read: "dcmon source show lake" lists it.\n',
    )
    third = credit("source", "scan", "--retry")
    assert (third.returncode, "still" in third.stderr) == (8, False)
    shown = credit.json("source", "show", "lake")
    assert [failed_file["file"] for failed_file in shown["failed_files"]] == ["bad.csv"]
    assert (shown["lost_within_a_day"]["rows"], shown["lost_within_a_day"]["of"]) == (3, 13)
    assert {(group["reason"], group["field"], group["row"]) for group in shown["rejected_rows"]} == {
        ("wrong_type", "age", 12), ("conflict", "_dc_sample_id", 13), ("malformed", None, 14),
    }  # fmt: skip
    assert "23.1% (3 of 13): conflict (_dc_sample_id), malformed" in credit("source", "list", "-o", "wide").stdout
    narrow = replace(credit, settings={**credit.settings, "COLUMNS": "80"})("source", "list").stdout
    header = " ".join(narrow.split("\n")[0].split())
    assert header == "name loaded failed lost within a day scanned at last error"
    assert "bad.csv" in credit("source", "show", "lake").stdout
    assert credit.json("source", "delete", "lake", "--dry-run") == {
        "deleted": "lake", "files": 2, "rows_kept": 10, "dry_run": True,
    }  # fmt: skip
    assert [source["name"] for source in credit.json("source", "list")] == ["lake"]
    assert credit("source", "delete", "lake").returncode == 2
    credit.json("source", "delete", "lake", "--yes")
    assert credit.json("source", "list") == []
    assert samples(credit) == 10


@pytest.fixture
def s3() -> Iterator[Server]:
    """Run an S3 server with a bucket."""
    with server() as created:
        created.client.create_bucket(Bucket="acme")
        yield created


def test_watched_bucket_errors_have_their_own_exit_codes(credit: Dcmon, s3: Server, may: Path) -> None:
    s3.put("acme", "credit/v1/may.csv", may.read_bytes())
    named = ("source", "create", "lake")

    def with_settings(**more: str) -> Dcmon:
        return replace(credit, settings={**credit.settings, **s3.environment, **more})

    dcmon = with_settings()
    assert dcmon(*named, "s3://nowhere/x", "--model", "credit").returncode == 5
    denied = with_settings(AWS_SECRET_ACCESS_KEY="wrong")(*named, "s3://acme/credit", "--model", "credit")
    assert (denied.returncode, "Check AWS_ACCESS_KEY_ID" in denied.stderr) == (4, True)
    away = with_settings(DCMON_S3__ENDPOINT_URL="http://127.0.0.1:1")(*named, "s3://acme/credit", "--model", "credit")
    assert (away.returncode, "S3 can't be reached" in away.stderr) == (7, True)

    dcmon.json(*named, "s3://acme/credit", "--model", "credit")
    assert dcmon.json("source", "scan")[0]["stored"] == 10
    assert samples(dcmon) == 10


def test_files_need_no_map_after_the_model_was_created(
    with_url: Callable[[str], Dcmon], database_url: str, acme: Acme, tmp_path: Path
) -> None:
    """A version keeps what files call its fields, for samples, labels and references; one model needs no --model."""
    created = with_url(database_url)
    names = ["--map", "order=_dc_sample_id", "--map", "scored at=_dc_time", "--map", "guess=_dc_prediction"]
    columns = ["--feature", "age:numeric", "--feature", "job:categorical", "--class", "0", "--class", "1"]
    created.json("model", "create", "shop", "--task", "binary", "--version", "v1", *columns, *names, "--map", "note=")
    samples_file, labels, reference = (tmp_path / name for name in ("may.csv", "outcomes.csv", "training.csv"))
    samples_file.write_text("order,scored at,guess,age,job,note\n7,2026-03-01,1,41,clerk,x\n8,2026-03-01,0,40,clerk,\n")
    labels.write_text("order,scored at,age,actual\n7,2026-03-01,41,0\n8,2026-03-01,40,0\n")
    reference.write_text("order,guess,age,job,note\n1,1,40,clerk,\n2,0,30,nurse,\n")

    (loaded,) = created.json("ingest", "file", str(samples_file))
    assert (loaded["stored"], loaded["rejected"]) == (2, 0)
    output = created("ingest", "file", str(labels), "--dry-run")
    assert f"{labels} has no predictions: its rows are labels." in output.stderr
    (loaded,) = created.json("ingest", "file", str(labels))
    assert (loaded["rows"], loaded["stored"], loaded["rejected"]) == (2, 2, 0)
    stored = created.json("reference", "load", str(reference), "--model", "shop", "--version", "v1")
    assert stored["stored"] == 2
    (version,) = created.json("model", "show", "shop")["versions"]
    assert version["file_columns"]["order"] == "_dc_sample_id"
    (shown,) = created.json("sample", "show", "7", "--model", "shop")
    assert shown["label"] == "0"


def test_unknown_column_of_labels_is_refused(credit: Dcmon, tmp_path: Path) -> None:
    """Only one column may have a usual name of a label, and a column of samples is no labels."""
    for header in ("id,label,target", "id,label,age_group", "id,value", "_dc_sample_id,label,age,pediction"):
        path = tmp_path / "odd.csv"
        path.write_text(header + "\n" + "1," * header.count(",") + "1\n")
        output = credit("ingest", "file", str(path))
        assert output.returncode == 2, header
        assert "do not match the fields of samples" in output.stderr


def test_several_models_ask_for_one(credit: Dcmon, may: Path) -> None:
    credit.json("model", "create", "other", "--task", "regression")
    output = credit("ingest", "file", str(may))
    assert output.returncode == 2
    assert "There are several models (credit, other): choose one with --model." in output.stderr


def refused_load(credit: Dcmon, *arguments: str) -> tuple[list[dict[str, object]], str]:
    """Run a load that ends with exit 3, and return its output and its errors."""
    done = credit("-o", "json", "ingest", "file", "--model", "credit", *arguments)
    assert done.returncode == 3, done.stderr
    return json.loads(done.stdout), done.stderr


def test_file_that_loses_too_many_rows_is_refused(credit: Dcmon, tmp_path: Path) -> None:
    """Nothing is stored of it, nor of other files of the command, and a later load begins at its first row."""
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_text(HEADER + "".join(row(n, "old" if n < 11 else "41") for n in range(200)))
    good.write_text(HEADER + row(1000))

    broken = tmp_path / "broken.csv"  # exit 8 if the other files were loaded
    broken.write_text("a,b\n1,2\n")
    for arguments in (
        [str(bad)],
        [str(good), str(bad)],
        [str(broken), str(bad)],
        [str(bad), "--dry-run"],
        [str(bad), "--max-rejected", "10"],
    ):
        listed, errors = refused_load(credit, *arguments)
        (entry,) = [entry for entry in listed if entry["file"] == str(bad)]
        assert (entry["rows"], entry["rejected"]) == (200, 11)
        assert entry["stored"] == (0 if entry["was"] == "refused" else 189), "a dry run counts what it would store"
        (rejection,) = entry["rejections"]  # type: ignore[misc]
        assert (rejection["field"], rejection["rows"], rejection["value"]) == ("age", 11, "old")
        assert rejection["row"] == 1
        assert "11 of the 200 rows" in errors
        assert "Nothing was stored." in errors
        assert samples(credit) == 0
    assert credit.json("quarantine", "list") == []
    assert "no share" in credit("ingest", "file", str(bad), "--model", "credit", "--max-rejected", "x").stderr

    assert load(credit, str(bad), "--max-rejected", "11") == {
        "rows": 200, "stored": 189, "duplicates": 0, "rejected": 11, "quarantined": {"wrong_type": 11}, "labels": 0,
        "in_before": 0, "in_since": None, "was": "loaded", "remarks": [],
    }  # fmt: skip
    bad.write_text(HEADER + "".join(row(n) for n in range(200)))
    corrected = load(credit, str(bad))
    assert (corrected["stored"], corrected["duplicates"], corrected["rejected"]) == (11, 189, 0)


def test_standard_input_is_judged_before_it_is_stored(credit: Dcmon) -> None:
    text_ = HEADER + "".join(row(n, "old" if n % 2 else "41") for n in range(100))
    command = [COMMAND, "ingest", "file", "-", "--model", "credit", "--format", "csv"]
    run = partial(
        subprocess.run, input=text_, env=credit.environment, cwd="/", capture_output=True, text=True, check=False
    )
    done = run(command)
    assert (done.returncode, "50 of the 100 rows" in done.stderr) == (3, True)
    assert samples(credit) == 0
    done = run([*command, "--max-rejected", "50%"])
    assert done.returncode == 0, done.stderr
    assert samples(credit) == 50


def test_pipe_of_the_shell_is_loaded(credit: Dcmon, tmp_path: Path) -> None:
    """As in: dcmon ingest file <(zcat may.csv.gz) --format csv"""
    pipe, text_ = tmp_path / "pipe", HEADER + "".join(row(n) for n in range(100))
    os.mkfifo(pipe)
    with subprocess.Popen(["/bin/sh", "-c", 'cat > "$0"', str(pipe)], stdin=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        writer.stdin.write(text_)
        writer.stdin.close()
        assert load(credit, str(pipe), "--format", "csv")["stored"] == 100


def test_file_that_becomes_bad_later_ends_with_what_is_in(credit: Dcmon, tmp_path: Path) -> None:
    """The first rows are good: the load goes to the end, and says which rows are stored."""
    path = tmp_path / "late.csv"
    path.write_text(HEADER + "".join(row(n, "old" if n >= 10_000 else "41") for n in range(11_000)))
    ((entry,), errors) = refused_load(credit, str(path))
    assert (entry["was"], entry["stored"], entry["rejected"]) == ("too many rejected", 10_000, 1_000)
    assert "1,000 of the 11,000 rows" in errors
    assert "10,000 of them now" in errors
    span = "--since 2026-03-01T12:00:00 --until 2026-03-01T14:46:40"
    command = f"dcmon sample delete --model credit --version v1 {span} --dry-run"
    assert command in errors
    (deleted,) = credit.json(*command.split()[1:])
    assert deleted["samples"] == 10_000

    ((again,), errors) = refused_load(credit, str(path))
    assert (again["was"], again["in_before"], again["rows"]) == ("too many rejected", 11_000, 0)
    assert "1,000 of the 11,000 rows" in errors, "it does not count as loaded"
    ((repeated,), errors) = refused_load(credit, str(path), "--again")
    assert (repeated["in_before"], repeated["duplicates"]) == (0, 11_000)
    assert load(credit, str(path), "--max-rejected", "100%")["was"] == "resumed"
    assert load(credit, str(path))["was"] == "in already"


def test_duplicates_do_not_hide_rejected_rows(credit: Dcmon, tmp_path: Path) -> None:
    """A file grows: its new rows are judged without the rows that are stored, but a few bad ones are no excess."""
    path = tmp_path / "grows.csv"
    path.write_text(HEADER + "".join(row(n, "old" if n % 50 == 0 else "41") for n in range(1_000)))
    assert load(credit, str(path))["rejected"] == 20
    assert load(credit, str(path), "--again")["duplicates"] == 1_000
    path.write_text(path.read_text() + "".join(row(n, "old" if n % 5 == 0 else "41") for n in range(1_000, 1_010)))
    assert load(credit, str(path))["rejected"] == 2
    path.write_text(path.read_text() + "".join(row(n, "old" if n % 5 == 0 else "41") for n in range(2_000, 2_100)))
    _, errors = refused_load(credit, str(path))
    assert "20 of the 100 rows that" in errors
    assert samples(credit) == 988


def test_labels_beside_samples_are_judged_alone(credit: Dcmon, tmp_path: Path) -> None:
    """Half of the labels are no class: the performance would be that of the others."""
    path = tmp_path / "labels.csv"
    lines = [row(n).replace("\n", ",\x00\n" if n % 10 == 0 else ",1\n") for n in range(100)]
    path.write_text(HEADER.replace("\n", ",_dc_label\n") + "".join(lines))
    _, errors = refused_load(credit, str(path))
    assert "10 of the 100 labels" in errors
    assert samples(credit) == 0


def test_first_rejected_rows_are_shown(credit: Dcmon, may: Path) -> None:
    shown = credit("ingest", "file", str(may), "--model", "credit", "--dry-run").stdout
    assert "Rejected rows" in shown
    assert '"old"' in shown
    (entry,) = credit.json("ingest", "file", str(may), "--model", "credit", "--dry-run")
    assert {(group["reason"], group["row"], group["line"]) for group in entry["rejections"]} == {
        ("wrong_type", 12, 13), ("conflict", 13, 14), ("malformed", 14, 15),
    }  # fmt: skip
    assert "Expected a number, got 'old'." in shown


def test_load_says_what_a_file_shows(credit: Dcmon, tmp_path: Path) -> None:
    """A sheet of a German Excel, and the option that is missing where nothing shows the order of dates."""
    path = tmp_path / "sheet.csv"
    rows = "s1;13.02.2026 13:30;1;1.234,5;NA\ns2;01.02.2026;0;7;clerk\n"
    path.write_text(HEADER.replace(",", ";") + rows)
    entry = load(credit, str(path), "--time-zone", "Europe/Berlin")
    assert (entry["stored"], entry["rejected"]) == (2, 0)
    assert entry["remarks"] == [
        "delimiter ';'",
        "decimal mark: , (1.234,5 of age in line 2)",
        "thousands mark: . (1.234,5 of age in line 2)",
        "date order of _dc_time: day first (13.02.2026 13:30 in line 2)",
        "job has 'NA' in line 2, which is a word like others. If it means null, give --null NA.",
    ]
    again = credit("ingest", "file", str(path), "--model", "credit", "--again", "--time-zone", "Europe/Berlin")
    assert f"{path}: decimal mark: , (1.234,5 of age in line 2)" in again.stderr

    path.write_text(HEADER + "s3,01/02/2026,1,1,clerk\n")
    refused = credit("ingest", "file", str(path), "--model", "credit", "--dry-run")
    assert "No date of _dc_time shows whether '01/02/2026' in line 2 has the day first" in refused.stderr
    assert load(credit, str(path), "--date-order", "month")["stored"] == 1

"""Command line of retention, corrections and quarantine on a running dcmon."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dcmon import db
from dcmon.commands.shared import list_fields
from dcmon.ingestion.intake import Direct
from dcmon.ingestion.raw_rows import Raw
from tests.conftest import TemplateWithAcme
from tests.helpers.installed import Dcmon
from tests.integration.conftest import labels, new_target, rows

NOW = datetime.now(UTC)


@pytest.fixture
def acme(database_url: str, template_with_acme: TemplateWithAcme, with_url: Callable[[str], Dcmon]) -> Dcmon:
    """Return dcmon with 300 old samples and labels, some new ones and bad rows."""
    engine = db.engine(database_url)
    target = new_target(engine, template_with_acme.acme.org)
    young = [_with_time(row, NOW - timedelta(minutes=number)) for number, row in enumerate(rows(5000, 20))]
    into = Direct(engine)
    into.ingest_samples(target.org, target.version_id, [Raw(row) for row in [*rows(0, 300), *young, b"null", b"{}"]])
    into.ingest_labels(target.org, target.model_id, [Raw(row) for row in labels(0, 300)])
    engine.dispose()
    return with_url(database_url)


def _with_time(row: bytes, time: datetime) -> bytes:
    return json.dumps({**json.loads(row), "_dc_time": time.isoformat()}).encode()


def require_refused(acme: Dcmon, code: int, sentence: str, *arguments: str) -> None:
    done = acme(*arguments)
    assert (done.returncode, sentence in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr


def test_samples_expire_by_organization_or_model_retention(acme: Dcmon) -> None:
    assert acme.json("prune", "--dry-run") == []
    expired = {"samples": 300, "ids": 300, "labels": 300, "quarter_hours": 10}
    terms = ["--samples", "30d", "--results", "1y"]
    asked = "The next prune, within an hour, deletes 300 samples (and what belongs to them)"
    require_refused(acme, 2, f"{asked} of 'acme' for ever. Continue?", "org", "set-retention", "acme", *terms)
    counted = acme.json("org", "set-retention", "acme", *terms, "--dry-run")
    assert (counted["dry_run"], counted["expired"]) == (True, expired)
    assert acme.json("org", "show")["samples_kept"] is None
    shown = acme.json("org", "set-retention", "acme", *terms, "--yes")
    assert (shown["samples_kept"], shown["results_kept"], shown["expired"]) == ("30d", "365d", expired)
    assert acme.json("org", "show")["samples_kept"] == "30d"
    assert acme.json("model", "set-retention", "credit", "none")["samples_kept"] is None
    assert acme.json("prune", "--dry-run") == []
    require_refused(acme, 2, f"{asked} of 'credit' for ever. Continue?", "model", "set-retention", "credit", "inherit")
    assert acme.json("model", "show", "credit")["samples_kept"] is None
    assert acme.json("model", "set-retention", "credit", "inherit", "--yes") == {
        "name": "credit", "samples_kept": "30d", "own": False, "expired": expired,
    }  # fmt: skip
    assert acme.json("model", "show", "credit")["samples_kept"] == "30d"

    counted = acme.json("prune", "--dry-run")
    assert {(table["version"], table["table"]): table["rows"] for table in counted} == {
        ("v1", "samples"): 300, ("v1", "ids"): 300, ("v1", "labels"): 300, ("v1", "quarter_hours"): 10,
    }  # fmt: skip
    require_refused(acme, 2, "Delete 300 samples (and what belongs to them) for ever?", "prune")
    removed = acme.json("prune", "--yes")
    assert [{**table, "dry_run": True} for table in removed] == counted
    assert acme.json("prune", "--yes") == []
    assert acme.json("audit")["is_well"]


def test_retention_of_many_is_asked_for_those_that_lose_rows(acme: Dcmon) -> None:
    """A dry run says how many rows, also where it does not say what changes of each organization."""
    names = ["acme", "beta", "gamma", "delta"]
    for name in names[1:]:
        acme.json("org", "create", name)
    change = ("org", "set", *names, "--samples", "30d")
    lost = "300 samples (and what belongs to them)"
    asked = f"The next prune, within an hour, deletes {lost} of 'acme' for ever. Continue?"
    require_refused(acme, 2, asked, *change)
    tried = f"this would change the 4 that are listed and let the next prune delete {lost}."
    require_refused(acme, 0, tried, *change, "--dry-run")


def test_invalid_retention_is_refused(acme: Dcmon) -> None:
    for sentence, arguments in (
        ("A duration looks like 90d, 12w or 2y, or none", ("org", "set-retention", "--samples", "soon")),
        ("too short", ("org", "set-retention", "--samples", "1h")),
        ("Nothing to set", ("org", "set-retention")),
        ("Give both: --samples none --results none.", ("org", "set-retention", "--results", "30d")),
        ("at least as long", ("org", "set-retention", "--samples", "60d", "--results", "30d")),
        ("too short", ("model", "set-retention", "credit", "5m")),
    ):
        require_refused(acme, 2, sentence, *arguments)
    require_refused(acme, 5, "'other'", "model", "set-retention", "other", "30d")


def test_unlimited_retention_is_shown_and_null_in_json(acme: Dcmon) -> None:
    about = acme.json("model", "show", "credit")
    assert (about["samples_kept"], about["label_delay"]) == (None, "3d")
    assert sum(about["quarantined"].values()) == 2
    assert re.search(r"samples kept +for ever", acme("model", "show", "credit").stdout)
    assert re.search(r"results kept +for ever", acme("org", "show", "acme").stdout)


def test_sample_delete_removes_a_day_and_one_row(acme: Dcmon) -> None:
    day = ("sample", "delete", "--model", "credit", "--from", "2026-03-01", "--to", "2026-03-01T01:00:00")
    counted = {"version": "v1", "samples": 120, "labels_that_wait": 120}
    assert acme.json(*day, "--dry-run") == [{**counted, "dry_run": True}]
    require_refused(acme, 2, "--yes", *day)
    assert acme.json(*day, "--yes", "--by", "ann") == [counted]
    assert acme.json(*day, "--dry-run") == [{"version": "v1", "samples": 0, "labels_that_wait": 0, "dry_run": True}]
    assert [row["state"] for row in acme.json("sample", "show", "s0", "--model", "credit")] == ["label waits"]
    stored = acme.json("sample", "show", "s200", "--model", "credit")[0]
    assert (stored["state"], stored["version"], stored["label"], stored["row"]["job"]) == ("stored", "v1", "0", "j0")
    assert "stored" in acme("sample", "show", "s200", "--model", "credit").stdout
    require_refused(acme, 5, "'nobody'", "sample", "show", "nobody", "--model", "credit")
    require_refused(acme, 5, "'v9'", *day, "--version", "v9")
    require_refused(acme, 2, "before it begins", *day[:4], "--from", "2026-03-02", "--to", "2026-03-01")
    assert acme.json("audit")["is_well"]


@pytest.mark.parametrize("verb", ["list", "retry", "drop"])
def test_unmatched_quarantine_filter_is_reported(acme: Dcmon, verb: str) -> None:
    wrong = ("--model", "credit", "--version", "v9")
    for code, sentence, arguments in (
        (5, "There is no model 'nope'. \"dcmon model list\"", ("--model", "nope")),
        (5, "no version 'v9' of model 'credit'. Do you mean 'v1'? \"dcmon version list --model credit\"", wrong),
        (5, "No model has a version 'v9'", ("--version", "v9")),
        (2, "--reason: There is no reason 'typo'. It is one of conflict, ", ("--reason", "typo")),
    ):  # fmt: skip
        require_refused(acme, code, sentence, "quarantine", verb, *arguments)
    done = acme("quarantine", verb, "--reason", "conflict")
    assert (done.returncode, done.stderr) == (0, "No quarantined row matches.\n")


@pytest.mark.parametrize("verb", ["retry", "drop"])
def test_quarantine_ids_exclude_filters_and_must_exist(acme: Dcmon, verb: str) -> None:
    known = str(acme.json("quarantine", "list")[0]["example"])
    for more in (["--all"], ["--model", "credit"], ["--reason", "malformed"]):
        require_refused(acme, 2, "only one of the three", "quarantine", verb, known, *more)
    require_refused(acme, 5, "There is no quarantined row 98 or 99", "quarantine", verb, known, "98", "99")
    assert len(acme.json("quarantine", "list", "--rows")) == 2


def test_list_of_quarantined_rows_fits_80_columns(acme: Dcmon, tmp_path: Path) -> None:
    path = tmp_path / "may.csv"
    path.write_text(f"_dc_sample_id,_dc_time,_dc_prediction,age,job\n{'x' * 200},2100-01-01,1,4,a\n")
    assert acme("ingest", "file", str(path), "--model", "credit", "--max-rejected", "100%").returncode == 3

    narrow = replace(acme, settings={**acme.settings, "COLUMNS": "80"})("quarantine", "list", "--rows").stdout
    assert max(map(len, narrow.splitlines())) <= 80
    assert "future_timestamp" in narrow
    assert "x" * 200 not in narrow
    assert "detail" not in narrow
    wide = acme("quarantine", "list", "--rows").stdout
    assert f" {'x' * 31}… " in wide
    assert "after receipt" in wide
    (row,) = acme.json("quarantine", "list", "--rows", "--source", str(path))
    assert list(row) == list_fields.FIELDS["quarantine list --rows"].split()
    assert (row["sample_id"], row["file"], row["reason"]) == ("x" * 200, str(path), "future_timestamp")
    assert str(path) in acme("quarantine", "show", str(row["id"])).stdout


def test_list_of_quarantined_rows_shows_the_value(acme: Dcmon, tmp_path: Path) -> None:
    """Counts and rows show the value that was met, as JSON: the text "1" is not the number 1."""
    path = tmp_path / "a.jsonl"
    sample = {"_dc_sample_id": "a", "_dc_time": NOW.isoformat(), "_dc_prediction": "1", "age": 4, "job": "cook"}
    bad = [{**sample, "age": "forty"}, {**sample, "colour": "red"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in bad))
    acme("ingest", "file", str(path), "--model", "credit", "--max-rejected", "100%")

    groups = {group["reason"]: group for group in acme.json("quarantine", "list") if group["field"]}
    assert {reason: (group["field"], group["value"]) for reason, group in groups.items()} == {
        "wrong_type": ("age", "forty"),
        "unknown_field": ("colour", "red"),
        "missing_feature": ("_dc_sample_id", None),  # of the rows that are there before
    }
    listed = acme("quarantine", "list", "--source", str(path)).stdout
    assert '"forty"' in listed
    assert "age" in listed
    assert '"red"' in acme("quarantine", "list", "--rows", "--source", str(path)).stdout
    narrow = replace(acme, settings={**acme.settings, "COLUMNS": "80"})(
        "quarantine", "list", "--source", str(path)
    ).stdout
    assert max(map(len, narrow.splitlines())) <= 80
    assert '"forty"' in narrow
    shown = acme.json("quarantine", "show", str(groups["wrong_type"]["example"]))
    assert (shown["value"], shown["field"]) == ("forty", "age")
    assert shown["detail"] == groups["wrong_type"]["detail"]


def test_sample_is_shown_as_json_and_not_rounded(acme: Dcmon, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    sample = {"_dc_sample_id": "a", "_dc_time": NOW.isoformat(), "_dc_prediction": "1", "age": 1088.3612, "job": "a, b"}
    path.write_text(json.dumps({**sample, "_dc_prediction_probabilities": [0.25, 0.75]}) + "\n")
    assert acme("ingest", "file", str(path), "--model", "credit").returncode == 0

    output = acme("sample", "show", "a", "--model", "credit").stdout

    for part in ('"age": 1088.3612', '"job": "a, b"', '"_dc_prediction_probabilities": [0.25, 0.75]'):
        assert part in output, output


def test_quarantine_is_counted_shown_retried_and_dropped(acme: Dcmon) -> None:
    groups = acme.json("quarantine", "list")
    assert sorted((group["model"], group["version"], group["rows"]) for group in groups) == [("credit", "v1", 1)] * 2
    listed = acme.json("quarantine", "list", "--rows", "--model", "credit")
    assert {listed_row["row"] for listed_row in listed} == {"null", "{}"}
    shown = acme.json("quarantine", "show", str(groups[0]["example"]))
    assert shown["reason"] == groups[0]["reason"]
    assert "reason" in acme("quarantine", "list").stdout

    again = acme("-o", "json", "quarantine", "retry", "--all")
    assert (again.returncode, json.loads(again.stdout)["tried"]) == (8, 2)
    assert sum(json.loads(again.stdout)["refused_again"].values()) == 2
    assert acme.json("quarantine", "list", "--rows") == listed

    require_refused(acme, 2, "--all", "quarantine", "delete", "--yes")
    require_refused(acme, 2, "--yes", "quarantine", "delete", "--all")
    assert acme.json("quarantine", "delete", "--all", "--dry-run") == {"deleted": 2, "dry_run": True}
    assert acme.json("quarantine", "delete", str(listed[0]["id"]), "--yes") == {"deleted": 1}
    assert acme.json("quarantine", "delete", "--all", "--yes") == {"deleted": 1}
    require_refused(acme, 5, "99", "quarantine", "show", "99")
    assert acme.json("audit")["is_well"]

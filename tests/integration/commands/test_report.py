"""`dcmon report`: the pages of a model as one file."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dcmon.app import App
from tests.helpers import valued_model
from tests.helpers.evaluation import day
from tests.helpers.installed import Dcmon
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.integration.conftest import Target

MOST_BYTES = 1_000_000


@pytest.fixture
def dcmon(app: App, target: Target, database_url: str, with_url: Callable[[str], Dcmon]) -> Dcmon:
    """Return the command line of a model with rows, refused rows and an alert."""
    create_rule(target, "> 0.2")
    valued_model.fill(app, target, days=3)
    for number, value in enumerate((0.1, 0.5)):
        store_and_judge(target, number, value)
    app.ingestion.ingest_samples(target.org, target.version_id, [b'{"age": "<b>"}'])
    return with_url(database_url)


def test_report_is_one_complete_file(dcmon: Dcmon, tmp_path: Path) -> None:
    file = tmp_path / "credit.html"
    written = dcmon.json("report", "credit", "--out", str(file))
    page = file.read_text()

    assert (written["monitors"], written["alerts"], written["bytes"]) == (1, 1, len(page.encode()))
    assert len(page) < MOST_BYTES
    for part in ('id="alert-1"', "What moved", 'id="features-1"', 'id="data"', "Refused rows", "&lt;b&gt;"):
        assert part in page
    assert 'href="#alert-1"' in page
    assert "team" not in page, "receivers are not named"
    assert page.endswith("</html>\n")
    assert list(tmp_path.iterdir()) == [file]
    again = dcmon("report", "credit", "--out", str(file))
    assert (again.returncode, "exists already. Choose another name, or replace it" in again.stderr) == (6, True)
    assert dcmon("report", "credit", "--out", str(file), "--replace").returncode == 0


def test_report_goes_to_stdout_in_each_format(dcmon: Dcmon) -> None:
    printed = dcmon("report", "credit", "--out", "-", "--since", "2026-03-01")
    assert printed.stdout.startswith("<!doctype html>")
    assert dcmon("-o", "json", "report", "credit", "-f", "-").stdout.endswith("</html>\n")


def test_report_of_a_past_period_has_its_windows_and_alerts(dcmon: Dcmon, tmp_path: Path) -> None:
    """The alert began on the second day: a report until the first day's end does not have it."""
    file, until = tmp_path / "past.html", f"{day(0).end:%Y-%m-%d}"
    written = dcmon.json("report", "credit", "--out", str(file), "--until", until)
    page = file.read_text()
    assert written["alerts"] == 0
    assert 'id="alert-1"' not in page
    assert f"windows and alerts until {until};" in page
    next_day = dcmon("report", "credit", "--out", "-", "--until", f"{day(1).end:%Y-%m-%d}")
    assert 'id="alert-1"' in next_day.stdout


def test_report_that_fails_leaves_no_file(dcmon: Dcmon, tmp_path: Path) -> None:
    unknown = dcmon("report", "credits", "--out", str(tmp_path / "x.html"))
    assert (unknown.returncode, "'credit'" in unknown.stderr) == (5, True)
    refused = dcmon("report", "credit", "--file", str(tmp_path / "none" / "x.html"), "-o", "json")
    assert refused.returncode == 3
    assert "No such file or directory" in json.loads(refused.stderr)["error"]["message"]
    assert list(tmp_path.iterdir()) == []

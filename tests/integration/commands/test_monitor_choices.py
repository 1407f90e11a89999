"""Options that choose the data of a monitor, and suggestions for misspelled ones."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from dcmon.app import App
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from tests.conftest import Acme
from tests.helpers.installed import Dcmon

COLUMNS = {"age": "numeric", "home town": "categorical"}
START = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def credit(app: App, acme: Acme, database_url: str, with_url: Callable[[str], Dcmon]) -> Dcmon:
    """Create a model with two versions, samples of four days and a blank in a feature name."""
    with app.org(acme.org) as session:
        model = models.create(session, NewModel("credit", "binary"))
        version_ids = [
            versions.create(session, model, NewVersion(name, COLUMNS, classes=["0", "1"])).id for name in ("v1", "v2")
        ]
    for number, version in enumerate(version_ids):
        rows = [
            {"_dc_sample_id": f"{version}/{n}", "_dc_time": (START + timedelta(minutes=15 * n)).isoformat(),
             "_dc_prediction": str(n % 2), "age": (None if n % 4 else n % 50) if number else n % 50,
             "home town": ("Oslo", "L'Aquila", None)[n % 3]}
            for n in range(4 * 96 + 1)
        ]  # fmt: skip
        app.ingestion.ingest_samples(acme.org, version, [json.dumps(row).encode() for row in rows])
    return with_url(database_url)


def create(credit: Dcmon, name: str, check: str, *more: str) -> object:
    return credit("monitor", "create", name, "--model", "credit", "--check", check, *more)


def test_filtered_monitor_reads_matching_rows_of_each_version(credit: Dcmon) -> None:
    """Each version has its own row in the output."""
    town = "\"home town\" == 'L''Aquila' and time < 2026-03-05"
    chosen = ["--feature", "age", "--aggregation", "max", "--filter", town, "--filter", "prediction in (1, 0)"]
    create(credit, "In L'Aquila", "PercentOfNulls", *chosen)
    credit("monitor", "run", "In L'Aquila", "--from", "2026-03-01")
    results = credit.json("monitor", "history", "credit/In L'Aquila")
    assert [
        (result["version"], result["window_end"][:10], result["n"], result["value"])
        for result in results
        if result["n"]
    ] == [(version, f"2026-03-0{day}", 32, value) for day in (3, 4, 5) for version, value in (("v1", 0), ("v2", 0.75))]
    assert {stored_result["reason"] for stored_result in results if not stored_result["n"]} == {
        'No row of the window matches the monitor\'s filters. "dcmon monitor show" shows the filters.'
    }
    shown = credit("monitor", "show", "In L'Aquila").stdout
    assert "\"home town\" == 'L''Aquila' and time < '2026-03-05' and prediction in (1, 0)" in shown.replace("\n", "")
    listed = credit.json("monitor", "list")
    assert {(listed_version["version"], listed_version["last"]) for listed_version in listed} == {
        ("v1", 0.0),
        ("v2", 0.75),
    }
    assert "v2" in credit("monitor", "list").stdout


def test_monitor_compares_with_the_previous_window(credit: Dcmon) -> None:
    create(credit, "Drift", "FeatureDrift", "--compare", "previous", "--param", "min_samples=20")
    credit("monitor", "run", "Drift", "--at", "2026-03-04")
    results = credit.json("monitor", "history", "Drift")
    assert {result["compared_end"][:10] for result in results if result["window_end"].startswith("2026-03-04")} == {
        "2026-03-03"
    }
    assert {
        stored_result["state"] for stored_result in results if stored_result["window_end"].startswith("2026-03-04")
    } == {"OK"}
    assert credit.json("monitor", "show", "Drift")["compared_with"] == "previous"


SLIPS: list[tuple[str, list[str], str]] = [
    ("PercentOfNulls", ["--filter", "agee > 3"], "There is no column 'agee' to filter by. Do you mean 'age'?"),
    ("PercentOfNulls", ["--filter", "age > old"], "Column 'age' is numeric; it can't be compared with 'old'."),
    ("PercentOfNulls", ["--filter", "age >"], "'age >' is not a filter. A value is missing."),
    ("PercentOfNulls", ["--filter", "age like 3"], "is not a filter."),
    ("PercentOfNulls", ["--feature", "agee"], "There is no feature 'agee'. Do you mean 'age'?"),
    ("PercentOfNulls", ["--aggregation", "best"], "There is no aggregation 'best'."),
    ("PercentOfNulls", ["--compare", "previous"], "PercentOfNulls reads only one window"),
    ("PercentOfNulls", ["--scorer", "f1"], "PercentOfNulls has no choice of scorer (--scorer)"),
    (
        "FeatureDrift",
        ["--compare", "yesterday"],
        "There is no comparison 'yesterday'. It is one of reference, previous or week.",
    ),
    ("FeatureDrift", ["--compare", "week", "--frequency", "MONTH"], "longer than a week"),
    ("FeatureDrift", ["--param", "min_samples"], "'min_samples' is not NAME=VALUE"),
    ("SingleDatasetPerformance", ["--scorer", "acuracy"], "Do you mean 'accuracy'?"),
    ("SingleDatasetPerformance", ["--scorer", "rmse"], "There is no scorer 'rmse' for a binary model."),
    ("SingleDatasetPerformance", ["--scorer", "recall_per_class", "--class", "yes"], "There is no class 'yes'."),
    ("FeatureDrif", [], "There is no check 'FeatureDrif'. Do you mean 'FeatureDrift'?"),
    ("RocReport", [], "returns a report, not a number"),
]


def test_misspelled_option_is_refused_with_a_suggestion(credit: Dcmon) -> None:
    for check, options, message in SLIPS:
        done = credit("monitor", "create", "Slip", "--model", "credit", "--check", check, *options)
        assert done.returncode == (5 if check == "FeatureDrif" else 2), message
        assert message in " ".join(done.stderr.split())
    assert credit.json("monitor", "list") == []

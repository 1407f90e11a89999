"""The value of a check in groups of rows: each is what the group's filters give."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from dcmon.app import App
from dcmon.storage import models, versions
from dcmon.storage.versions import NewVersion
from tests.conftest import Acme
from tests.helpers import valued_model
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.valued_model import DAYS, START
from tests.integration.conftest import Target
from tests.integration.http.test_rules import send_request

RANGE = {"start_time": START.isoformat(), "end_time": (START + timedelta(days=DAYS)).isoformat()}


@pytest.fixture
def endpoint(app: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    """Serve a model with four days of samples and labels, and a reference."""
    valued_model.fill(app, target)
    with serving(app, acme.token) as client:
        yield client


def groups(endpoint: Endpoint, check: int, version: int, column: str, status: int = 200, **body: Any) -> Any:
    path = f"checks/{check}/group-by/{version}/{quote(column)}"
    return send_request(endpoint, "POST", path, {**RANGE, **body}, status)


@pytest.mark.parametrize(
    "class_name",
    ["SingleDatasetPerformance", "FeatureDrift", "PercentOfNulls", "LabelDrift", "PredictionDrift", "ScoreFall"],
)
@pytest.mark.parametrize("column", ["age", "job", "_dc_prediction"])
def test_group_has_the_value_of_its_filters(
    app: App, target: Target, endpoint: Endpoint, class_name: str, column: str
) -> None:
    """The old system made a query for each group; all at once give the same numbers."""
    check = valued_model.create_check(app, target, class_name)
    body = {"filter": {"filters": [{"column": "age", "operator": "less_than", "value": 60}]}}
    shown = groups(endpoint, check, target.version_id, column, **body)
    assert (shown[0]["name"], shown[0]["filters"]) == ("All Data", body["filter"])
    assert sum(group["count"] for group in shown[1:]) == shown[0]["count"]
    assert len(shown) > 2
    for group in shown:
        expected = send_request(
            endpoint, "POST", f"checks/{check}/run/window?details=true", {**RANGE, "filter": group["filters"]}
        )
        value, n = expected["output"]["v1"], expected["details"]["v1"]["n"]
        assert (group["value"] is None) == (value is None)
        assert value is None or group["value"] == pytest.approx(value, rel=1e-12)
        assert n == group["count"]


def test_numbers_are_grouped_at_quantiles(app: App, target: Target, endpoint: Endpoint) -> None:
    """A column without a value has a group of its own, and names show where groups begin and end."""
    check = valued_model.create_check(app, target, "PercentOfNulls")
    shown = groups(endpoint, check, target.version_id, "age")
    assert [group["count"] for group in shown] == [480, 234, 234, 12]
    first, second, null = shown[1:]
    assert (first["name"][0], first["name"][-1], second["name"][0], second["name"][-1]) == ("[", ")", "[", "]")
    assert first["name"][:-1].split(", ")[1] == second["name"][1:].split(", ")[0]
    low, high = first["filters"]["filters"]
    assert (low["operator"], high["operator"]) == ("greater_than_equals", "less_than_equals")
    assert low["value"] < high["value"]
    assert (null["name"], null["filters"]["filters"][0]["value"]) == ("Null", None)
    assert null["value"] == {"Max Null Ratio": 1.0}


def test_labels_checks_count_labelled_rows(app: App, target: Target, endpoint: Endpoint) -> None:
    check = valued_model.create_check(app, target, "SingleDatasetPerformance")
    labelled = int(target.scalar("select sum(n_labelled) from quarter_hours"))
    shown = groups(endpoint, check, target.version_id, "job")
    assert (shown[0]["count"], sum(group["count"] for group in shown[1:])) == (labelled, labelled)
    assert labelled < 120 * DAYS


@pytest.mark.parametrize(("column", "count"), [("city", 4), ("seen_at", 2), ("is_new", 2), ("wage", 2)])
def test_additional_columns_make_groups(app: App, target: Target, endpoint: Endpoint, column: str, count: int) -> None:
    """The old system failed for additional data, booleans and times."""
    second = valued_model.add_second_version(app, target)
    check = valued_model.create_check(app, target, "PercentOfNulls")
    shown = groups(endpoint, check, second.version_id, column)
    assert (len(shown), shown[0]["count"]) == (count + 1, 120)
    for group in shown:
        body = {**RANGE, "filter": group["filters"]}
        path = f"checks/{check}/run/window?details=true"
        assert send_request(endpoint, "POST", path, body)["details"]["v2"]["n"] == group["count"]


def test_wide_version_with_odd_names_makes_groups(app: App, target: Target, endpoint: Endpoint) -> None:
    """Columns in arrays, names with slashes and colons, and equal values."""
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        features = {f"n:{number}/%": "numeric" for number in range(1100)} | {"kind": "categorical"}
        version = versions.create(session, model, NewVersion("wide", features)).id
    rows = [
        {
            "_dc_sample_id": f"w{number}", "_dc_time": (START + timedelta(seconds=number)).isoformat(),
            "_dc_prediction": "1", "kind": None, **{name: number % 2 for name in features if name != "kind"},
        }
        for number in range(50)
    ]  # fmt: skip
    app.ingestion.ingest_samples(target.org, version, [json.dumps(row).encode() for row in rows])
    check = valued_model.create_check(app, target, "PercentOfNulls")
    shown = groups(endpoint, check, version, "n:3/%")
    assert [(group["name"], group["count"]) for group in shown] == [("All Data", 50), ("0", 25), ("1", 25)]
    assert [group["name"] for group in groups(endpoint, check, version, "kind")] == ["All Data", "Null"]


def test_column_that_makes_no_groups_is_refused(app: App, target: Target, endpoint: Endpoint) -> None:
    check = valued_model.create_check(app, target, "PercentOfNulls")
    for column in ("nix", "_dc_time", "_dc_prediction_probabilities"):
        refused = groups(endpoint, check, target.version_id, column, 400)["error_message"]
        assert ("lookback" in refused) == (column == "_dc_time")
    groups(endpoint, check, 99, "age", 404)
    groups(endpoint, 99, target.version_id, "age", 404)
    groups(endpoint, check, target.version_id, "age", 404, start_time="2020-01-01T00:00:00Z", end_time="2020-01-02")
    flow = valued_model.create_check(app, target, "DataFlow")
    groups(endpoint, flow, target.version_id, "age", 400)

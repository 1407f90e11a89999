"""What deepchecks shows of checks, over HTTP: plots and tables of the rows that the run routes read."""

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from dcmon.app import App
from dcmon.monitoring import lifecycle
from dcmon.storage import models, versions
from dcmon.storage.versions import NewVersion
from dcmon.tenancy import members, organizations, provisioning, tokens
from dcmon.tenancy.permissions import Role
from tests.conftest import Acme
from tests.helpers import valued_model
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.valued_model import START
from tests.helpers.waiting import PATIENCE
from tests.integration.conftest import Target
from tests.integration.http.test_rules import send_request

RANGE = {"start_time": START.isoformat(), "end_time": (START + timedelta(days=2)).isoformat()}
NOWHERE = {"start_time": "2020-01-01T00:00:00Z", "end_time": "2020-01-02T00:00:00Z"}
INSTALL = "with the extra [deepchecks]"


@pytest.fixture
def endpoint(app: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    """Serve a model with two days of samples and labels, and a reference. A busy machine gets time to compute."""
    app.settings.http.computation_time = timedelta(seconds=PATIENCE)
    valued_model.fill(app, target, days=2)
    with serving(app, acme.token) as client:
        yield client


def display(endpoint: Endpoint, check: int, version: int, status: int = 200, **body: Any) -> Any:
    return send_request(endpoint, "POST", f"checks/{check}/display/{version}", {**RANGE, **body}, status)


def figures(shown: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [json.loads(picture["data"]) for picture in shown if picture["type"] == "plotly"]


def test_each_check_of_the_library_is_shown(app: App, target: Target, endpoint: Endpoint) -> None:
    """Each has a plot or a table, except those that have nothing to say of clean columns: an empty list."""
    kinds = {}
    for name in ("FeatureDrift", "PredictionDrift", "LabelDrift", "NewLabelTrainTest", "NewCategoryTrainTest"):
        shown = display(endpoint, valued_model.create_check(app, target, name), target.version_id)
        assert all(set(picture) == {"type", "data"} for picture in shown)
        kinds[name] = {picture["type"] for picture in shown}
        assert all("data" in figure and "layout" in figure for figure in figures(shown))
    for name in ("MixedNulls", "PercentOfNulls", "StringMismatch", "TrainTestFeatureDrift"):
        shown = display(endpoint, valued_model.create_check(app, target, name), target.version_id)
        kinds[name] = {picture["type"] for picture in shown}
    drift = ("FeatureDrift", "TrainTestFeatureDrift", "PredictionDrift", "LabelDrift", "PercentOfNulls")
    assert all("plotly" in kinds[name] for name in drift), kinds
    assert all(shown <= {"plotly", "table"} for shown in kinds.values())


@pytest.mark.parametrize("name", ["NewCategoryTrainTest", "CategoryMismatchTrainTest"])
def test_new_value_of_a_boolean_is_shown(app: App, target: Target, endpoint: Endpoint, name: str) -> None:
    """The library selects rows with the new values of a column; booleans were taken for a mask of its rows."""
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        new = NewVersion("flags", {"age": "numeric", "is_new": "boolean"}, classes=["0", "1"])
        version = versions.create(session, model, new).id
    output = {"_dc_prediction": "1", "_dc_prediction_probabilities": [0.5, 0.5], "age": 3.5}
    rows = [
        {**output, "_dc_sample_id": f"b{number}", "_dc_time": START.isoformat(), "is_new": number % 2 == 0}
        for number in range(20)
    ]
    assert endpoint.samples(version, [json.dumps(row).encode() for row in rows]).status == 200
    columns = ["age", "is_new", "_dc_prediction", "_dc_prediction_probabilities"]
    document = json.dumps({"columns": columns, "data": [[2.5, False, "1", [0.5, 0.5]]] * 10}).encode()
    with app.org(target.org) as session:
        lifecycle.append_reference(session, *versions.get(session, version), document)
    shown = display(endpoint, valued_model.create_check(app, target, name), version)
    assert "is_new" in str(shown)
    assert "true" in str(shown)


def test_performance_is_shown_as_confusion_matrix(app: App, target: Target, endpoint: Endpoint) -> None:
    """The matrix counts the labelled rows that match the filters: as many as the run route says."""
    check = valued_model.create_check(app, target, "SingleDatasetPerformance")
    filters = {"filters": [{"column": "age", "operator": "less_than", "value": 50}]}
    shown = display(endpoint, check, target.version_id, filter=filters)
    (matrix,) = [trace["text"] for figure in figures(shown) for trace in figure["data"] if trace["type"] == "heatmap"]
    run = send_request(endpoint, "POST", f"checks/{check}/run/window?details=true", {**RANGE, "filter": filters})
    counts = send_request(endpoint, "POST", f"checks/{check}/run/window?details=true", RANGE)
    assert 0 < run["details"]["v1"]["n"] < counts["details"]["v1"]["n"]
    assert sum(map(sum, matrix)) == run["details"]["v1"]["n"]


def test_own_check_of_dcmon_is_shown_as_tables(app: App, target: Target, endpoint: Endpoint) -> None:
    check = valued_model.create_check(app, target, "NullRise")
    value = send_request(endpoint, "POST", f"checks/{check}/run/window", RANGE)["v1"]
    shown = display(endpoint, check, target.version_id)
    assert {picture["type"] for picture in shown} == {"table"}
    metrics = json.loads(shown[0]["data"])
    assert {row["Metric"]: row["Value"] for row in metrics} == pytest.approx(value)


def test_display_without_rows_or_version_is_not_found(app: App, target: Target, endpoint: Endpoint) -> None:
    check = valued_model.create_check(app, target, "PercentOfNulls")
    assert "has no samples" in display(endpoint, check, target.version_id, 404, **NOWHERE)["error_message"]
    assert "has no version 999" in display(endpoint, check, 999, 404)["error_message"]
    display(endpoint, 999, target.version_id, 404)
    nobody = {"filters": [{"column": "age", "operator": "less_than", "value": -1e9}]}
    assert "match" in display(endpoint, check, target.version_id, 404, filter=nobody)["error_message"]


def test_check_that_has_no_value_says_why(app: App, target: Target, endpoint: Endpoint) -> None:
    check = valued_model.create_check(app, target, "FeatureDrift", columns=["age"], min_samples=100_000)
    assert "100,000" in display(endpoint, check, target.version_id, 400)["error_message"]


def test_display_without_deepchecks_says_what_to_install(
    app: App, target: Target, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = valued_model.create_check(app, target, "PercentOfNulls")
    own = valued_model.create_check(app, target, "NullRise")
    monkeypatch.setitem(sys.modules, "deepchecks", None)  # an import of it fails, as if it was not installed
    assert INSTALL in display(endpoint, check, target.version_id, 501)["error_message"]
    path = f"model-versions/{target.version_id}/suite-run"
    assert INSTALL in send_request(endpoint, "POST", path, RANGE, 501)["error_message"]
    assert display(endpoint, own, target.version_id)


def test_stranger_gets_no_display_report_or_notebook(app: App, acme: Acme, target: Target, endpoint: Endpoint) -> None:
    """The old system did not look who is a member of the model: neither here nor in the other routes of checks."""
    check = valued_model.create_check(app, target, "PercentOfNulls")
    monitor = valued_model.create_monitor(app, target, check)
    other = provisioning.create_organization(app.engine, "other", "owner@other.example")
    with app.public() as session:
        organizations.set_model_membership(session, acme.org.id, True)
        user_id = members.add(session, acme.org.id, "stranger@acme.example", Role.MEMBER)
        no_member = tokens.create(session, acme.org.id, user_id, "stranger")
    paths = [
        f"checks/{check}/display/{target.version_id}", f"model-versions/{target.version_id}/suite-run",
        f"checks/{check}/get-notebook", f"monitors/{monitor}/get-notebook",
    ]  # fmt: skip
    for token in (other.token, no_member):
        stranger = Endpoint(endpoint.url, token, endpoint.pool)
        for path in [*paths, *(f"{path}?model_version_id=999&model_id=999" for path in paths)]:
            refused = send_request(stranger, "POST", path, RANGE, 404)
            assert "'v1'" not in refused["error_message"]

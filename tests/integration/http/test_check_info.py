"""What can be chosen of a check, deleting one check, and the stored results of a monitor."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from dcmon.app import App
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from tests.conftest import Acme
from tests.helpers import valued_model
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.valued_model import DAYS, START, day
from tests.integration.conftest import Target
from tests.integration.http.test_rules import send_request

RANGE = {"start_time": START.isoformat(), "end_time": (START + timedelta(days=DAYS)).isoformat()}


@pytest.fixture
def endpoint(app: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    """Serve a model with four days of samples and labels, and a reference."""
    valued_model.fill(app, target)
    with serving(app, acme.token) as client:
        yield client


def info(endpoint: Endpoint, check_id: int) -> Any:
    return send_request(endpoint, "GET", f"checks/{check_id}/info")


def names(choice: Any) -> list[str]:
    return [option["name"] for option in choice["values"]]


def create_model(app: App, target: Target, task_type: str) -> Target:
    with app.org(target.org) as session:
        model = models.create(session, NewModel(task_type, task_type))
        version = versions.create(session, model, NewVersion("v1", {"age": "numeric"}))
        return Target(target.engine, target.org, model.id, version.id)


@pytest.mark.parametrize(("task_type", "count"), [("binary", 25), ("multiclass", 34), ("regression", 4)])
def test_scorers_are_those_of_the_task_type(
    app: App, target: Target, endpoint: Endpoint, task_type: str, count: int
) -> None:
    """The names are prettified, and scores per class are no aggregates."""
    check = valued_model.create_check(app, create_model(app, target, task_type), "SingleDatasetPerformance")
    shown = info(endpoint, check)
    (scorers,) = shown["check_conf"]
    assert (scorers["type"], len(scorers["values"])) == ("scorer", count)
    assert [one["name"] for one in scorers["values"] if not one["is_agg"]] == [
        name for name in names(scorers) if name.endswith("Per Class")
    ]
    assert (shown["res_conf"] is None) == (task_type == "regression")


def test_shown_scorers_are_accepted_as_they_are(app: App, target: Target, endpoint: Endpoint) -> None:
    """The old system did not accept the prettified names that it had given."""
    check = valued_model.create_check(app, target, "SingleDatasetPerformance")
    shown = info(endpoint, check)
    assert shown["res_conf"] == {
        "type": "class",
        "values": [{"name": "0", "is_agg": None}, {"name": "1", "is_agg": None}],
        "is_agg_shown": False,
    }
    chosen = names(shown["check_conf"][0])
    path = f"checks/{check}/run/window"
    body = {**RANGE, "additional_kwargs": {"check_conf": {"scorer": chosen}}}
    assert list(send_request(endpoint, "POST", path, body)["v1"]) == chosen
    per_class = {"check_conf": {"scorer": ["F1 Per Class"]}, "res_conf": names(shown["res_conf"])[1:]}
    response = send_request(endpoint, "POST", path, {**RANGE, "additional_kwargs": per_class})
    assert list(response["v1"]) == ["F1 Per Class 1"]


def test_shown_features_and_methods_are_accepted(app: App, target: Target, endpoint: Endpoint) -> None:
    valued_model.add_second_version(app, target)
    check = valued_model.create_check(app, target, "FeatureDrift")
    shown = info(endpoint, check)
    methods, features = shown["check_conf"]
    assert (methods["type"], names(methods)) == (
        "aggregation method", ["mean", "max", "weighted", "l3_weighted", "l5_weighted"],
    )  # fmt: skip
    assert (features["type"], set(names(features)), shown["res_conf"]) == ("feature", {"age", "wage", "job"}, None)
    for method in names(methods):
        kwargs = {"check_conf": {"aggregation method": [method], "feature": ["age"]}}
        response = send_request(endpoint, "POST", f"checks/{check}/run/window", {**RANGE, "additional_kwargs": kwargs})
        assert response["v1"]
    for name in ("PredictionDrift", "LabelDrift"):
        assert info(endpoint, valued_model.create_check(app, target, name)) == {"check_conf": None, "res_conf": None}
    flow = info(endpoint, valued_model.create_check(app, target, "DataFlow"))
    assert names(flow["res_conf"])[:2] == ["rows", "labels"]


def test_classes_that_no_version_names_are_observed(app: App, target: Target, endpoint: Endpoint) -> None:
    """A version without classes has those of its predictions; without a version, they are unknown."""
    other = create_model(app, target, "multiclass")
    check = valued_model.create_check(app, other, "SingleDatasetPerformance")
    assert info(endpoint, check)["res_conf"]["values"] == []
    rows = [
        b'{"_dc_sample_id": "%d", "_dc_time": "2026-03-02T00:00:00Z", "age": 1, "_dc_prediction": "%s"}'
        % (number, name)
        for number, name in enumerate([b"red", b"blue", b"red"])
    ]
    app.ingestion.ingest_samples(other.org, other.version_id, rows)
    assert names(info(endpoint, check)["res_conf"]) == ["blue", "red"]
    send_request(endpoint, "DELETE", f"model-versions/{other.version_id}")
    assert info(endpoint, check)["res_conf"]["values"] is None


def test_one_check_is_deleted_by_id_or_name(app: App, target: Target, endpoint: Endpoint) -> None:
    """R12: deleting one check always failed."""
    first, second, third = (
        valued_model.create_check(app, target, name) for name in ("FeatureDrift", "LabelDrift", "MixedNulls")
    )
    monitor = valued_model.create_monitor(app, target, first)
    send_request(endpoint, "DELETE", f"models/{target.model_id}/checks/{first}")
    send_request(endpoint, "GET", f"monitors/{monitor}", status=404)
    send_request(endpoint, "DELETE", "models/credit/checks/LabelDrift?identifier_kind=name")
    left = send_request(endpoint, "GET", f"models/{target.model_id}/checks")
    assert [check["id"] for check in left] == [third]
    for path, status in ((first, 404), (second, 404), ("LabelDrift", 400), (f"{third}?identifier_kind=name", 404)):
        send_request(endpoint, "DELETE", f"models/{target.model_id}/checks/{path}", status=status)


def test_results_are_listed_in_pages(app: App, target: Target, endpoint: Endpoint) -> None:
    """Pages have each newest result once, the newest window first."""
    check = valued_model.create_check(app, target, "FeatureDrift")
    monitor = valued_model.create_monitor(app, target, check)
    windows = [day(number) for number in range(DAYS)]
    valued_model.evaluate(app, target, monitor, windows)
    valued_model.log_window(app, target, START + timedelta(hours=9), 60, "late")
    newest = valued_model.evaluate(app, target, monitor, windows[:1])[0]
    path, results, cursor = f"monitors/{monitor}/results", [], ""
    while cursor is not None:
        page = send_request(endpoint, "GET", f"{path}?limit=3{cursor and f'&cursor={cursor}'}")
        results += page["results"]
        cursor = page["next_cursor"]
    assert [result["window"]["end"] for result in results] == [window.end.isoformat() for window in reversed(windows)]
    last = results[-1]
    assert (last["revision"], last["metrics"], last["n"]) == (newest.revision, newest.metrics, 180)
    assert (last["state"], last["version"], last["entries"].keys()) == ("OK", "v1", {"age", "job"})
    assert last["intervals"].keys() | last["noise"].keys()
    every = send_request(
        endpoint, "GET", f"{path}?all_revisions=true&end={windows[0].end.isoformat().replace('+', '%2B')}"
    )
    assert [result["revision"] for result in every["results"]] == [2, 1]
    assert send_request(endpoint, "GET", f"{path}?version=v1&start=2026-03-05T00:00:00Z")["results"] == results[:1]
    for query, status in (("cursor=x", 400), ("limit=0", 422), ("version=v9", 404), ("start=soon", 422)):
        send_request(endpoint, "GET", f"{path}?{query}", status=status)
    send_request(endpoint, "GET", "monitors/99/results", status=404)

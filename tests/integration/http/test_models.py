"""Models and versions over HTTP: what is refused, with which status, and which names can be reached."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from dcmon.app import App
from dcmon.tenancy import rate_limits
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, error_message, serving
from tests.integration.conftest import Target, rows

MODEL = {"name": "m", "task_type": "binary", "alerts_delay_labels_ratio": 1, "alerts_delay_seconds": 0}
VERSION = {"name": "v", "features": {"a": "numeric"}, "additional_data": {}}
JSON = {"content-type": "application/json"}


@pytest.fixture
def endpoint(app: App, acme: Acme) -> Iterator[Endpoint]:
    with serving(app, acme.token) as client:
        yield client


def send(endpoint: Endpoint, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    content = b"" if body is None else json.dumps(body).encode()
    response = endpoint.request(method, path, content, **({} if body is None else JSON))
    return response.status, json.loads(response.data)


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""}, {"name": "n" * 51}, {"description": "d" * 201}, {"task_type": "vision"}, {"task_type": None},
        {"alerts_delay_labels_ratio": 2}, {"alerts_delay_labels_ratio": -0.1}, {"alerts_delay_seconds": -1},
        {"notes": [{"text": "no title"}]}, {"obj_store_path": 7},
    ],
)  # fmt: skip
def test_model_that_does_not_fit_is_422(endpoint: Endpoint, change: dict[str, Any]) -> None:
    status, content = send(endpoint, "POST", "models", {**MODEL, **change})

    assert (status, content["additional_information"].keys()) == (422, {"errors"})
    assert send(endpoint, "GET", "available-models")[1] == []


def test_model_at_the_bounds_is_created_once(endpoint: Endpoint) -> None:
    body = {**MODEL, "name": "n" * 50, "description": "d" * 200}
    created = [send(endpoint, "POST", "models", sent) for sent in (body, {**body, "description": None})]

    assert created[0] == created[1] == (200, {"id": created[0][1]["id"]})
    assert send(endpoint, "POST", "models", {**body, "description": "other"})[0] == 400
    assert send(endpoint, "POST", "models", {**body, "task_type": "regression"})[0] == 400


@pytest.mark.parametrize(
    "name", ["a/b", "a/b/c d", "credit 100%", "ümlaut/🙂", "a&b=c;d", "versions", "columns", "a:b@c"]
)
def test_name_with_slashes_is_reached_as_the_sdk_does(endpoint: Endpoint, name: str) -> None:
    """The SDK puts names into paths as they are; its HTTP library encodes only what no URL can have."""
    model_id = send(endpoint, "POST", "models", {**MODEL, "name": name})[1]["id"]
    version = {**VERSION, "name": f"{name}/1"}
    version_id = send(endpoint, "POST", f"models/{model_id}/version", version)[1]["id"]
    path = name.replace("%", "%25").replace(" ", "%20")
    by_name = f"models/{path}?identifier_kind=name"
    version_path = f"models/{path}/model-versions/{path}/1"

    assert send(endpoint, "GET", by_name)[1]["id"] == model_id
    assert send(endpoint, "GET", version_path)[1]["id"] == version_id
    assert send(endpoint, "GET", f"models/{path}/model-versions/none")[0] == 404
    assert send(endpoint, "DELETE", f"{version_path}?identifier_kind=name") == (200, None)
    assert send(endpoint, "DELETE", by_name) == (200, None)
    assert send(endpoint, "GET", by_name)[0] == 404


@pytest.mark.parametrize(
    "name",
    ["what?", "c#", "50%41", "a/../b", ".", "/a", "a/", "a//b", "a/versions", "a/model-versions/b", "data-ingestion"],
)
def test_name_that_no_path_reaches_is_refused(endpoint: Endpoint, name: str) -> None:
    """Otherwise the SDK would create the model, and then never find it."""
    status, content = send(endpoint, "POST", "models", {**MODEL, "name": name})
    model_id = send(endpoint, "POST", "models", MODEL)[1]["id"]

    assert (status, "Choose another name" in content["error_message"]) == (422, True)
    assert send(endpoint, "POST", f"models/{model_id}/version", {**VERSION, "name": name})[0] == 422
    assert len(send(endpoint, "GET", "available-models")[1]) == 1


def test_names_like_paths_of_a_model_are_refused(endpoint: Endpoint) -> None:
    """A route of any depth would take the path of such a model: DELETE of the model would delete a check."""
    paths = send(endpoint, "GET", "openapi.json")[1]["paths"]
    prefix = "/api/v1/models/"
    names = {re.sub(r"{\w+}", "x", path.removeprefix(prefix)) for path in paths if path.startswith(prefix)} - {"x"}
    answers = {name: send(endpoint, "POST", "models", {**MODEL, "name": name})[0] for name in sorted(names)}

    assert {"x/checks/x", "x/versions", "data-ingestion"} <= answers.keys()
    assert answers == dict.fromkeys(answers, 422)


def test_other_paths_of_a_model_keep_404_and_405(endpoint: Endpoint) -> None:
    assert send(endpoint, "GET", "models/1/nothing")[1]["error_message"].startswith("The endpoint has no route")
    refused = endpoint.request("GET", "models/1/version")
    assert (refused.status, refused.headers["allow"]) == (405, "POST")
    assert send(endpoint, "GET", "models/?identifier_kind=name")[0] == 404
    assert send(endpoint, "GET", "models/1?identifier_kind=zz")[0] == 422


@pytest.mark.parametrize(
    "change",
    [{"name": ""}, {"name": "n" * 101}, {"features": {"a": "colour"}}, {"additional_data": None}, {"classes": [1]}],
)
def test_version_that_does_not_fit_is_422(endpoint: Endpoint, change: dict[str, Any]) -> None:
    model_id = send(endpoint, "POST", "models", MODEL)[1]["id"]

    assert send(endpoint, "POST", f"models/{model_id}/version", {**VERSION, **change})[0] == 422
    assert send(endpoint, "GET", f"models/{model_id}/versions") == (200, [])


def test_version_change_that_does_not_fit_is_422(endpoint: Endpoint, target: Target) -> None:
    path = f"model-versions/{target.version_id}"
    for body in ({}, {"name": ""}, {"name": "n" * 101}, {"name": "a?"}, {"name": None}, []):
        assert send(endpoint, "PUT", path, body)[0] == 422, body
    assert send(endpoint, "PUT", path, {"name": "renamed"}) == (200, None)
    assert send(endpoint, "GET", path)[1]["name"] == "renamed"
    assert send(endpoint, "GET", "model-versions/abc")[0] == 422
    start, end = "2026-03-02T00:00:00Z", "2026-03-01T00:00:00Z"
    assert send(endpoint, "POST", f"{path}/get-prod-data", {"start_time": start, "end_time": end})[0] == 422
    wrong = {"filters": [{"column": "none", "operator": "equals", "value": 1}]}
    span = {"start_time": end, "end_time": start, "filter": wrong}
    assert send(endpoint, "POST", f"{path}/get-prod-data", span)[0] == 400


@pytest.mark.parametrize("body", [b"{}", b"[1]", b"nothing", b'"text"', b"[[1], 2]", b"[null]", b"7", b"[{}"])
def test_body_that_is_no_array_of_objects_is_422(endpoint: Endpoint, target: Target, body: bytes) -> None:
    for method, path in (
        ("POST", f"model-versions/{target.version_id}/data"), ("PUT", f"model/{target.model_id}/labels")
    ):  # fmt: skip
        response = endpoint.request(method, path, body)
        assert (response.status, bool(error_message(response))) == (422, True)
        assert endpoint.request(method, path, b"[]").status == 400
    assert send(endpoint, "GET", f"connected-models/{target.model_id}/ingestion-errors")[1] == []


def test_scalar_among_rows_is_quarantined(endpoint: Endpoint, target: Target) -> None:
    response = endpoint.samples(target.version_id, [b"1", *rows(0, 6)])

    assert json.loads(response.data)["stored"] == 6
    (error,) = send(endpoint, "GET", f"connected-models/{target.model_id}/ingestion-errors")[1]
    assert error["sample"] == "1"


def test_refusal_over_a_limit_says_that_nothing_is_saved(app: App, acme: Acme, target: Target) -> None:
    with app.public() as session:
        rate_limits.change(session, acme.org.id, {"samples_per_minute": 100})
    with serving(app, acme.token) as client:
        responses = [client.samples(target.version_id, rows(first, n)) for first, n in ((0, 60), (60, 60), (60, 200))]

    assert [response.status for response in responses] == [200, 429, 413]
    for response in responses[1:]:
        assert json.loads(response.data)["additional_information"] == {"num_saved": 0}
    assert "retry-after" in responses[1].headers
    assert target.samples == 60


def test_lists_of_a_model_are_paginated_when_asked(endpoint: Endpoint) -> None:
    model_id = send(endpoint, "POST", "models", MODEL)[1]["id"]
    for number in range(5):
        send(endpoint, "POST", f"models/{model_id}/version", {**VERSION, "name": f"v{number}"})
        send(endpoint, "POST", f"models/{model_id}/notes", [{"title": f"n{number}"}])

    def listed(path: str, key: str) -> list[str]:
        return [item[key] for item in send(endpoint, "GET", f"models/{model_id}/{path}")[1]]

    assert listed("versions", "name") == ["v4", "v3", "v2", "v1", "v0"]
    assert listed("versions?limit=2&offset=1", "name") == ["v3", "v2"]
    assert listed("notes?offset=3", "title") == ["n3", "n4"]
    assert send(endpoint, "GET", f"models/{model_id}/versions?limit=0")[0] == 422

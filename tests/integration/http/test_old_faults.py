"""Faults of the old system that no other test shows to be gone. docs/compatibility.md lists all with their tests."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import dcmon
from dcmon import db
from dcmon.app import App
from dcmon.db import Organization
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.statements import Recorded, recorded_statements
from tests.integration.conftest import Target, labels, rows


@pytest.fixture
def endpoint(app: App, acme: Acme) -> Iterator[Endpoint]:
    with serving(app, acme.token) as client:
        yield client


def send(endpoint: Endpoint, method: str, path: str, body: Any = None) -> Any:
    content = b"" if body is None else json.dumps(body).encode()
    response = endpoint.request(method, path, content, **{"content-type": "application/json"})
    assert response.status == 200, response.data
    return json.loads(response.data)


def test_statements_of_a_request_do_not_grow_with_rows(endpoint: Endpoint, target: Target) -> None:
    """P1, P13, P16: rows and labels are stored together, and no statistics are written in the request."""
    endpoint.samples(target.version_id, rows(0, 600))
    endpoint.labels(target.model_id, labels(0, 1))
    counts = []
    for first, count in ((10, 5), (20, 500)):
        with recorded_statements() as recorded:
            assert endpoint.labels(target.model_id, labels(first, count)).status == 200
        counts.append(_of_ingestion(recorded))

    assert counts[0] == counts[1]
    assert target.labels == 506


def _of_ingestion(recorded: Recorded) -> list[str]:
    return [line.sent_by for line in recorded.statements if line.sent_by.startswith(("ingestion/", "storage/"))]


def test_part_of_a_reference_does_not_read_earlier_ones(endpoint: Endpoint, target: Target) -> None:
    """P2: what an upload costs does not depend on the reference and the labels that are there."""

    def upload(count: int) -> list[str]:
        document = {"columns": ["age", "job", "_dc_prediction", "_dc_label"], "data": [[1.5, "a", "1", "0"]] * count}
        with recorded_statements() as recorded:
            assert endpoint.reference(target.version_id, json.dumps(document).encode()).status == 200
        return [line.sql for line in recorded.statements if "labels_" in line.sql]

    endpoint.samples(target.version_id, rows(0, 20))
    endpoint.labels(target.model_id, labels(0, 20))
    assert upload(10) == upload(400) == upload(10) == []


def test_columns_of_a_version_have_no_indexes(app: App, org: Organization) -> None:
    """P5: the number of indexes does not depend on the number of columns."""
    counted = []
    for count in (1, 60):
        with db.org_session(app.engine, org) as session:
            model = models.create(session, NewModel(f"m{count}", "binary"))
            new = NewVersion("v", {f"c{number}": "numeric" for number in range(count)}, {"t": "datetime"})
            relation = versions.create(session, model, new).relation
            statement = text(
                "select count(*) from pg_indexes where schemaname = current_schema() and tablename like :t"
            )
            counted.append(session.scalar(statement, {"t": f"^samples_{relation}"}))

    assert counted[0] == counted[1]


def test_counting_samples_reads_no_sample(endpoint: Endpoint, target: Target) -> None:
    """P8: rows are counted when they are stored."""
    endpoint.samples(target.version_id, rows(0, 20))
    with recorded_statements() as recorded:
        counted = send(endpoint, "GET", f"model-versions/{target.version_id}/count-samples")

    assert counted == {"monitor_count": 20, "reference_count": 0}
    assert recorded.statements
    assert not [line for line in recorded.statements if "samples_" in line.sql and "from samples_" in line.sql]


def test_keys_of_redis_are_never_scanned() -> None:
    """P10: nothing is found by walking over all keys."""
    source = "".join(path.read_text() for path in Path(dcmon.__file__).parent.rglob("*.py"))

    assert "redis" in source
    for call in ("scan_iter", "redis.keys", "client.keys(", '"SCAN"', '"KEYS"', "'SCAN'", "'KEYS'"):
        assert call not in source


def test_version_is_deleted_in_the_named_model_only(endpoint: Endpoint) -> None:
    """R6: another model has a version of the same name."""
    ids = {}
    for name in ("one", "two"):
        model = {"name": name, "task_type": "binary", "alerts_delay_labels_ratio": 1, "alerts_delay_seconds": 0}
        ids[name] = send(endpoint, "POST", "models", model)["id"]
        send(endpoint, "POST", f"models/{ids[name]}/version",
             {"name": "v", "features": {"a": "numeric"}, "additional_data": {}})  # fmt: skip
    send(endpoint, "DELETE", "models/two/model-versions/v?identifier_kind=name")

    assert [entry["name"] for entry in send(endpoint, "GET", f"models/{ids['one']}/versions")] == ["v"]
    assert send(endpoint, "GET", f"models/{ids['two']}/versions") == []


def test_third_class_and_odd_ids_are_not_lost(endpoint: Endpoint, target: Target) -> None:
    """R7: what can't be stored is shown, whatever its id is; a label of a third class is stored."""
    endpoint.samples(target.version_id, rows(0, 1))
    third = endpoint.labels(target.model_id, [b'{"_dc_sample_id": "s0", "_dc_label": "third"}'])
    assert json.loads(third.data)["stored"] == 1
    for sample_id in (b"7", b"null", b"[1]", b"true"):
        row = rows(1, 1)[0].replace(b'"s1"', sample_id).replace(b'"age": 1', b'"age": "old"')
        assert json.loads(endpoint.samples(target.version_id, [row]).data)["quarantined"]

    assert len(send(endpoint, "GET", f"connected-models/{target.model_id}/ingestion-errors")) == 4


def test_token_is_not_replaced_by_a_get(endpoint: Endpoint) -> None:
    """S9: a link that a browser follows can't replace a token."""
    assert endpoint.request("GET", "users/regenerate-api-token").status == 405
    assert endpoint.request("GET", "users/me").status == 200
    new = json.loads(endpoint.request("POST", "users/regenerate-api-token").data)
    assert endpoint.request("GET", "users/me").status == 401
    assert endpoint.request("GET", "users/me", authorization=f"Basic {new}").status == 200

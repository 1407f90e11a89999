"""A version with 1,000 features and more: rows come in by HTTP, Kafka and references, and are read back."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from dcmon.app import App
from dcmon.db import Organization
from dcmon.jobs import ingest
from dcmon.storage import references, sampling, table_layout, versions
from dcmon.storage.columns import Columns
from dcmon.storage.sampling import RowSelection
from dcmon.windows import Window
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, error_message, serving
from tests.helpers.ingestion import seek
from tests.integration.conftest import Target, eventually, running

START = datetime(2026, 3, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=30))
NUMBERS = [f"f{number}" for number in range(1_000)]
FEATURES = dict.fromkeys(NUMBERS, "numeric") | {"job": "categorical", "visits": "integer", "is_new": "boolean"}
MIXED = dict.fromkeys(NUMBERS, "numeric") | {f"c{number}": "categorical" for number in range(600)}
JSON_TYPE = {"content-type": "application/json"}


def create(client: Endpoint, name: str, features: Mapping[str, str]) -> Any:
    """Create a model with one version, and return the response."""
    body = json.dumps({"name": name, "task_type": "binary"}).encode()
    model_id = json.loads(client.request("POST", "models", body, **JSON_TYPE).data)["id"]
    version = {"name": "v1", "features": features, "additional_data": {"note": "text"}, "classes": ["0", "1"]}
    return client.request("POST", f"models/{model_id}/version", json.dumps(version).encode(), **JSON_TYPE)


def version_of(app: App, org: Organization, client: Endpoint, features: Mapping[str, str]) -> Target:
    response = create(client, "wide", features)
    assert response.status == 200, response.data
    version_id = json.loads(response.data)["id"]
    with app.org(org) as session:
        return Target(app.engine, org, versions.get(session, version_id)[0].id, version_id)


def value(kind: str, number: int, position: int) -> Any:
    if (number + position) % 7 == 0:
        return None
    if kind == "categorical":
        return f"category {(number + position) % 5} of {position}"
    if kind == "boolean":
        return number % 2 == 0
    return number + position if kind == "integer" else number + position / 8


def row(number: int, features: Mapping[str, str] = FEATURES) -> dict[str, Any]:
    own = {name: value(kind, number, position) for position, (name, kind) in enumerate(features.items())}
    time = (START + timedelta(minutes=number)).isoformat()
    return {"_dc_sample_id": f"s{number}", "_dc_time": time, "_dc_prediction": str(number % 2), **own}


def encoded(first: int, count: int, features: Mapping[str, str] = FEATURES) -> list[bytes]:
    return [json.dumps(row(number, features)).encode() for number in range(first, first + count)]


def require_rows(app: App, target: Target, count: int, features: Mapping[str, str] = FEATURES) -> None:
    """Compare all stored rows with the sent ones: as rows and as columns."""
    with app.org(target.org) as session:
        selection = RowSelection(*versions.get(session, target.version_id), limit=10_000)
        stored = {found["_dc_sample_id"]: found for found in sampling.rows(session, WINDOW, selection)}
        blocks = sampling.sample_columns(session, WINDOW, selection, list(features))
        in_order = sampling.sample_rows(session, WINDOW, selection)
    assert len(stored) == count
    for number in range(count):
        sent = row(number, features)
        assert {name: stored[f"s{number}"][name] for name in features} == {name: sent[name] for name in features}
    assert blocks is not None
    for position, name in enumerate(in_order.names):
        if name in features:
            expected = [values[position] for values in in_order.rows]
            assert [
                None if isinstance(item, float) and math.isnan(item) else item for item in blocks.column(name)
            ] == expected


def test_wide_rows_over_http_are_filtered_and_read_back(app: App, acme: Acme) -> None:
    with serving(app, acme.token) as client:
        target = version_of(app, acme.org, client, FEATURES)
        assert client.samples(target.version_id, encoded(0, 40)).status == 200
        assert client.samples(target.version_id, encoded(0, 40)).status == 200
        reference = [{**row(number), "_dc_label": "1"} for number in range(30)]
        names = [name for name in reference[0] if name not in ("_dc_sample_id", "_dc_time")]
        document = {"columns": names, "data": [[entry[name] for name in names] for entry in reference]}
        assert client.reference(target.version_id, json.dumps(document).encode()).status == 200
        require_rows(app, target, 40)
        for name in ("f0", "f500", "f999", "job", "visits", "is_new"):
            wanted = row(3)[name]
            condition = {"column": name, "operator": "equals", "value": wanted}
            query = {
                "rows_count": 100, "filter": {"filters": [condition]}, "start_time": WINDOW.start.isoformat(),
                "end_time": WINDOW.end.isoformat(),
            }  # fmt: skip
            path = f"model-versions/{target.version_id}/get-prod-data"
            response = client.request("POST", path, json.dumps(query).encode(), **JSON_TYPE)
            found = json.loads(json.loads(response.data))
            expected = {f"s{number}" for number in range(40) if row(number)[name] == wanted}
            assert {entry["_dc_sample_id"] for entry in found} == expected
            path = f"model-versions/{target.version_id}/get-ref-data"
            response = client.request("POST", path, json.dumps(query).encode(), **JSON_TYPE)
            of_reference = json.loads(json.loads(response.data))
            assert len(of_reference) == len([entry for entry in reference if entry[name] == wanted])
    with app.org(acme.org) as session:
        selection = RowSelection(*versions.get(session, target.version_id), limit=100)
        stored = references.sample_rows(session, selection)
        block = references.sample_columns(session, selection, list(FEATURES))
    assert len(stored.rows) == 30
    assert block is not None
    in_order_of_loading = [entry["f999"] for entry in reference]
    assert [None if math.isnan(item) else item for item in block.column("f999")] == in_order_of_loading
    assert {values[stored.names.index("f999")] for values in stored.rows} == set(in_order_of_loading)


def test_numbers_and_texts_beyond_a_page_are_read_back(app: App, acme: Acme) -> None:
    """The values of a row with 1,000 numbers and 600 texts of 15 bytes need 17 kB; a page of PostgreSQL has 8."""
    with serving(app, acme.token) as client:
        target = version_of(app, acme.org, client, MIXED)
        assert client.samples(target.version_id, encoded(0, 25, MIXED)).status == 200
    assert target.scalar("select count(*) from quarantine") == 0
    require_rows(app, target, 25, MIXED)


@pytest.mark.kafka
def test_wide_rows_through_kafka_are_stored_once(buffered: App, acme: Acme) -> None:
    """The topic is read twice."""
    with serving(buffered, acme.token) as client:
        target = version_of(buffered, acme.org, client, FEATURES)
        with running(ingest.run, buffered):
            assert client.samples(target.version_id, encoded(0, 60)).status == 200
            assert eventually(lambda: target.samples == 60)
    seek(buffered, "--to", "beginning", "--yes")
    with running(ingest.run, buffered):
        assert eventually(lambda: target.scalar("select sum(duplicates) from batches") == 60)
    require_rows(buffered, target, 60)


@pytest.mark.parametrize(
    ("features", "says"),
    [
        ({f"f{number}": "numeric" for number in range(5_001)}, "The version has 5,002 columns, and at most 5,000"),
        ({f"f{number}": "bigint" for number in range(1_000)}, "With 1,000 columns of types bigint, datetime, "),
    ],
)
def test_version_that_is_too_wide_is_refused(app: App, acme: Acme, features: Mapping[str, str], says: str) -> None:
    with serving(app, acme.token) as client:
        response = create(client, "too wide", features)
    assert response.status == 400
    assert says in error_message(response)
    with app.org(acme.org) as session:
        assert session.scalar(text("select count(*) from versions")) == 0


def test_widest_version_takes_rows(app: App, acme: Acme) -> None:
    """It has 4,999 features and one additional column."""
    features = {f"f{number}": "numeric" for number in range(4_999)}
    with serving(app, acme.token) as client:
        target = version_of(app, acme.org, client, features)
        assert client.samples(target.version_id, encoded(0, 3, features)).status == 200
    require_rows(app, target, 3, features)


def most(*kinds: str) -> dict[str, str]:
    """Return as many features as rows without arrays can have, of these types in turn."""
    low, high = 1, 1_500
    while low < high:
        middle = (low + high + 1) // 2
        if table_layout.choose(Columns("binary", in_turn(middle, kinds), {"note": "text"}, ["0", "1"])) == 1:
            low = middle
        else:
            high = middle - 1
    return in_turn(low, kinds)


def in_turn(count: int, kinds: Sequence[str]) -> dict[str, str]:
    return {f"f{number}": kinds[number % len(kinds)] for number in range(count)}


@pytest.mark.parametrize(
    "kinds",
    [["numeric"], ["categorical"], ["boolean", "numeric"], ["integer", "categorical", "boolean", "text"]],
    ids=str,
)
def test_fullest_rows_without_arrays_fit_in_a_page(app: App, acme: Acme, kinds: list[str]) -> None:
    """Each row has all its values; texts have any length from those that stay in the row to those that do not."""
    features = most(*kinds)
    values = {"numeric": 0.1, "boolean": True, "integer": 2**31 - 1}
    rows = []
    for length in [*range(9, 30), 126, 127, 200]:
        own = {name: values.get(kind, f"{length:x}".ljust(length, "é")[:length]) for name, kind in features.items()}
        ends = {"_dc_sample_id": "s" * 20 + str(length), "_dc_prediction": "1", "note": "n" * length}
        more = {"_dc_prediction_probabilities": [0.5, 0.5], "_dc_time": START.isoformat()}
        rows.append(json.dumps({**own, **ends, **more}).encode())
    with serving(app, acme.token) as client:
        target = version_of(app, acme.org, client, features)
        assert target.scalar("select layout from versions") == 1
        assert client.samples(target.version_id, rows).status == 200
    assert target.scalar("select array_agg(detail) from quarantine") is None
    assert target.samples == len(rows)

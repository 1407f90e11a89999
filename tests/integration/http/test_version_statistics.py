"""The statistics of a version's columns are those of the rows that were sent."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from dcmon import db
from dcmon.app import App
from dcmon.ingestion import sample_deletion
from dcmon.storage import version_statistics, versions
from dcmon.storage.categories import normalize
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.odd_names import ODD_NAMES

START = datetime(2026, 3, 1, tzinfo=UTC)
FEATURES = {
    "n": "numeric", "i": "integer", "big": "bigint", "cat": "categorical", "many": "categorical",
    "flag": "boolean", "words": "text", "when": "datetime", "list": "array_float", "lists": "array_float_2d",
}  # fmt: skip


@pytest.fixture
def endpoint(app: App, acme: Acme) -> Iterator[Endpoint]:
    with serving(app, acme.token) as client:
        yield client


def answer(endpoint: Endpoint, method: str, path: str, body: Any = None) -> Any:
    headers = {} if body is None else {"content-type": "application/json"}
    response = endpoint.request(method, path, b"" if body is None else json.dumps(body).encode(), **headers)
    assert response.status == 200, response.data
    return json.loads(response.data)


@dataclass
class Logged:
    """A version, and all samples that were sent to it."""

    endpoint: Endpoint
    model_id: int
    version_id: int
    rows: list[dict[str, Any]]

    def log(self, rows: Sequence[dict[str, Any]]) -> None:
        response = self.endpoint.samples(self.version_id, [json.dumps(row).encode() for row in rows])
        assert json.loads(response.data)["stored"] == len(rows), response.data
        self.rows += rows

    def shown(self) -> Any:
        version = answer(self.endpoint, "GET", f"model-versions/{self.version_id}")
        assert version["statistics_pending_rows"] == 0
        return version["statistics"]


def row(number: int, seed: random.Random) -> dict[str, Any]:
    return {
        "_dc_sample_id": f"s{number}",
        "_dc_time": (START + timedelta(minutes=7 * number)).isoformat(),
        "_dc_prediction": f"c{seed.randrange(3)}",
        "n": seed.choice([None, seed.uniform(-1e9, 1e9)]),
        "i": seed.randrange(-(2**31), 2**31),
        "big": seed.randrange(-(2**63), 2**63),
        "cat": seed.choice([None, "", "a", "Z", "é", "🙂", "it's %s {x} :y"]),
        "many": f"v{seed.randrange(1000)}",
        "flag": seed.choice([None, True, False]) if number > 40 else True,
        "words": f"text {number}",
        "when": (START - timedelta(seconds=seed.randrange(10**9))).isoformat(),
        "list": [1.0, 2.0],
        "lists": [[1.0]],
        "extra": seed.randrange(100) or None,
    }


def expected(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def present(name: str) -> list[Any]:
        return [row[name] for row in rows if row.get(name) is not None]

    def times(name: str) -> list[float]:
        return [datetime.fromisoformat(time).timestamp() for time in present(name)]

    def ends(values: list[Any]) -> dict[str, Any]:
        return {"min": min(values, default=None), "max": max(values, default=None)}

    return {
        "_dc_time": ends(times("_dc_time")),
        "_dc_prediction": {"values": sorted(set(present("_dc_prediction")))},
        **{name: ends(present(name)) for name in ("n", "i", "big")},
        **{name: {"values": sorted(set(present(name)))[:200]} for name in ("cat", "many", "flag")},
        "when": ends(times("when")),
        "extra": ends(present("extra")),
    }


@pytest.fixture
def logged(endpoint: Endpoint) -> Logged:
    model = {"name": "m", "task_type": "multiclass", "alerts_delay_labels_ratio": 1, "alerts_delay_seconds": 0}
    model_id = answer(endpoint, "POST", "models", model)["id"]
    importance = {name: 1.0 if name == "cat" else 0.5 for name in FEATURES}
    version = {"name": "v", "features": FEATURES, "additional_data": {"extra": "integer"},
               "feature_importance": importance}  # fmt: skip
    return Logged(endpoint, model_id, answer(endpoint, "POST", f"models/{model_id}/version", version)["id"], [])


def test_empty_version_has_a_stub_of_each_column(logged: Logged) -> None:
    assert logged.shown() == expected([])


def test_statistics_equal_those_of_the_sent_rows(logged: Logged) -> None:
    """Also after more rows, in the same quarter hours and in others, and with the version found by its name."""
    seed = random.Random(1)
    for first in (0, 30, 3000):
        logged.log([row(number, seed) for number in range(first, first + 30)])
        assert logged.shown() == expected(logged.rows)
    logged.log([{**row(9000 + number, seed), "_dc_time": logged.rows[0]["_dc_time"]} for number in range(600)])

    assert logged.shown() == expected(logged.rows)
    assert len(logged.shown()["many"]["values"]) == 200
    by_name = answer(logged.endpoint, "GET", "models/m/model-versions/v")
    assert list(by_name["statistics"]) == [
        "_dc_time", "_dc_prediction", "n", "i", "big", "cat", "many", "flag", "when", "extra"
    ]  # fmt: skip
    assert by_name["statistics"] == expected(logged.rows)


def test_rows_that_are_not_stored_do_not_count(logged: Logged) -> None:
    seed = random.Random(2)
    logged.log([row(number, seed) for number in range(50)])
    conflict, bad = {**row(3, seed), "i": 2**31 - 1}, {**row(99, seed), "i": "many"}
    logged.endpoint.samples(logged.version_id, [json.dumps(sent).encode() for sent in (conflict, bad)])

    assert logged.shown() == expected(logged.rows)


def test_rows_of_a_reference_count_until_it_is_replaced(logged: Logged) -> None:
    seed = random.Random(3)
    logged.log([row(number, seed) for number in range(20)])
    names = ["_dc_prediction", *FEATURES, "extra"]
    for first, replace in ((100, ""), (200, "?replace=true")):
        reference = [row(number, seed) for number in range(first, first + 20)]
        document = {"columns": names, "data": [[sent[name] for name in names] for sent in reference]}
        response = logged.endpoint.reference(logged.version_id, json.dumps(document).encode(), replace)
        assert response.status == 200, response.data
        without_time = [{**sent, "_dc_time": None} for sent in reference]

        assert logged.shown() == expected([*logged.rows, *without_time])


def test_deleted_samples_do_not_count_any_more(logged: Logged, app: App, acme: Acme) -> None:
    seed = random.Random(4)
    logged.log([row(number, seed) for number in range(100)])
    logged.shown()
    until = START + timedelta(minutes=7 * 50)
    with app.org(acme.org) as session:
        model, version = versions.get(session, logged.version_id)
        ranges = sample_deletion.sample_ranges(session, model, version.name, START, until)
    for samples in ranges.values():
        sample_deletion.delete_samples(app.engine, acme.org, samples, "operator")

    assert logged.shown() == expected(logged.rows[50:])


def test_a_backlog_is_read_in_parts(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that were stored before are read newest first, so many at a time; the rest is counted."""
    seed = random.Random(5)
    logged.log([row(number, seed) for number in range(100)])
    monkeypatch.setattr(version_statistics, "MAX_VALUES_READ", 12 * 60)
    parts = [answer(logged.endpoint, "GET", f"model-versions/{logged.version_id}") for _ in range(2)]

    pending = parts[0]["statistics_pending_rows"]
    assert 30 < pending < 60
    seen = parts[0]["statistics"]
    assert seen == expected(logged.rows[pending:]) | {"_dc_time": seen["_dc_time"]}
    assert parts[1]["statistics_pending_rows"] == 0
    assert parts[1]["statistics"] == expected(logged.rows)


def test_rows_committed_during_a_read_are_read_next(logged: Logged, app: App, acme: Acme) -> None:
    """A quarter hour that another transaction changes just now is not marked as read, and nobody waits."""
    seed = random.Random(6)
    logged.log([row(number, seed) for number in range(30)])
    with db.org_session(app.engine, acme.org) as session:
        session.execute(text("update quarter_hours set n = n where at = :at"), {"at": START})
        assert logged.shown() == expected(logged.rows)
    logged.log([{**row(77, seed), "_dc_time": START.isoformat(), "i": 2**31 - 1}])

    assert logged.shown()["i"]["max"] == 2**31 - 1
    assert logged.shown() == expected(logged.rows)


def test_columns_with_odd_names_have_statistics(endpoint: Endpoint, logged: Logged) -> None:
    kinds = ("numeric", "categorical")
    for kind in kinds:
        version = {"name": kind, "features": dict.fromkeys(ODD_NAMES, kind), "additional_data": {}}
        version_id = answer(endpoint, "POST", f"models/{logged.model_id}/version", version)["id"]
        values = {name: position if kind == "numeric" else name for position, name in enumerate(ODD_NAMES)}
        sent = {"_dc_sample_id": "s", "_dc_time": START.isoformat(), "_dc_prediction": "x", **values}
        endpoint.samples(version_id, [json.dumps(sent).encode()])
        statistics = answer(endpoint, "GET", f"model-versions/{version_id}")["statistics"]

        assert statistics.keys() == {"_dc_time", "_dc_prediction", *ODD_NAMES}
        right = {
            name: {"min": value, "max": value} if kind == "numeric" else {"values": [normalize(name)]}
            for name, value in values.items()
        }
        assert {name: statistics[name] for name in ODD_NAMES} == right


def test_a_wide_version_has_statistics(endpoint: Endpoint, logged: Logged) -> None:
    """Its columns are in arrays, and more than one statement can select."""
    numbers, texts = [f"n{number}" for number in range(1500)], [f"t{number}" for number in range(200)]
    features = dict.fromkeys(numbers, "numeric") | dict.fromkeys(texts, "categorical") | {"yes": "boolean"}
    version = {"name": "wide", "features": features, "additional_data": {}}
    version_id = answer(endpoint, "POST", f"models/{logged.model_id}/version", version)["id"]
    for sample in range(3):
        values = {name: sample + position for position, name in enumerate(numbers)}
        sent = {"_dc_sample_id": f"s{sample}", "_dc_time": START.isoformat(), "_dc_prediction": "x", **values,
                **{name: f"{name} {sample}" for name in texts}, "yes": None if sample else True}  # fmt: skip
        endpoint.samples(version_id, [json.dumps(sent).encode()])
    statistics = answer(endpoint, "GET", f"model-versions/{version_id}")["statistics"]

    assert statistics["n1499"] == {"min": 1499, "max": 1501}
    assert statistics["t199"] == {"values": ["t199 0", "t199 1", "t199 2"]}
    assert statistics["yes"] == {"values": [True]}


def test_columns_of_the_newest_version_are_in_order(endpoint: Endpoint, logged: Logged) -> None:
    assert list(answer(endpoint, "GET", "models/m/columns?identifier_kind=name")) == [
        "cat", *(name for name in FEATURES if name != "cat"), "extra"
    ]  # fmt: skip
    seed = random.Random(7)
    logged.log([row(number, seed) for number in range(30)])
    newer = {"name": "later, but without rows", "features": {"other": "text"}, "additional_data": {}}
    answer(endpoint, "POST", f"models/{logged.model_id}/version", newer)

    shown = answer(endpoint, "GET", f"models/{logged.model_id}/columns")
    assert shown["words"] == {"type": "text", "stats": {"max": None, "min": None, "values": None}}
    for name, known in expected(logged.rows).items():
        if not name.startswith("_dc_"):
            assert shown[name]["stats"] == {"max": None, "min": None, "values": None} | known
    assert shown["extra"]["type"] == "integer"


def test_a_model_without_versions_has_no_columns(endpoint: Endpoint) -> None:
    model_id = answer(endpoint, "POST", "models", {"name": "new", "task_type": "binary"})["id"]

    assert answer(endpoint, "GET", f"models/{model_id}/columns") == {}

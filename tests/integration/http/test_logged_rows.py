"""The response to logged rows says what became of them, without Kafka and through Kafka."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from dcmon import db
from dcmon.app import App
from dcmon.ingestion import quarantine
from dcmon.ingestion.quarantine import QuarantineFilter
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, error_message, serving
from tests.integration.conftest import Target, labels, rows

OTHER_CLASS = {"_dc_prediction": 7}  # neither a class of the version nor text


@pytest.fixture
def endpoint(app: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    with serving(app, acme.token) as client:
        yield client


@pytest.fixture
def kafka_endpoint(buffered: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    with serving(buffered, acme.token) as client:
        yield client


def changed(row: bytes, **values: Any) -> bytes:
    return json.dumps({**json.loads(row), **values}).encode()


def without(row: bytes, name: str) -> bytes:
    return json.dumps({key: value for key, value in json.loads(row).items() if key != name}).encode()


def content(response: urllib3.BaseHTTPResponse) -> Any:
    assert (response.status, response.headers["content-type"]) == (200, "application/json"), response.data
    return json.loads(response.data)


def counts(answer: Any) -> tuple[int, int, int, int]:
    assert answer["received"] == answer["stored"] + answer["duplicates"] + sum(answer["quarantined"].values())
    assert answer["quarantined"].keys() == answer["first"].keys()
    return answer["stored"], answer["duplicates"], sum(answer["quarantined"].values()), answer["waiting"]


def test_stored_samples_and_duplicates_are_counted(endpoint: Endpoint, target: Target) -> None:
    answers = [content(endpoint.samples(target.version_id, rows(first, 100))) for first in (0, 50)]

    assert answers[0] == {
        "received": 100, "stored": 100, "duplicates": 0, "waiting": 0, "replaced": 0, "quarantined": {}, "first": {}
    }  # fmt: skip
    assert counts(answers[1]) == (50, 50, 0, 0)
    assert target.samples == 150


def test_first_row_of_each_reason_shows_the_value(endpoint: Endpoint, target: Target) -> None:
    good = rows(0, 10)
    sent = [
        *good[:2],
        changed(good[2], age="old"),
        without(good[3], "job"),
        changed(good[4], age="older"),
        changed(good[5], colour="red"),
        changed(good[6], _dc_prediction="maybe"),
        changed(good[7], _dc_time="2999-01-01T00:00:00Z"),
        b'{"_dc_sample_id": "s8", "age": NaN}',
        b"[1, 2]",
    ]

    answer = content(endpoint.samples(target.version_id, sent))

    assert counts(answer) == (2, 0, 8, 0)
    assert answer["quarantined"] == {
        "wrong_type": 3, "missing_feature": 1, "unknown_field": 1, "unknown_class": 1, "future_timestamp": 1,
        "malformed": 1,
    }  # fmt: skip
    met = {reason: (shown["row"], shown["field"], shown["value"]) for reason, shown in answer["first"].items()}
    assert met == {
        "wrong_type": (2, "age", "old"),
        "missing_feature": (3, "job", None),
        "unknown_field": (5, "colour", "red"),
        "unknown_class": (6, "_dc_prediction", "maybe"),
        "future_timestamp": (7, "_dc_time", "2999-01-01T00:00:00Z"),
        "malformed": (8, "age", "NaN"),
    }
    assert all(shown["detail"] for shown in answer["first"].values())


def test_answer_agrees_with_the_quarantine(endpoint: Endpoint, target: Target) -> None:
    """Every row is wrong: a class of another type, a time without an offset or of another kind, no object."""
    first = rows(0, 1)[0]
    sent = [
        changed(first, **OTHER_CLASS), changed(first, _dc_prediction={"class": "1"}), changed(first, _dc_time="noon"),
        changed(first, _dc_time=None), changed(first, _dc_sample_id=""), changed(first, _dc_sample_id="x" * 2_000),
        changed(first, age=10**400), changed(first, _dc_prediction_probabilities=[0.1, 0.2, 0.7]), b"null", b"{}",
    ]  # fmt: skip

    answer = content(endpoint.samples(target.version_id, sent))

    with db.org_session(target.engine, target.org) as session:
        stored = quarantine.summary(session, QuarantineFilter())
        by_position = {row["position"]: row for row in quarantine.newest_rows(session, QuarantineFilter(), 100)}
    assert counts(answer) == (0, 0, len(sent), 0)
    assert answer["quarantined"] == {group["reason"]: group["rows"] for group in stored}
    for reason, shown in answer["first"].items():
        row = by_position[shown["row"]]
        assert (reason, shown["field"], shown["detail"]) == (row["reason"], row["field"], row["detail"])


def test_bad_rows_that_come_again_are_told_again(endpoint: Endpoint, target: Target) -> None:
    """The quarantine has each of them once; the sender learns the same each time."""
    bad = changed(rows(0, 1)[0], age="old")
    first, second = (content(endpoint.samples(target.version_id, [bad, *rows(1, 1), bad])) for _ in range(2))

    assert counts(first) == (1, 0, 2, 0)
    assert counts(second) == (0, 1, 2, 0)
    assert (first["quarantined"], first["first"]) == (second["quarantined"], second["first"])
    assert target.scalar("select count(*) from quarantine") == 1


def test_conflicting_rows_are_told(endpoint: Endpoint, target: Target) -> None:
    endpoint.samples(target.version_id, rows(0, 5))

    again = [changed(row, age=-1) for row in rows(0, 3)]
    answer = content(endpoint.samples(target.version_id, [*rows(3, 2), *again]))

    assert counts(answer) == (0, 2, 3, 0)
    assert answer["first"]["conflict"]["row"] == 2
    assert (answer["first"]["conflict"]["field"], answer["first"]["conflict"]["value"]) == ("_dc_sample_id", "s0")


def test_rows_that_postgresql_refuses_are_told(endpoint: Endpoint, target: Target) -> None:
    sent = [*rows(0, 2), changed(rows(2, 1)[0], job="a\0b")]

    answer = content(endpoint.samples(target.version_id, sent))

    assert counts(answer) == (2, 0, 1, 0)
    assert (answer["first"]["nul_character"]["field"], answer["first"]["nul_character"]["value"]) == ("job", "a\0b")


def test_label_that_a_later_row_replaces_is_counted(endpoint: Endpoint, target: Target) -> None:
    """It is no duplicate: its content is lost. The last row of an id wins, as the last request would."""
    endpoint.samples(target.version_id, rows(0, 3))
    sent = [
        ("s0", "0"),
        ("s1", "1"),
        ("s0", "1"),
        ("s1", "1"),
        ("s2", "0"),
        ("s2", "1"),
        ("s2", "0"),
        ("s9", "1"),
        ("s9", "0"),
    ]
    body = [json.dumps({"_dc_sample_id": key, "_dc_label": label}).encode() for key, label in sent]
    answer = endpoint.labels(target.model_id, body).json()
    counts = {name: answer[name] for name in ("received", "stored", "duplicates", "replaced", "quarantined", "waiting")}
    assert counts == {
        "received": 9, "stored": 4, "duplicates": 2, "replaced": 3, "quarantined": {}, "waiting": 1,
    }  # fmt: skip
    again = endpoint.labels(target.model_id, body).json()
    assert (again["stored"], again["duplicates"], again["replaced"]) == (0, 6, 3)


def test_labels_that_wait_for_samples_are_counted(endpoint: Endpoint, target: Target) -> None:
    endpoint.samples(target.version_id, rows(0, 10))

    early = content(endpoint.labels(target.model_id, labels(5, 10)))
    again = content(endpoint.labels(target.model_id, labels(5, 10)))
    bad = [b'{"_dc_sample_id": "s1", "_dc_label": [1]}', b'{"_dc_sample_id": "s2"}', b"7"]
    wrong = content(endpoint.labels(target.model_id, [*bad, *labels(0, 5)]))

    assert counts(early) == (10, 0, 0, 5)
    assert counts(again) == (0, 10, 0, 5)
    assert counts(wrong) == (5, 0, 3, 0)
    assert (wrong["first"]["wrong_type"]["field"], wrong["first"]["wrong_type"]["value"]) == ("_dc_label", [1])
    assert wrong["first"]["missing_feature"]["field"] == "_dc_label"

    endpoint.samples(target.version_id, rows(10, 10))
    assert counts(content(endpoint.labels(target.model_id, labels(5, 10)))) == (0, 10, 0, 0)


def test_huge_and_compressed_requests_are_counted(endpoint: Endpoint, target: Target) -> None:
    """A body of more than 100,000 bytes is decoded without being split before."""
    sent = [*rows(0, 3_000), changed(rows(3_000, 1)[0], age="old"), *rows(2_999, 1)]
    assert counts(content(endpoint.samples(target.version_id, sent))) == (3_000, 1, 1, 0)

    body = gzip.compress(b"[" + b",".join(sent) + b"]")
    path = f"model-versions/{target.version_id}/data"
    again = content(endpoint.request("POST", path, body, **{"content-encoding": "gzip"}))
    assert counts(again) == (0, 3_001, 1, 0)
    assert again["first"]["wrong_type"] == {
        "row": 3_000, "field": "age", "value": "old", "detail": again["first"]["wrong_type"]["detail"]
    }  # fmt: skip


@pytest.mark.parametrize("body", [b"[]", b"", b"{}", b"no JSON", b'[{"a": 1}', b"\xff", b'"[]"'])
def test_body_that_is_no_array_of_rows_is_refused(endpoint: Endpoint, target: Target, body: bytes) -> None:
    for path, method in (
        (f"model-versions/{target.version_id}/data", "POST"),
        (f"model/{target.model_id}/labels", "PUT"),
    ):
        response = endpoint.request(method, path, body)
        assert (response.status, bool(error_message(response))) == (400 if body == b"[]" else 422, True)


def test_openapi_describes_the_answers(endpoint: Endpoint) -> None:
    document = json.loads(endpoint.request("GET", "openapi.json").data)
    schemas = document["components"]["schemas"]
    for path, method in (("/model-versions/{version_id}/data", "post"), ("/model/{model_id}/labels", "put")):
        answer = document["paths"][f"/api/v1{path}"][method]["responses"]["200"]["content"]["application/json"][
            "schema"
        ]
        names = {choice["$ref"].rpartition("/")[2] for choice in answer["anyOf"]}
        assert names == {"StoredRows", "AcceptedRows"}
    assert set(schemas["StoredRows"]["properties"]) == {
        "received", "stored", "duplicates", "waiting", "replaced", "quarantined", "first"
    }  # fmt: skip


def test_kafka_answer_checks_the_first_rows(kafka_endpoint: Endpoint, target: Target) -> None:
    good = rows(0, 100)
    answer = content(kafka_endpoint.samples(target.version_id, good))
    assert answer == {
        "received": 100, "accepted": 100, "check_of_first_rows": {"rows": 20, "quarantined": {}, "first": {}}
    }  # fmt: skip

    sent = [good[0], *(changed(row, age="old") for row in good[1:]), changed(good[0], _dc_time="2999-01-01T00:00:00Z")]
    check = content(kafka_endpoint.samples(target.version_id, sent))["check_of_first_rows"]
    assert (check["rows"], check["quarantined"]) == (20, {"wrong_type": 19})
    assert (check["first"]["wrong_type"]["row"], check["first"]["wrong_type"]["value"]) == (1, "old")

    future = content(kafka_endpoint.samples(target.version_id, sent[-1:]))["check_of_first_rows"]
    assert (future["rows"], future["quarantined"]) == (1, {"future_timestamp": 1})
    assert future["first"]["future_timestamp"]["value"] == "2999-01-01T00:00:00Z"


def test_kafka_answer_checks_labels(kafka_endpoint: Endpoint, target: Target) -> None:
    answer = content(kafka_endpoint.labels(target.model_id, [*labels(0, 2), b'{"_dc_sample_id": [1], "_dc_label": 1}']))

    assert (answer["received"], answer["accepted"]) == (3, 3)
    assert answer["check_of_first_rows"]["quarantined"] == {"wrong_type": 1}
    assert answer["check_of_first_rows"]["first"]["wrong_type"]["value"] == [1]


def test_form_without_end_is_refused_and_leaves_no_file(app: App, acme: Acme, target: Target) -> None:
    body, kind = urllib3.encode_multipart_formdata({"batch": ("upload", b"{}", "application/json")})
    with serving(app, acme.token) as endpoint:
        for end in range(len(body) - 60, len(body)):  # a warning of a file that is not closed fails the test
            path = f"model-versions/{target.version_id}/reference"
            response = endpoint.request("POST", path, body[:end], **{"content-type": kind})
            assert response.status in (400, 422), response.data

"""Values that PostgreSQL or JSON treats specially: stored or quarantined, never a 500 and never a failed batch."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from dcmon import db
from dcmon.app import App
from dcmon.db import Organization
from dcmon.jobs import ingest
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, error_message, serving
from tests.integration.conftest import Target, eventually, running

FEATURES = {
    "n": "numeric", "i": "integer", "big": "bigint", "c": "categorical", "t": "text", "yes": "boolean",
    "list": "array_float", "table": "array_float_2d", "when": "datetime",
}  # fmt: skip
GOOD: dict[str, Any] = {
    "_dc_sample_id": "good", "_dc_time": "2026-03-01T00:00:00Z", "_dc_prediction": "1",
    **dict.fromkeys(FEATURES),
}  # fmt: skip
STORED, DEEP = "stored", 50_000
# The field, its value in JSON, and the reason if the row is quarantined.
VALUES: list[tuple[str, str, str]] = [
    ("n", "NaN", "malformed"),
    ("n", "Infinity", "malformed"),
    ("n", "-Infinity", "malformed"),
    ("n", "nan", "malformed"),
    ("n", '"NaN"', "wrong_type"),
    ("n", '"1.5"', STORED),
    ("n", '"1,5"', "wrong_type"),
    ("n", '"1e999"', "out_of_range"),
    ("n", "1e400", "out_of_range"),
    ("n", "-1e400", "out_of_range"),
    ("n", "1e308", STORED),
    ("n", "1e-400", STORED),
    ("n", "-0.0", STORED),
    ("n", "1e5", STORED),
    ("n", "1" * 400, "out_of_range"),
    ("n", "9" * 5000, "out_of_range"),
    ("n", "01", "malformed"),
    ("n", "1.", "malformed"),
    ("n", "{}", "wrong_type"),
    ("n", "[" * DEEP + "]" * DEEP, "wrong_type"),
    ("n", '{"a":' * DEEP + "1" + "}" * DEEP, "wrong_type"),
    ("i", str(2**31), "out_of_range"),
    ("i", str(-(2**31)), STORED),
    ("i", "1e30", "out_of_range"),
    ("i", "3.0", STORED),
    ("i", '"3"', STORED),
    ("i", '"1e999999999999"', "out_of_range"),
    ("i", '"1e-999999999999"', "wrong_type"),
    ("big", str(2**63), "out_of_range"),
    ("big", str(2**63 - 1), STORED),
    ("big", str(-(2**63)), STORED),
    ("big", str(-(2**63) - 1), "out_of_range"),
    ("big", "1e308", "out_of_range"),
    ("big", "9" * 5000, "out_of_range"),
    ("c", '"a\\u0000b"', "nul_character"),
    ("t", '"\\u0000"', "nul_character"),
    ("c", '"\\\\u0000"', STORED),
    ("c", '"\\ud800"', "malformed"),
    ("c", '"\\udc00\\ud800"', "malformed"),
    ("c", '"\\ud83d\\ude00"', STORED),
    ("c", '"a\tb"', "malformed"),
    ("c", '"\\u0001\\u007f"', STORED),
    ("c", '"\\x41"', "malformed"),
    ("c", '{"nested": {"objects": [1, {"a": null}]}}', "wrong_type"),
    ("c", '""', STORED),
    ("c", "5", STORED),
    ("c", "[5]", "wrong_type"),
    ("t", json.dumps("é" * 300_000, ensure_ascii=False), STORED),
    ("t", json.dumps("x" * 1_100_000), "too_long"),
    ("c", json.dumps("]},{[\"'\\"), STORED),
    ("c", json.dumps("'; drop table samples; --%s:x"), STORED),
    ("yes", "1", STORED),
    ("yes", "2", "wrong_type"),
    ("yes", '"maybe"', "wrong_type"),
    ("yes", "True", "malformed"),
    ("yes", "true", STORED),
    ("list", "[]", STORED),
    ("list", "[1, null]", "wrong_type"),
    ("list", "[1e308, 1e-320]", STORED),
    ("list", "[NaN]", "malformed"),
    ("list", "[" + "1," * 50_000 + "1]", STORED),
    ("list", "[[1]]", "wrong_type"),
    ("table", "[]", STORED),
    ("table", "[[]]", "wrong_length"),
    ("table", "[[1], [2, 3]]", "wrong_length"),
    ("table", "[[1, 2], [3, 4]]", STORED),
    ("table", "[[[1]]]", "wrong_type"),
    ("when", '"0001-01-01T00:00:00Z"', "out_of_range"),
    ("when", '"0001-01-01T00:00:00+23:59"', "out_of_range"),
    ("when", '"0001-01-03T00:00:00Z"', STORED),
    ("when", '"9999-12-28T23:59:59.999999-12:00"', STORED),
    ("when", '"9999-12-31T23:59:59-23:59"', "out_of_range"),
    ("when", '"2026-02-30T00:00:00Z"', "wrong_type"),
    ("when", '"0000-01-01T00:00:00Z"', "wrong_type"),
    ("when", '"10000-01-01T00:00:00Z"', "wrong_type"),
    ("when", '"infinity"', "wrong_type"),
    ("when", '"2026-01-01T00:00:00"', "wrong_type"),
    ("when", '"2016-12-31T23:59:60Z"', STORED),
    ("when", '"1969-12-31T23:59:59.1+0130"', STORED),
    ("_dc_time", '"0001-01-01T00:00:00Z"', "out_of_range"),
    ("_dc_time", '"9999-12-31T23:59:59Z"', "future_timestamp"),
    ("_dc_time", '"0001-01-01T00:00:00+23:59"', "out_of_range"),
    ("_dc_time", "1e400", "out_of_range"),
    ("_dc_prediction", '"2"', "unknown_class"),
    ("_dc_prediction", "null", "wrong_type"),
    ("_dc_prediction", '""', "unknown_class"),
    ("_dc_sample_id", '""', "wrong_type"),
    ("_dc_sample_id", json.dumps("x" * 1024), STORED),
    ("_dc_sample_id", json.dumps("é" * 1025), "too_long"),
    ("_dc_sample_id", json.dumps("x" * 1_100_000), "too_long"),
    ("_dc_sample_id", '"\\u0000"', "nul_character"),
    ("_dc_sample_id", "null", "wrong_type"),
    ("_dc_sample_id", "7", STORED),
    ("_dc_sample_id", "true", "wrong_type"),
    ("unknown", "1", "unknown_field"),
    ("x" * 200_000, "1", "unknown_field"),
    ("_dc_too_long", "1", "too_long"),
]  # fmt: skip
WHOLE_ROWS: list[tuple[str, str]] = [
    ("5", "wrong_type"),
    ("null", "wrong_type"),
    ('"text"', "wrong_type"),
    ("[]", "wrong_type"),
    ("NaN", "malformed"),
    ("{}", "missing_feature"),
    ("nonsense", "malformed"),
    ("[" * DEEP + "]" * DEEP, "wrong_type"),
    ('{"a" 1}', "malformed"),
    (json.dumps({**GOOD, "_dc_sample_id": "first"})[:-1] + ', "n": 1, "n": 2, "_dc_sample_id": "second"}', STORED),
]  # fmt: skip


def row(number: int, field: str, value: str) -> str:
    changed = {**GOOD, "_dc_sample_id": f"s{number}", field: "@@"}
    return json.dumps(changed).replace('"@@"', value)


ROWS = [row(number, field, value) for number, (field, value, _) in enumerate(VALUES)] + [text for text, _ in WHOLE_ROWS]
REASONS = [wanted for *_, wanted in VALUES] + [wanted for _, wanted in WHOLE_ROWS]
WANTED = Counter(REASONS)


@pytest.fixture
def odd(engine: Engine, org: Organization) -> Target:
    """Create a version with a feature of each type."""
    with db.org_session(engine, org) as session:
        model = models.create(session, NewModel("odd", "binary"))
        version = versions.create(session, model, NewVersion("v1", FEATURES, classes=["0", "1"]))
        return Target(engine, org, model.id, version.id)


@pytest.fixture
def direct(app: App, acme: Acme) -> Iterator[Endpoint]:
    with serving(app, acme.token) as client:
        yield client


@pytest.fixture
def through_broker(buffered: App, acme: Acme) -> Iterator[Endpoint]:
    with serving(buffered, acme.token) as client, running(ingest.run, buffered):
        yield client


def reasons(target: Target) -> Counter[str]:
    with db.org_session(target.engine, target.org) as session:
        rows = Counter(dict(session.execute(text("select reason, count(*) from quarantine group by 1")).all()))
    return rows + Counter({STORED: target.samples})


def post(client: Endpoint, target: Target, rows: Sequence[str | bytes]) -> int:
    return client.samples(
        target.version_id, [entry.encode() if isinstance(entry, str) else entry for entry in rows]
    ).status


def test_value_is_stored_or_quarantined_directly(direct: Endpoint, odd: Target) -> None:
    assert post(direct, odd, ROWS) == 200
    assert reasons(odd) == WANTED


@pytest.mark.kafka
def test_value_is_stored_or_quarantined_through_broker(through_broker: Endpoint, odd: Target) -> None:
    assert post(through_broker, odd, ROWS) == 200
    assert eventually(lambda: sum(reasons(odd).values()) == len(ROWS))
    assert reasons(odd) == WANTED
    with db.public_session(odd.engine) as session:
        assert session.scalar(text("select count(*) from dead_letters")) == 0


def test_bad_value_has_its_reason_and_is_isolated(direct: Endpoint, odd: Target) -> None:
    for number, bad in enumerate(ROWS):
        assert post(direct, odd, [bad, json.dumps({**GOOD, "_dc_sample_id": f"neighbour {number}"})]) == 200

    with db.org_session(odd.engine, odd.org) as session:
        quarantined = session.execute(text("select row, reason, coalesce(field, '') from quarantine")).all()
    wanted = {row.encode(): reason for row, reason in zip(ROWS, REASONS, strict=True) if reason != STORED}
    assert {bytes(row): reason for row, reason, _ in quarantined} == wanted
    assert {field for *_, field in quarantined} <= {"", *(field[:1000] for field, *_ in VALUES)} | {*GOOD}
    assert odd.samples == len(ROWS) + REASONS.count(STORED)


def test_invalid_utf8_quarantines_its_row(direct: Endpoint, odd: Target) -> None:
    bad = row(1, "c", '"@"').encode().replace(b"@", b"\xff\xfe")
    assert post(direct, odd, [bad, json.dumps(GOOD)]) == 200
    assert reasons(odd) == Counter([STORED, "malformed"])


def test_body_that_cannot_be_split_is_422(direct: Endpoint, odd: Target) -> None:
    for body in ("", "[", "{}", "nonsense", '["', "[{]", "[1,]", "[" * DEEP, "[NaN] [NaN]", "[]", "\ufeff", "\ufeff{}"):
        response = direct.request("POST", f"model-versions/{odd.version_id}/data", body.encode())
        assert (response.status, bool(error_message(response))) == (400 if body == "[]" else 422, True)
    assert reasons(odd) == Counter()


LABELS: list[tuple[str, str]] = [
    ('"a"', STORED),
    ("1", STORED),
    ("1.0", STORED),
    ("null", STORED),
    ('"7"', STORED),
    ("1e308", STORED),
    ("-0.0", STORED),
    ("NaN", "malformed"),
    ("Infinity", "malformed"),
    ("1e400", "out_of_range"),
    ("9" * 5000, "out_of_range"),
    ("1" * 30, STORED),
    ('"\\u0000"', "nul_character"),
    ('"\\ud800"', "malformed"),
    ("true", STORED),
    ("{}", "wrong_type"),
    ("[" * DEEP + "]" * DEEP, "wrong_type"),
    (json.dumps("x" * 200_000), STORED),
    (json.dumps("x" * 1_100_000), "too_long"),
]  # fmt: skip
LABEL_IDS = [
    ('""', "wrong_type"),
    (json.dumps("x" * 1025), "too_long"),
    ("5", STORED),
    ('"\\u0000"', "nul_character"),
]


def label_rows() -> list[bytes]:
    by_value = [f'{{"_dc_sample_id": "s{n}", "_dc_label": {value}}}' for n, (value, _) in enumerate(LABELS)]
    by_id = [f'{{"_dc_sample_id": {value}, "_dc_label": 1}}' for value, _ in LABEL_IDS]
    return [text.encode() for text in [*by_value, *by_id, '{"_dc_label": 1}', "nonsense"]]


LABELS_WANTED = Counter([w for _, w in LABELS + LABEL_IDS] + ["missing_feature", "malformed"])


def label_reasons(target: Target) -> Counter[str]:
    with db.org_session(target.engine, target.org) as session:
        rows = Counter(dict(session.execute(text("select reason, count(*) from quarantine group by 1")).all()))
        model, _ = versions.get(session, target.version_id)
        waiting = session.scalar(text(f"select count(*) from orphan_labels_{model.relation}"))
    return rows + Counter({STORED: waiting})


def test_label_is_stored_or_quarantined_directly(direct: Endpoint, odd: Target) -> None:
    assert direct.labels(odd.model_id, label_rows()).status == 200
    assert label_reasons(odd) == LABELS_WANTED


@pytest.mark.kafka
def test_label_is_stored_or_quarantined_through_broker(through_broker: Endpoint, odd: Target) -> None:
    assert through_broker.labels(odd.model_id, label_rows()).status == 200
    assert eventually(lambda: sum(label_reasons(odd).values()) == sum(LABELS_WANTED.values()))
    assert label_reasons(odd) == LABELS_WANTED


def test_reference_value_is_stored_or_named_in_a_400(direct: Endpoint, odd: Target) -> None:
    names, stored = [*FEATURES, "_dc_prediction"], 0
    for field, value, wanted in VALUES:
        if field not in names or len(value) > 1_000_000:
            continue
        line = [*([None] * len(FEATURES)), "1"]
        line[names.index(field)] = "@@"
        body = json.dumps({"columns": names, "data": [line]}).replace('"@@"', value).encode()
        response = direct.reference(odd.version_id, body)
        assert response.status == (200 if wanted == STORED else 400), (field, value[:50], response.data[:300])
        stored += wanted == STORED
    assert odd.scalar("select reference_revision from versions") == stored


def test_invalid_json_row_of_a_message_is_quarantined(buffered: App, odd: Target, data_dir: Path) -> None:
    """The message comes from another producer than dcmon."""
    from dcmon.ingestion import kafka

    producer, settings = kafka.Producer(buffered.settings.kafka), buffered.settings.kafka
    rows = ",".join([row(1, "n", "NaN"), json.dumps(GOOD)])
    head = f'{{"v": 1, "kind": "samples", "org": {odd.org.id}, "target": {odd.version_id}, '
    message = head + f'"rows" : [{rows}], "logged_at": "2026-11-24T10:00:00Z"}}'
    producer.send(kafka.topic_name(settings, "samples"), [message.encode()])
    producer.close()
    with running(ingest.run, buffered):
        assert eventually(lambda: reasons(odd) == Counter([STORED, "malformed"]))

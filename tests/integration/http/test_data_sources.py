"""An organization's own keys of object stores over HTTP, and models whose object store path is read with them."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from dcmon import db, errors, file_errors
from dcmon.app import App
from dcmon.db import Organization, encryption
from dcmon.ingestion.files import sources, store_keys
from dcmon.ingestion.files.scanner import Scanner, ScanResult
from dcmon.settings import S3
from dcmon.tenancy import provisioning
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.s3_server import KEY, SECRET, Server, server
from tests.helpers.waiting import eventually, is_waiting_for_a_lock
from tests.integration.http.test_rules import send_request

BUCKET = "acme"
PARAMETERS = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region": "us-east-1"}
BODY = {"type": "s3", "parameters": PARAMETERS}
MASKED = {"aws_access_key_id": "********", "aws_secret_access_key": "********", "region": "us-east-1"}
MODEL = {
    "name": "credit", "task_type": "binary", "alerts_delay_labels_ratio": 1, "alerts_delay_seconds": 0,
    "obj_store_path": f"s3://{BUCKET}/old/credit/",
}  # fmt: skip
VERSION = {"features": {"age": "numeric"}, "additional_data": {}, "classes": ["0", "1"]}
SAMPLES = "_dc_sample_id,_dc_time,_dc_prediction,age\na,1772323200,1,30\nb,1772323201,0,40\n"
LABELS = "_dc_sample_id,_dc_label\na,1\n"


@pytest.fixture(scope="module")
def s3() -> Iterator[Server]:
    with server() as created:
        created.client.create_bucket(Bucket=BUCKET)
        yield created


@pytest.fixture
def endpoint(app: App, acme: Acme, s3: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """Serve with the S3 server of the tests. The keys of the process are wrong: no source may be read with them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-process")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-process")
    with (
        App(app.settings.model_copy(update={"s3": s3.settings}), app.output) as new_app,
        serving(new_app, acme.token) as client,
    ):
        yield client


def put(endpoint: Endpoint, status: int = 200, query: str = "", **changes: Any) -> Any:
    body = {"type": "s3", "parameters": {**PARAMETERS, **changes}}
    return send_request(endpoint, "PUT", f"data-sources{query}", body, status)


def listed(endpoint: Endpoint) -> Any:
    return send_request(endpoint, "GET", "data-sources")


@pytest.fixture
def secret_key(endpoint: Endpoint, app: App) -> Iterator[None]:
    """Encrypt what is stored. The connections are opened before, because this sets the keys of the settings."""
    listed(endpoint)
    assert app.engine
    encryption.use_keys([encryption.new_key()])
    yield
    encryption.use_keys([])


def scan(app: App, org: Organization, name: str, settings: S3) -> ScanResult:
    return Scanner(app.engine, org, settings).scan(name)


def source_names(app: App, org: Organization) -> list[str]:
    with db.org_session(app.engine, org) as session:
        return [source.name for source in sources.entries(session)]


@pytest.mark.usefixtures("secret_key")
def test_keys_are_masked_encrypted_and_logged(endpoint: Endpoint, app: App, acme: Acme) -> None:
    assert listed(endpoint) == []
    created = put(endpoint)

    assert listed(endpoint) == [{"id": created["id"], "type": "s3", "parameters": MASKED}]
    with db.org_session(app.engine, acme.org) as session:
        stored = str(session.scalar(text("select to_jsonb(k)::text from store_keys k")))
        assert KEY not in stored
        assert SECRET not in stored
        assert store_keys.of_organization(session) == store_keys.create(KEY, SECRET, "us-east-1")
    logged = str(send_request(endpoint, "GET", "audit-log?kind=object store keys".replace(" ", "%20")))
    assert "***" in logged
    assert KEY not in logged
    assert SECRET not in logged

    assert send_request(endpoint, "DELETE", f"data-sources/{created['id']}") is None
    assert listed(endpoint) == []
    send_request(endpoint, "DELETE", f"data-sources/{created['id']}", None, 404)


def test_keys_replace_earlier_ones_and_a_mask_keeps_them(endpoint: Endpoint, app: App, acme: Acme) -> None:
    """A script that changes what it was shown keeps the keys."""
    first = put(endpoint, query="?check=false", aws_access_key_id="AKIAIOSFODNN7EXAMPLE", region="eu-central-1")
    shown = listed(endpoint)[0]["parameters"]
    assert shown == {**MASKED, "aws_access_key_id": "********MPLE", "region": "eu-central-1"}

    assert put(endpoint, query="?check=false", **{**shown, "region": "eu-west-1"}) == first
    with db.org_session(app.engine, acme.org) as session:
        stored = store_keys.of_organization(session)
        assert stored == store_keys.create("AKIAIOSFODNN7EXAMPLE", SECRET, "eu-west-1")
    assert put(endpoint) == first
    assert listed(endpoint)[0]["parameters"] == MASKED


def test_keys_are_set_while_others_delete_them(endpoint: Endpoint, app: App, acme: Acme) -> None:
    first = put(endpoint)
    with db.org_session(app.engine, acme.org) as session, ThreadPoolExecutor(1) as threads:
        store_keys.delete(session)
        answer = threads.submit(put, endpoint, query="?check=false", region="eu-west-1")
        assert eventually(lambda: answer.done() or is_waiting_for_a_lock(app.engine))
        assert not answer.done(), answer.result()
        session.commit()
        second = answer.result()
    assert second != first
    assert [entry["id"] for entry in listed(endpoint)] == [second["id"]]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**BODY, "type": "gcs"}, 400),
        ({"type": "s3", "parameters": {}}, 400),
        ({"type": "s3", "parameters": {**PARAMETERS, "more": "x"}}, 400),
        ({"type": "s3", "parameters": {**PARAMETERS, "region": "a.example.org#"}}, 400),
        ({"type": "s3", "parameters": {**PARAMETERS, "aws_secret_access_key": ""}}, 400),
        ({"type": "s3", "parameters": {**PARAMETERS, "aws_secret_access_key": "two words"}}, 400),
        ({"type": "s3", "parameters": {**PARAMETERS, "aws_secret_access_key": "********"}}, 400),
        ({"type": "s3", "parameters": {**PARAMETERS, "aws_secret_access_key": "wrong"}}, 400),
        ({"type": "s3", "parameters": {**PARAMETERS, "aws_access_key_id": "unknown"}}, 400),
        ({"type": "s3", "parameters": {**PARAMETERS, "region": 7}}, 422),
        ({"type": "s3"}, 422),
        ({}, 422),
    ],
)
def test_keys_that_no_store_takes_are_refused(endpoint: Endpoint, body: Any, status: int) -> None:
    refused = send_request(endpoint, "PUT", "data-sources", body, status)
    assert SECRET not in str(refused)
    assert listed(endpoint) == []


def test_keys_of_a_store_that_is_away_are_not_stored(endpoint: Endpoint, s3: Server) -> None:
    s3.stop()
    try:
        put(endpoint, 503)
        assert listed(endpoint) == []
        put(endpoint, query="?check=false")
    finally:
        s3.start()


def test_path_of_a_model_is_read_in_the_old_layout(endpoint: Endpoint, app: App, acme: Acme, s3: Server) -> None:
    """Samples of a version and labels of a model are loaded as soon as the organization has keys."""
    created = send_request(endpoint, "POST", "models", MODEL)
    assert "data-sources" in created["warnings"][0]
    for name in ("v1", "v[2]*"):
        send_request(endpoint, "POST", f"models/{created['id']}/version", {"name": name, **VERSION})
    assert source_names(app, acme.org) == ["credit/labels", "credit/v1", "credit/v[2]*"]
    s3.put(BUCKET, "old/credit/v1/2026-03-01.csv", SAMPLES.encode())
    s3.put(BUCKET, "old/credit/v[2]*/2026-03-01T10:00.csv", SAMPLES.replace("a,", "c,").replace("b,", "d,").encode())
    s3.put(BUCKET, "old/credit/v2x/2026-03-01.csv", b"not for this model")
    s3.put(BUCKET, "old/credit/labels/2026-03-02.csv", LABELS.encode())
    with pytest.raises(file_errors.OwnKeysMissing):
        scan(app, acme.org, "credit/v1", s3.settings)

    put(endpoint)
    for name, rows in (("credit/v1", 2), ("credit/v[2]*", 2), ("credit/labels", 1)):
        result = scan(app, acme.org, name, s3.settings)
        assert sum(loaded.outcome.stored for loaded in result.loaded) == rows
        assert result.failed == {}
    assert scan(app, acme.org, "credit/v1", s3.settings).loaded == []


def test_deleted_source_of_a_path_stays_deleted(endpoint: Endpoint, app: App, acme: Acme) -> None:
    """Clients create their model and version again at each start."""
    put(endpoint)
    created = send_request(endpoint, "POST", "models", MODEL)
    assert created.keys() == {"id"}
    body = {"name": "v1", **VERSION}
    version = send_request(endpoint, "POST", f"models/{created['id']}/version", body)
    with db.org_session(app.engine, acme.org) as session:
        sources.remove(session, sources.find(session, "credit/v1"))

    assert send_request(endpoint, "POST", "models", MODEL) == created
    assert send_request(endpoint, "POST", f"models/{created['id']}/version", body) == version
    put(endpoint)
    assert source_names(app, acme.org) == ["credit/labels"]
    send_request(endpoint, "POST", f"models/{created['id']}/version", {"name": "labels", **VERSION})
    assert source_names(app, acme.org) == ["credit/labels"]


def test_sources_are_read_with_keys_of_their_organization(
    endpoint: Endpoint, app: App, acme: Acme, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys of the process and of another organization are not used where an organization has its own."""
    put(endpoint)
    other = provisioning.create_organization(app.engine, "other", "owner@other.example").organization
    with db.org_session(app.engine, other) as session:
        assert store_keys.of_organization(session) is None
        store_keys.put(session, store_keys.create(KEY, "wrong", "us-east-1"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    for org in (acme.org, other):
        with db.org_session(app.engine, org) as session:
            source = sources.DataSource(url=f"s3://{BUCKET}/x", is_of_path=False)
            location = sources.location_of(session, source, s3.settings)
        if org is acme.org:
            assert list(location.pages())
        else:
            with pytest.raises(file_errors.OwnKeysRefused, match="set-keys"):
                list(location.pages())
    with db.org_session(app.engine, other) as session:
        store_keys.delete(session)
        assert list(sources.location_of(session, source, s3.settings).pages())


@pytest.mark.parametrize(
    ("path", "warns"), [("/srv/data", True), ("gs://bucket/x", True), ("s3://", True), ("s3://bucket", False)]
)
def test_path_of_another_kind_is_kept_and_not_read(endpoint: Endpoint, path: str, warns: bool) -> None:
    put(endpoint)
    created = send_request(endpoint, "POST", "models", {**MODEL, "obj_store_path": path})
    assert ("s3://bucket/prefix" in json.dumps(created)) == warns
    assert send_request(endpoint, "GET", f"models/{created['id']}")["obj_store_path"] == path


def test_path_with_a_password_is_refused(endpoint: Endpoint) -> None:
    body = {**MODEL, "obj_store_path": "s3://user:canary@bucket/x"}
    assert "canary" not in str(send_request(endpoint, "POST", "models", body, 400))


@pytest.mark.usefixtures("secret_key")
def test_keys_that_can_not_be_decrypted_are_replaced(endpoint: Endpoint, app: App, acme: Acme) -> None:
    put(endpoint)
    encryption.use_keys([encryption.new_key()])
    assert listed(endpoint)[0]["parameters"] == MASKED
    with db.org_session(app.engine, acme.org) as session, pytest.raises(errors.SecretUnreadable):
        store_keys.of_organization(session)

    put(endpoint)
    with db.org_session(app.engine, acme.org) as session:
        assert store_keys.of_organization(session) == store_keys.create(KEY, SECRET, "us-east-1")
        session.execute(text("update store_keys set access_key_id = '', secret_access_key = ''"))
        with pytest.raises(file_errors.OwnKeysLeftOut):  # never those of the process in their place
            store_keys.of_organization(session)

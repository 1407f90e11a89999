"""Requests with Idempotency-Key are carried out once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo

import pytest
import urllib3
from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.app import App
from dcmon.http import once
from dcmon.jobs import schedule
from dcmon.tenancy import idempotency, tokens
from dcmon.tenancy.permissions import Scope
from dcmon.tenancy.tokens import authenticate
from tests.conftest import Acme
from tests.helpers import valued_model
from tests.helpers.endpoint import Endpoint, serving
from tests.integration.conftest import Target

NOTE = b'[{"title": "a note"}]'


@pytest.fixture
def endpoint(app: App, acme: Acme) -> Iterator[Endpoint]:
    with serving(app, acme.token) as client:
        yield client


def add_note(endpoint: Endpoint, target: Target, key: str, body: bytes = NOTE) -> urllib3.BaseHTTPResponse:
    headers = {"idempotency-key": key, "content-type": "application/json"}
    return endpoint.request("POST", f"models/{target.model_id}/notes", body, **headers)


def test_repeated_key_gets_the_stored_answer(endpoint: Endpoint, target: Target) -> None:
    first, second = add_note(endpoint, target, '"k-1"'), add_note(endpoint, target, "k-1")
    assert (first.status, second.status, first.data) == (200, 200, second.data)
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["content-type"] == first.headers["content-type"]
    assert target.scalar("select count(*) from model_notes") == 1


def test_key_of_another_body_is_refused(endpoint: Endpoint, target: Target) -> None:
    assert add_note(endpoint, target, "k").status == 200
    assert add_note(endpoint, target, "k", b'[{"title": "another"}]').status == 422


def test_request_at_the_same_time_is_refused(endpoint: Endpoint, target: Target) -> None:
    """Of many equal requests at once, one is carried out; the others get its answer or 409."""
    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(lambda _: add_note(endpoint, target, "k"), range(20)))
    assert {answer.status for answer in answers} <= {200, 409}
    assert all("retry-after" in answer.headers for answer in answers if answer.status == 409)
    assert sum(answer.status == 200 and "idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert target.scalar("select count(*) from model_notes") == 1


def test_failed_request_frees_its_key(endpoint: Endpoint, target: Target) -> None:
    assert add_note(endpoint, target, "k", b"[]").status == 400
    assert add_note(endpoint, target, "k").status == 200


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "two words"])
def test_unusable_key_is_refused(endpoint: Endpoint, target: Target, key: str) -> None:
    assert add_note(endpoint, target, key).status == 400


def test_stranger_with_a_key_is_not_answered(endpoint: Endpoint, target: Target) -> None:
    assert add_note(endpoint, target, "k").status == 200
    stranger = Endpoint(endpoint.url, "dcm_AAAAAAAAAA_" + "A" * 43, endpoint.pool)
    assert add_note(stranger, target, "k").status == 401


def test_old_keys_are_deleted(endpoint: Endpoint, engine: Engine, target: Target) -> None:
    assert add_note(endpoint, target, "old").status == 200
    with db.org_session(engine, target.org) as session:
        session.execute(text("update idempotency_keys set created_at = now() - interval '2 days'"))
    assert add_note(endpoint, target, "new").status == 200
    assert idempotency.delete_old(engine, target.org, timedelta(days=1)) == 1
    assert target.scalar("select min(key) from idempotency_keys") == "new"


def test_request_of_a_dead_process_can_be_repeated(endpoint: Endpoint, engine: Engine, target: Target) -> None:
    """A process claimed the key and died: after the lease, an equal request is carried out."""
    assert add_note(endpoint, target, "k").status == 200
    with db.org_session(engine, target.org) as session:
        session.execute(text("update idempotency_keys set status = null"))
    assert add_note(endpoint, target, "k").status == 409
    with db.org_session(engine, target.org) as session:
        session.execute(text("update idempotency_keys set claimed_at = now() - interval '1 hour'"))
    assert "idempotency-replayed" not in add_note(endpoint, target, "k").headers


def test_request_that_still_runs_is_not_repeated(engine: Engine, target: Target) -> None:
    """The process of a long request renews its lease, and stores its answer in the end."""
    retention = timedelta(days=1)
    claimed = idempotency.claim(engine, target.org, "long", b"f", retention)
    assert isinstance(claimed, idempotency.Claim)
    with db.org_session(engine, target.org) as session:
        statement = text("update idempotency_keys set claimed_at = now() - interval '1 hour' returning claimed_at")
        claimed.claimed_at = session.execute(statement).scalar_one()
    idempotency.renew(engine, claimed)
    with pytest.raises(errors.KeyInUse):
        idempotency.claim(engine, target.org, "long", b"f", retention)
    idempotency.store(engine, claimed, idempotency.StoredResponse(200, None, b"done"))
    assert idempotency.claim(engine, target.org, "long", b"f", retention) == (200, None, b"done")


def test_clock_of_a_machine_ends_no_lease(engine: Engine, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is an hour ahead does not take over a request in progress of another one."""

    class AnHourAhead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "AnHourAhead":
            return cls.fromtimestamp(datetime.now(UTC).timestamp() + 3600, tz)

    retention = timedelta(days=1)
    claimed = idempotency.claim(engine, target.org, "k", b"f", retention)
    monkeypatch.setattr(idempotency, "datetime", AnHourAhead)
    with pytest.raises(errors.KeyInUse):
        idempotency.claim(engine, target.org, "k", b"f", retention)
    assert isinstance(claimed, idempotency.Claim)
    idempotency.renew(engine, claimed)
    assert claimed.claimed_at < datetime.now(UTC) + timedelta(minutes=30)


def test_key_without_the_permission_is_refused(app: App, endpoint: Endpoint, target: Target) -> None:
    """A repetition passes the check of its route: a token that may only read gets no stored answer."""
    assert add_note(endpoint, target, "k").status == 200
    with app.public() as session:
        owner = authenticate(session, endpoint.token)
        token = tokens.create(session, target.org.id, owner.user_id, "reader", None, Scope.READ)
    reader = Endpoint(endpoint.url, token, endpoint.pool)
    assert add_note(reader, target, "k").status == 403


def test_key_for_a_large_json_body_is_refused(app: App, endpoint: Endpoint, target: Target) -> None:
    body = b" " * (app.settings.http.max_json_bytes + 1)
    assert add_note(endpoint, target, "k", body).status == 413
    assert target.scalar("select count(*) from idempotency_keys") == 0


def test_key_for_a_new_token_is_refused(endpoint: Endpoint, target: Target) -> None:
    """The answer has a secret, which is not stored."""
    headers = {"idempotency-key": "k", "content-type": "application/json"}
    assert endpoint.request("POST", "tokens", b'{"name": "n"}', **headers).status == 422
    assert target.scalar("select count(*) from idempotency_keys") == 0


def test_repeated_rows_get_the_stored_answer(endpoint: Endpoint, target: Target) -> None:
    """The route reads its body itself, which counts once in the budget of all bodies."""
    path = f"model-versions/{target.version_id}/data"
    answers = [
        endpoint.request("POST", path, b'[{"_dc_sample_id": "1"}]', **{"idempotency-key": "r"}) for _ in range(2)
    ]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].data == answers[1].data
    assert answers[1].headers["idempotency-replayed"] == "true"


def test_work_that_is_not_queued_leaves_its_request_done(app: App, endpoint: Endpoint, target: Target) -> None:
    """The change is stored already: an error would free the key, and a repetition would make it again."""
    valued_model.fill(app, target)
    check = valued_model.create_check(app, target, "PercentOfNulls")
    path, headers = f"checks/{check}/monitors", {"idempotency-key": "k", "content-type": "application/json"}
    body = b'{"name": "nulls", "lookback": 86400, "aggregation_window": 1, "frequency": "DAY"}'
    with failing_work_queue(app):
        first, second = (endpoint.request("POST", path, body, **headers) for _ in range(2))
    assert (first.status, second.status, second.headers.get("idempotency-replayed")) == (200, 200, "true")
    assert (first.data, target.scalar("select count(*) from monitors")) == (second.data, 1)
    assert schedule.sweep(app) == 1


@pytest.mark.parametrize("when", ["new.status is not null", "new.status is null"])
def test_request_is_done_though_its_key_can_not_be_written(
    endpoint: Endpoint, target: Target, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The answer, or the renewal of the lease, meets an error of PostgreSQL that is no outage."""
    monkeypatch.setattr(once, "RENEWAL", timedelta(milliseconds=1))
    fail = "begin raise exception 'full' using errcode = '54000'; end"
    with db.org_session(target.engine, target.org) as session:
        session.execute(text(f"create function fail() returns trigger language plpgsql as $${fail}$$"))
        session.execute(
            text(
                "create trigger fail before update on idempotency_keys for each row"
                f" when ({when}) execute function fail()"
            )
        )
    assert add_note(endpoint, target, "k").status == 200
    assert target.scalar("select count(*) from model_notes") == 1


@contextmanager
def failing_work_queue(app: App) -> Iterator[None]:
    """Let each statement that queues work fail as when PostgreSQL goes away."""
    fail = "begin raise exception 'gone' using errcode = '57P01'; end"
    with app.engine.begin() as connection:
        connection.execute(text(f"create function public.fail() returns trigger language plpgsql as $${fail}$$"))
        connection.execute(
            text("create trigger fail before insert or update on public.work_queue execute function public.fail()")
        )
    yield
    with app.engine.begin() as connection:
        connection.execute(text("drop function public.fail() cascade"))

"""Tokens of the old system work unchanged after an import."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest
from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.tenancy import imported_tokens, tokens
from dcmon.tenancy.imported_tokens import Imported
from dcmon.tenancy.permissions import Role
from tests.conftest import Acme
from tests.helpers.waiting import PATIENCE, eventually

REQUESTS = 20  # more than may be compared at once
SECRET = "AbCdEfGhIjKlMnOpQrSt-_"
ANN, BOB = "ann@acme.example", "bob+x@acme.example"


def _old(email: str, secret: str = SECRET) -> str:
    return f"{base64.urlsafe_b64encode(email.encode()).decode()}.{secret}"


def _hash(secret: str = SECRET) -> str:
    return bcrypt.hashpw(secret.encode(), bcrypt.gensalt(7)).decode()


def _import(engine: Engine, acme: Acme, *lines: str, role: Role = Role.MEMBER) -> list[Imported]:
    with db.public_session(engine) as session:
        return list(imported_tokens.import_lines(session, acme.org.id, lines, role))


def _user(engine: Engine, token: str) -> tuple[str, Role]:
    with db.public_session(engine) as session:
        bearer = tokens.authenticate(session, token)
        return bearer.email, bearer.role


def test_old_token_works_after_import_of_its_text(engine: Engine, acme: Acme) -> None:
    rows = _import(engine, acme, _old(ANN), "", _old(ANN), _old(ANN, "z" * 22), role=Role.INGESTER)
    assert [row.outcome for row in rows] == ["imported", "duplicate", "imported"]
    assert _user(engine, _old(ANN)) == _user(engine, _old(ANN, "z" * 22)) == (ANN, Role.INGESTER)
    for wrong in (_old(ANN, "y" * 22), _old(BOB), _old(ANN)[:-1]):
        with pytest.raises(errors.NotAuthenticated):
            _user(engine, wrong)


@pytest.mark.parametrize("separator", [",", "\t", ";", " | "])
def test_old_token_works_after_import_of_its_hash(engine: Engine, acme: Acme, separator: str) -> None:
    (row,) = _import(engine, acme, "email,api_secret_hash", f"{BOB}{separator}{_hash()}")
    assert (row.outcome, row.user) == ("imported", BOB)
    with pytest.raises(errors.NotAuthenticated):
        _user(engine, _old(BOB, "wrong" * 5))
    assert _user(engine, _old(BOB)) == _user(engine, _old(BOB)) == (BOB, Role.MEMBER)
    with db.public_session(engine) as session:
        stored = session.execute(text("select bcrypt_hash, length(digest) from tokens where name = 'imported'")).one()
        tokens.revoke(session, acme.org.id, _old(BOB))
    assert tuple(stored) == (None, 32)
    with pytest.raises(errors.NotAuthenticated):
        _user(engine, _old(BOB))


def test_wrong_tokens_of_a_user_do_not_keep_the_owner_out(engine: Engine, acme: Acme) -> None:
    """Who knows an e-mail can send wrong tokens before the right one was used for the first time."""
    _import(engine, acme, f"{ANN},{_hash()}")
    for number in range(REQUESTS):
        with pytest.raises(errors.NotAuthenticated):
            _user(engine, _old(ANN, f"wrong-secret-{number:09}"))
    assert _user(engine, _old(ANN)) == (ANN, Role.MEMBER)


def test_few_hashes_are_compared_at_once(engine: Engine, acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are refused as busy, not as wrong, and hold no thread and no connection."""
    _import(engine, acme, f"{ANN},{_hash()}")
    lock, busy, most, refused = threading.Lock(), 0, 0, threading.Semaphore(0)
    places = imported_tokens.MAX_COMPARING + imported_tokens.MAX_WAITING

    def compare(secret: bytes, stored: bytes) -> bool:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        if refused.acquire(timeout=PATIENCE):
            refused.release()
        with lock:
            busy -= 1
        return False

    def send(number: int) -> str:
        try:
            with db.public_session(engine) as session:
                compare_first = imported_tokens.compare_before(session, _old(ANN, f"other-secret-{number:09}"))
            compare_first()
        except errors.TooBusy as error:
            refused.release()
            return str(error)
        return "compared"

    monkeypatch.setattr(bcrypt, "checkpw", compare)
    with ThreadPoolExecutor(places + 5) as clients:
        outcomes = list(clients.map(send, range(places + 5)))
    assert most == imported_tokens.MAX_COMPARING
    assert outcomes.count("compared") >= places
    assert any("Try again" in outcome for outcome in outcomes)


def test_token_in_many_requests_at_once_is_compared_once(
    engine: Engine, acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that starts sends many requests before the first one replaces the hash: none of them is refused."""
    compared, compare = list[bytes](), bcrypt.checkpw

    def compare_slowly(secret: bytes, stored: bytes) -> bool:
        compared.append(secret)
        assert eventually(lambda: pool.pool.checkedout() == REQUESTS, every=0.01)  # all have begun
        return compare(secret, stored)

    carol = _old("carol@acme.example")
    _import(engine, acme, f"carol@acme.example,{_hash()}")
    pool = db.engine(engine.url.render_as_string(hide_password=False), pool_size=REQUESTS)
    monkeypatch.setattr(bcrypt, "checkpw", compare_slowly)
    with ThreadPoolExecutor(REQUESTS) as clients:
        users = list(clients.map(lambda _: _user(pool, carol), range(REQUESTS)))
    pool.dispose()
    assert users == [("carol@acme.example", Role.MEMBER)] * REQUESTS
    assert len(compared) == 1


def test_line_that_is_no_token_is_refused_alone(engine: Engine, acme: Acme) -> None:
    costly = _hash().replace("$07$", "$31$")
    lines = ["nonsense", _old("no-address"), f"{ANN},{costly}", "####", _old(BOB)]
    rows = _import(engine, acme, *lines)
    assert [(row.line, row.outcome) for row in rows] == [
        (1, "refused"), (2, "refused"), (3, "refused"), (5, "imported")
    ]  # fmt: skip
    assert all(SECRET not in str(row) for row in rows)

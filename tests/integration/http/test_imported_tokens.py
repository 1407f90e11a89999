"""Tokens of the old system over HTTP: imported by a command, used on two server processes, revoked by a command."""

import base64
from pathlib import Path

import bcrypt
import pytest

from tests.conftest import Acme
from tests.helpers.command_line import dcmon
from tests.helpers.serve_process import ServeProcess, serving_process
from tests.helpers.waiting import eventually

SECRET = "AbCdEfGhIjKlMnOpQrSt-_"
ANN, BOB = "ann@acme.example", "bob@acme.example"
REQUESTS = 12  # over connections of their own: both processes get some


def _old(email: str, secret: str = SECRET) -> str:
    return f"{base64.urlsafe_b64encode(email.encode()).decode()}.{secret}"


def _statuses(served: ServeProcess, token: str, count: int = REQUESTS) -> list[int]:
    return [served.request("GET", "/api/v1/say-hello", authorization=f"Basic {token}").status for _ in range(count)]


@pytest.mark.parametrize("is_hashed", [False, True])
def test_imported_token_works_until_it_is_revoked(
    database_url: str, tmp_path: Path, acme: Acme, is_hashed: bool
) -> None:
    """Tokens are cached for an hour here: only PostgreSQL's announcement can tell both processes of a revocation."""

    def run(*arguments: str) -> str:
        done = dcmon(*arguments, data_dir=tmp_path, url=database_url)
        assert done.returncode == 0, done.stderr
        return done.stdout

    file = tmp_path / "tokens.csv"
    hashed = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(7)).decode()
    file.write_text(f"{ANN},{hashed}\n{BOB},{hashed}\n" if is_hashed else f"{_old(ANN)}\n{_old(BOB)}\n")
    settings = {"HTTP__FRESH": "3600", "HTTP__DRAIN": "0"}
    with serving_process(database_url, tmp_path, acme.token, "--workers", "2", **settings) as served:
        assert set(_statuses(served, _old(ANN))) == {401}
        assert SECRET not in run("token", "import", str(file), "--role", "viewer")
        assert set(_statuses(served, _old(ANN)) + _statuses(served, _old(BOB))) == {200}
        wrong = _old(ANN, "z" * 22)
        assert set(_statuses(served, wrong, 80)) == {401, 429}
        assert eventually(lambda: set(_statuses(served, _old(ANN))) == {200})
        run("token", "delete", _old(ANN), "--yes")
        assert eventually(lambda: 200 not in _statuses(served, _old(ANN)))
        assert eventually(lambda: set(_statuses(served, _old(BOB))) == {200})  # the address is throttled still
        run("member", "delete", BOB, "--yes")
        assert eventually(lambda: 200 not in _statuses(served, _old(BOB)))
        assert eventually(lambda: _statuses(served, acme.token, 1) == [200])
    assert SECRET not in served.output
    prefixes = {line["token"] for line in served.log_lines if line.get("token")}
    assert len(prefixes) == 3  # of Ann's, Bob's and the owner's token
    assert {prefix[:4] for prefix in prefixes} == {"old_", "dcm_"}

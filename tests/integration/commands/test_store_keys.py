"""An organization's own keys of object stores on the command line: from files, and never in arguments."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from dcmon.db import encryption
from tests.helpers.command_line import dcmon
from tests.helpers.s3_server import KEY, SECRET, Server, server
from tests.integration.conftest import Target

Run = Callable[..., Any]
CREDENTIALS = f"[acme]\n# a profile\naws_access_key_id = {KEY}\naws_secret_access_key={SECRET}\n"
MASK = "********"


@pytest.fixture(scope="module")
def s3() -> Iterator[Server]:
    with server() as created:
        yield created


@pytest.fixture
def run(target: Target, database_url: str, tmp_path: Path, s3: Server) -> Run:
    """Return a function that runs a command and returns its exit code, and its JSON or its error."""

    def run_command(*arguments: str, exit_code: int = 0, **settings: str) -> Any:
        wanted = {"DCMON_S3__ENDPOINT_URL": s3.url, **settings}
        done = dcmon("-o", "json", *arguments, data_dir=tmp_path, url=database_url, **wanted)
        assert done.returncode == exit_code, done.stderr
        assert SECRET not in done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr

    return run_command


def test_keys_of_a_file_are_set_shown_and_deleted(run: Run, target: Target, tmp_path: Path) -> None:
    file = tmp_path / "keys.ini"
    file.write_text(CREDENTIALS)
    masked = {"type": "s3", "aws_access_key_id": MASK, "aws_secret_access_key": MASK, "region": "eu-central-1"}
    assert "No keys" in run("source", "show-keys") or run("source", "show-keys") == []

    set_keys = ("source", "set-keys", "--from", str(file), "--region", "eu-central-1")
    assert run(*set_keys, "--dry-run")["effects"] == {"store_keys": {"added": 1}}
    stored = run(*set_keys)
    assert stored == {**masked, "replaced": False, "sources": []}
    file.write_text(json.dumps({"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region": "eu-central-1"}))
    assert run("source", "set-keys", "--from", str(file))["replaced"]
    assert [{**row, "id": 0} for row in run("source", "show-keys")] == [{"id": 0, **masked}]

    row = {"deleted": "s3", "unreadable": 0, "with_worker_keys": 0}
    assert run("source", "delete-keys", "--dry-run") == {"dry_run": True, **row}
    assert "--yes" in run("source", "delete-keys", exit_code=2)
    assert run("source", "delete-keys", "--yes") == row
    run("source", "delete-keys", "--yes", exit_code=5)


@pytest.mark.parametrize(
    ("content", "exit_code", "message"),
    [
        ("", 2, "aws_access_key_id is missing"),
        (CREDENTIALS, 2, "region is missing"),
        (CREDENTIALS + CREDENTIALS, 2, "several values"),
        (CREDENTIALS.replace(SECRET, "wrong") + "region = us-east-1", 4, "refused the organization's own keys"),
        (f'{{"aws_secret_access_key": "{SECRET}"', 2, "no valid JSON"),
        (CREDENTIALS + "region = not a region", 2, "is not a region"),
    ],
)
def test_keys_that_can_not_be_used_are_refused(
    run: Run, tmp_path: Path, content: str, exit_code: int, message: str
) -> None:
    file = tmp_path / "keys.ini"
    file.write_text(content)
    assert message in run("source", "set-keys", "--from", str(file), exit_code=exit_code)
    assert "--from" in run("source", "set-keys", exit_code=2)
    assert "There is no file" in run("source", "set-keys", "--from", str(tmp_path / "none"), exit_code=5)


def test_keys_are_encrypted_by_a_rotation(run: Run, target: Target, tmp_path: Path) -> None:
    file = tmp_path / "keys.ini"
    file.write_text(CREDENTIALS + "region = us-east-1\n")
    run("source", "set-keys", "--from", str(file))
    stored = f"select to_jsonb(k)::text from {target.org.schema}.store_keys k"
    with target.engine.connect() as connection:
        assert SECRET in str(connection.scalar(text(stored)))
    old, new = encryption.new_key(), encryption.new_key()
    for keys in (old, f"{new}, {old}"):
        rotated = run("secret-key", "rotate", DCMON_SECRET_KEYS=keys)
        assert (rotated[0]["receivers"], rotated[0]["store_keys"]) == (0, 1)
    with target.engine.connect() as connection:
        row = str(connection.scalar(text(stored)))
    assert SECRET not in row
    assert KEY not in row
    assert run("secret-key", "rotate", DCMON_SECRET_KEYS=new)[0]["store_keys"] == 0


def test_path_of_a_model_makes_sources(run: Run, target: Target) -> None:
    first = run("model", "set-path", "credit", "s3://acme/credit/")
    assert first["sources"] == ["credit/labels", "credit/v1"]
    assert not first["has_keys"]
    second = run("model", "set-path", "credit", "s3://acme/other")
    assert (second["sources"], second["removed"]) == (first["sources"], first["sources"])
    assert run("source", "show", "credit/v1")["is_of_path"]
    assert run("model", "set-path", "credit", "none")["removed"] == first["sources"]
    assert run("source", "list") == []
    assert "s3://bucket/prefix" in run("model", "set-path", "credit", "/srv", exit_code=2)

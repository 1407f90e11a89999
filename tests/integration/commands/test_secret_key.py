"""Secrets of receivers are encrypted in PostgreSQL, and a new key replaces an old one."""

import json
from pathlib import Path

from sqlalchemy import text

from dcmon.db import encryption
from tests.helpers.command_line import dcmon
from tests.helpers.http_receiver import http_receiver
from tests.integration.conftest import Target

OLD, NEW = encryption.new_key(), encryption.new_key()
ADD = ("webhook", "add", "team", "--header", "Authorization: Bearer canary-7Qd")


def stored_row(target: Target) -> str:
    """Return the receiver's row as PostgreSQL holds it."""
    with target.engine.connect() as connection:
        rows = connection.execute(text(f"select to_jsonb(w)::text from {target.org.schema}.webhooks w")).scalars()
        return "".join(rows)


def test_secrets_are_stored_encrypted_and_rotated(target: Target, database_url: str, tmp_path: Path) -> None:
    def run(*arguments: str, keys: str | None) -> str:
        settings = {"DCMON_WEBHOOKS__ALLOW": "127.0.0.1", **({"DCMON_SECRET_KEYS": keys} if keys else {})}
        done = dcmon(*arguments, data_dir=tmp_path, url=database_url, **settings)
        return f"{done.returncode}{done.stdout}{done.stderr}"

    with http_receiver() as receiver:
        assert run(*ADD, receiver.url, keys=None).startswith("0")
        assert "canary-7Qd" in stored_row(target)
        assert run("secret-key", "rotate", keys=None).startswith("2")
        assert json.loads(run("-o", "json", "secret-key", "rotate", "--dry-run", keys=OLD)[1:])[0]["receivers"] == 1
        assert "canary-7Qd" in stored_row(target)
        assert run("secret-key", "rotate", keys=OLD).startswith("0")
        assert "canary-7Qd" not in stored_row(target)
        assert run("secret-key", "rotate", keys=f"{NEW}, {OLD}").startswith("0")
        assert run("webhook", "test", "--here", "team", keys=NEW).startswith("0")
        assert receiver.requests[-1].headers["authorization"] == "Bearer canary-7Qd"
        unreadable = run("webhook", "test", "--here", "team", keys=OLD)
        assert not unreadable.startswith("0")
        assert "DCMON_SECRET_KEYS" in unreadable
        assert run("webhook", "list", keys=OLD).startswith("0")
        assert run("secret-key", "rotate", keys=OLD).startswith("3")

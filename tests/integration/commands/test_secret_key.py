"""Secrets of receivers are encrypted in PostgreSQL, and a new key replaces an old one."""

import json
from pathlib import Path

from sqlalchemy import text

from dcmon.db import encryption
from tests.helpers.command_line import dcmon
from tests.helpers.http_receiver import http_receiver
from tests.integration.conftest import Target

OLD, NEW = encryption.new_key(), encryption.new_key()
ADD = ("receiver", "create", "team", "--header", "Authorization: Bearer canary-7Qd")


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
        tried = run("-o", "json", "-q", "secret-key", "rotate", "--dry-run", keys=OLD)
        assert json.loads(tried[1:])[0]["receivers"] == 1
        assert "canary-7Qd" in stored_row(target)
        assert run("secret-key", "rotate", keys=OLD).startswith("0")
        assert "canary-7Qd" not in stored_row(target)
        assert run("secret-key", "rotate", keys=f"{NEW}, {OLD}").startswith("0")
        assert run("receiver", "test", "--here", "team", keys=NEW).startswith("0")
        assert receiver.requests[-1].headers["authorization"] == "Bearer canary-7Qd"
        unreadable = run("receiver", "test", "--here", "team", keys=OLD)
        assert not unreadable.startswith("0")
        assert "DCMON_SECRET_KEYS" in unreadable
        assert run("receiver", "list", keys=OLD).startswith("0")
        assert run("secret-key", "rotate", keys=OLD).startswith("3")


def test_addresses_and_arguments_are_encrypted_and_masked(target: Target, database_url: str, tmp_path: Path) -> None:
    """Rows from before the key are encrypted by a rotation; no list and no log of changes shows a secret."""

    def run(*arguments: str, keys: str | None = OLD) -> str:
        settings = {"DCMON_WEBHOOKS__ALLOW": "127.0.0.1", **({"DCMON_SECRET_KEYS": keys} if keys else {})}
        done = dcmon(*arguments, data_dir=tmp_path, url=database_url, **settings)
        return f"{done.returncode}{done.stdout}{done.stderr}"

    with http_receiver() as receiver:
        url = f"{receiver.url}/services/canary-url"
        assert run("receiver", "create", "before", url, "--kind", "slack", keys=None).startswith("0")
        assert "canary" in stored_row(target)
        assert run("secret-key", "rotate").startswith("0")
        for name, *address in (
            ("chat", url, "--kind", "slack"), ("room", url, "--kind", "teams"), ("hook", f"{receiver.url}/?canary=1"),
            ("page", "--kind", "command", "--", "/bin/true", "canary-argument"),
        ):  # fmt: skip
            assert run("receiver", "create", name, *address).startswith("0")
        assert "canary" not in stored_row(target)
        assert run("secret-key", "rotate", keys=f"{NEW},{OLD}").startswith("0")
        for name in ("before", "chat", "room", "hook", "page"):
            assert run("receiver", "test", "--here", name, keys=NEW).startswith("0")
        assert {request.path for request in receiver.requests} == {"/services/canary-url", "/?canary=1"}
        for keys in (NEW, OLD):
            shown = run("receiver", "list", keys=keys) + run("receiver", "show", "page", keys=keys)
            shown += run("-o", "json", "audit-log", "list", keys=keys)
            assert "canary" not in shown
            assert encryption.MARK.decode() not in shown
            assert ("/bin/true" in shown, "DCMON_SECRET_KEYS" in shown) == (keys == NEW, keys == OLD)


def test_secrets_of_a_lost_key_are_entered_again(target: Target, database_url: str, tmp_path: Path) -> None:
    """As the error says: the address is given again as a whole, and a webhook gets a new signing secret."""

    def run(*arguments: str, keys: str) -> str:
        settings = {"DCMON_WEBHOOKS__ALLOW": "127.0.0.1", "DCMON_SECRET_KEYS": keys}
        done = dcmon(*arguments, data_dir=tmp_path, url=database_url, **settings)
        return f"{done.returncode}{done.stdout}{done.stderr}"

    with http_receiver() as receiver:
        assert run(*ADD, f"{receiver.url}/lost", keys=OLD).startswith("0")
        assert run("receiver", "set", "team", "--header", "X-Key: new", keys=NEW).startswith("2")
        changed = run("receiver", "set", "team", f"{receiver.url}/new", "--header", "X-Key: new", keys=NEW)
        assert changed.startswith("0")
        assert "lost" not in changed
        assert run("receiver", "rotate", "team", "--yes", keys=NEW).startswith("0")
        assert run("receiver", "test", "--here", "team", keys=NEW).startswith("0")
        assert (receiver.requests[-1].path, receiver.requests[-1].headers["x-key"]) == ("/new", "new")
        assert "authorization" not in receiver.requests[-1].headers

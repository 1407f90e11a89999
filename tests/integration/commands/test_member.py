"""Members and tokens on the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Acme
from tests.helpers.installed import Dcmon
from tests.integration.tenancy.test_imported_tokens import _old


@pytest.fixture
def dcmon(with_url: Callable[[str], Dcmon], database_url: str) -> Dcmon:
    """Return dcmon on a database with organization acme."""
    return with_url(database_url)


def _rows(dcmon: Dcmon, *arguments: str) -> Any:
    done = dcmon("-o", "json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_member_is_added_changed_and_removed(dcmon: Dcmon, acme: Acme) -> None:
    assert _rows(dcmon, "member", "create", "ann@acme.example", "--role", "viewer")["role"] == "viewer"
    _rows(dcmon, "member", "set", "ann@acme.example", "--role", "admin")
    assert [row["role"] for row in _rows(dcmon, "member", "list")] == ["owner", "admin"]
    token = _rows(dcmon, "token", "create", "x", "--user", "ann@acme.example", "--scope", "read", "--expires", "12h")
    assert token["scope"] == "read"
    goes = _rows(dcmon, "member", "delete", "ann@acme.example", "--dry-run")
    assert (goes["dry_run"], goes["tokens"]) == (True, 1)
    _rows(dcmon, "member", "delete", "ann@acme.example", "--yes")
    assert [row["name"] for row in _rows(dcmon, "token", "list")] == ["first"]
    assert _rows(dcmon, "member", "invite", "ann@acme.example")["code"].startswith("inv_")
    assert _rows(dcmon, "member", "restrict", "own")["members_see"] == "own models"


def test_member_is_shown_with_tokens_and_models(dcmon: Dcmon, acme: Acme) -> None:
    shown = _rows(dcmon, "member", "show", "owner@acme.example")
    assert (shown["role"], shown["sees_all_models"], len(shown["tokens"])) == ("owner", True, 1)


def test_invitation_is_listed_and_withdrawn(dcmon: Dcmon, acme: Acme) -> None:
    _rows(dcmon, "member", "invite", "ann@acme.example", "--role", "viewer")
    assert [(row["email"], row["role"]) for row in _rows(dcmon, "invitation", "list")] == [
        ("ann@acme.example", "viewer")
    ]
    assert _rows(dcmon, "invitation", "delete", "ann@acme.example")["deleted"] == "ann@acme.example"
    assert _rows(dcmon, "invitation", "list") == []
    assert dcmon("invitation", "delete", "ann@acme.example").returncode == 5


def test_organization_is_renamed_unless_name_is_taken(dcmon: Dcmon, acme: Acme) -> None:
    assert _rows(dcmon, "org", "rename", "acme", "acme-europe")["name"] == "acme-europe"
    assert [row["name"] for row in _rows(dcmon, "org", "list")] == ["acme-europe"]
    _rows(dcmon, "org", "create", "other")
    assert dcmon("org", "rename", "other", "acme-europe").returncode == 6
    assert dcmon("org", "rename", "other", "/").returncode == 2


@pytest.mark.parametrize("arguments", [["set-role", "ann@acme.example", "viewer"], ["remove", "ann@acme.example"]])
def test_unknown_member_is_refused_with_what_to_do(dcmon: Dcmon, acme: Acme, arguments: list[str]) -> None:
    done = dcmon("member", *arguments)
    assert (done.returncode, "member list" in done.stderr) == (5, True)


def test_token_that_expires_at_once_is_refused(dcmon: Dcmon, acme: Acme) -> None:
    for arguments in (["--expires", "0d"], ["--expires", "0s"], ["--days", "0"]):
        done = dcmon("token", "create", "x", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
    assert [row["name"] for row in _rows(dcmon, "token", "list")] == ["first"]


def test_name_of_another_token_is_refused(dcmon: Dcmon, acme: Acme) -> None:
    """It would mean none of the two; that of a token that is deleted is free."""
    for arguments in ([], ["--dry-run"]):
        done = dcmon("token", "create", "first", *arguments)
        assert (done.returncode, done.stdout, "Choose another name" in done.stderr) == (6, "", True)
    assert dcmon("token", "delete", "first", "--yes").returncode == 0
    assert dcmon("token", "create", "first").returncode == 0


def test_token_without_a_name_is_created_again_and_again(dcmon: Dcmon, acme: Acme) -> None:
    """The name that dcmon gives may be that of several."""
    assert [_rows(dcmon, "token", "create")["name"] for _ in range(2)] == ["sdk", "sdk"]
    assert dcmon("token", "create", "sdk").returncode == 6


def test_last_owner_is_not_removed(dcmon: Dcmon, acme: Acme) -> None:
    remove = ["remove", "owner@acme.example"]
    for arguments in ([*remove, "--yes"], [*remove, "--dry-run"], ["set-role", "owner@acme.example", "viewer"]):
        done = dcmon("member", *arguments)
        assert (done.returncode, "last owner" in done.stderr) == (6, True)
    done = dcmon("member", "create", "ann@acme.example", "--role", "king")
    assert (done.returncode, "owner, admin, member" in done.stderr) == (2, True)


def test_import_of_tokens_says_what_became_of_each(dcmon: Dcmon, acme: Acme, tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text(_old("ann@acme.example") + "\n")
    assert _rows(dcmon, "token", "import", str(path), "--dry-run")[0]["outcome"] == "imported"
    assert _rows(dcmon, "token", "import", str(path))[0]["outcome"] == "imported"
    path.write_text(_old("ann@acme.example") + "\nnonsense\n")
    done = dcmon("-o", "json", "token", "import", str(path))
    assert (done.returncode, [row["outcome"] for row in json.loads(done.stdout)]) == (8, ["duplicate", "refused"])
    assert dcmon("token", "import", str(tmp_path / "missing")).returncode == 5

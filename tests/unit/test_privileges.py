"""Which user dcmon steps down to, and which directories that user may pass through."""

import os
from pathlib import Path

import pytest

from dcmon import errors, privileges
from dcmon.privileges import Account


def test_user_enters_by_owner_group_or_others(tmp_path: Path) -> None:
    """The owner's permission counts for the owner alone, also where others have more."""
    status = tmp_path.stat()
    owner = Account(status.st_uid, status.st_gid, (), "owner", "/")
    member = Account(status.st_uid + 1, status.st_gid + 1, (status.st_gid,), "member", "/")
    stranger = Account(status.st_uid + 1, status.st_gid + 1, (), "stranger", "/")
    for mode, expected in (
        (0o700, [True, False, False]), (0o710, [True, True, False]), (0o711, [True, True, True]),
        (0o011, [False, True, True]), (0o701, [True, False, True]),
    ):  # fmt: skip
        tmp_path.chmod(mode)
        assert [user.may_enter(tmp_path) for user in (owner, member, stranger)] == expected, oct(mode)
    tmp_path.chmod(0o700)


def test_only_root_steps_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert privileges.account(None) is None
    assert privileges.account("no-such-user") is None

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert privileges.account("root") is None
    user = privileges.account(None)
    assert user is not None
    assert user.uid != 0


def test_unknown_user_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number needs no name: an image may have no list of users."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(errors.InvalidInput, match="no-such-user"):
        privileges.account("no-such-user")
    assert privileges.account("54321") == Account(54321, 54321, (), "54321", "/")


def test_machine_without_users_uses_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(privileges, "DEFAULT_USERS", ("no-such-user",))
    user = privileges.account(None)
    assert user is not None
    assert (user.uid, user.gid, user.groups) == (65534, 65534, ())

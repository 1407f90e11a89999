"""Secrets are encrypted with the first key, read with any key, and readable without keys only if stored in clear."""

import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon.db import encryption
from dcmon.db.tables.org import Webhook
from dcmon.errors import InvalidInput, SecretUnreadable, ServerPackagesMissing

OLD, NEW = encryption.new_key(), encryption.new_key()


@pytest.fixture(autouse=True)
def _no_keys_afterwards() -> Iterator[None]:
    yield
    encryption.use_keys([])


@given(st.binary())
def test_encrypted_value_is_read_as_it_was(plain: bytes) -> None:
    encryption.use_keys([NEW])
    stored = encryption.encrypt(plain)
    assert encryption.decrypt(stored) == plain
    assert not plain or (plain not in stored.removeprefix(encryption.MARK) or len(plain) < 3)
    assert encryption.is_current(stored)


def test_rotation_reads_old_values_and_writes_new_ones() -> None:
    encryption.use_keys([OLD])
    receiver = Webhook(secret=b"signs", credentials={"authorization": "Bearer 7"})
    encryption.use_keys([NEW, OLD])
    assert (receiver.secret, receiver.credentials) == (b"signs", {"authorization": "Bearer 7"})
    assert encryption.renew(receiver)
    assert not encryption.renew(receiver)
    encryption.use_keys([NEW])
    assert (receiver.secret, receiver.credentials) == (b"signs", {"authorization": "Bearer 7"})
    assert "Bearer" not in str(receiver.stored_credentials)


def test_values_in_clear_are_read_and_then_encrypted() -> None:
    receiver = Webhook(secret=b"signs", old_secret=None, credentials={"routing_key": "r" * 32})
    assert receiver.stored_credentials == {"routing_key": "r" * 32}
    encryption.use_keys([NEW])
    assert receiver.credentials == {"routing_key": "r" * 32}
    assert encryption.renew(receiver)
    assert set(receiver.stored_credentials) == {encryption.JSON_KEY}
    assert (receiver.old_secret, receiver.credentials) == (None, {"routing_key": "r" * 32})


@pytest.mark.parametrize("keys", [[], [OLD]])
def test_value_of_an_unknown_key_is_unreadable(keys: list[str]) -> None:
    encryption.use_keys([NEW])
    stored = encryption.encrypt(b"signs")
    encryption.use_keys(keys)
    with pytest.raises(SecretUnreadable, match="DCMON_SECRET_KEYS"):
        encryption.decrypt(stored)
    assert not encryption.is_current(stored)


@pytest.mark.parametrize("key", ["", "short", "*" * 44, "A" * 40])
def test_key_of_a_wrong_form_is_refused(key: str) -> None:
    with pytest.raises(InvalidInput, match="secret-key create"):
        encryption.use_keys([key])


def test_missing_library_names_what_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encrypted value is then unreadable, as with a key that is missing."""
    encryption.use_keys([OLD])
    stored = encryption.encrypt(b"signs")
    encryption.use_keys([])
    monkeypatch.setitem(sys.modules, "cryptography", None)

    with pytest.raises(ServerPackagesMissing, match=r'^"dcmon secret-key create" needs a package'):
        encryption.new_key()
    with pytest.raises(ServerPackagesMissing, match=r"^The key in /data/secret.key needs a package"):
        encryption.use_keys([OLD], "The key in /data/secret.key")
    with pytest.raises(SecretUnreadable):
        encryption.decrypt(stored)


def test_address_and_arguments_are_encrypted_and_rotated() -> None:
    """A URL and the arguments of a command may be secrets."""
    url, options = "https://hooks.example.org/T0/canary", {"argv": ["/bin/page", "canary"]}
    receiver = Webhook(secret=b"", url=url, options=options, credentials={})
    assert (receiver.stored_url, receiver.stored_options) == (url, options)
    for keys in ([OLD], [NEW, OLD], [NEW]):
        encryption.use_keys(keys)
        assert encryption.renew(receiver) == (keys != [NEW])
        assert (receiver.url, receiver.options) == (url, options)
        assert "canary" not in f"{receiver.stored_url}{receiver.stored_options}"


def test_same_secret_again_is_no_change_of_the_row() -> None:
    """Its encrypted form would differ, and the log of changes would have an entry."""
    encryption.use_keys([NEW])
    receiver = Webhook(secret=b"signs", url="https://hooks.example.org", options={"to": ["a@b.c"]}, credentials={})
    before = (receiver.stored_secret, receiver.stored_url, receiver.stored_options)
    receiver.secret, receiver.url, receiver.options = receiver.secret, receiver.url, receiver.options
    assert (receiver.stored_secret, receiver.stored_url, receiver.stored_options) == before
    receiver.url = "https://hooks.example.org/2"
    assert receiver.stored_url != before[1]

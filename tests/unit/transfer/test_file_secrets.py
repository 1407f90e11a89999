"""What protects secrets in a file is refused with what was typed, and no advice names what can't work here."""

import sys

import pytest

from dcmon.db import encryption
from dcmon.errors import InvalidInput, ServerPackagesMissing
from dcmon.transfer import file_secrets


@pytest.fixture(autouse=True)
def _no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    encryption.use_keys([])
    monkeypatch.setitem(sys.modules, "cryptography", None)


def test_passphrase_without_the_library_is_named() -> None:
    with pytest.raises(ServerPackagesMissing, match=r"^--passphrase-file needs a package"):
        file_secrets.for_export("correct horse", is_left_out=False)


def test_advice_without_the_library_can_work() -> None:
    with pytest.raises(InvalidInput, match=r"add --without-secrets, or install .* \[server\]") as refusal:
        file_secrets.for_export(None, is_left_out=False)
    assert "--passphrase-file" not in str(refusal.value)


@pytest.mark.parametrize("protection", [file_secrets.Protection.KEYS, file_secrets.Protection.PASSPHRASE])
@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_import_without_the_library_names_the_file(protection: str, passphrase: str | None) -> None:
    document = {"protection": protection, "probe": "dcmon1:gAAAA", "salt": "AAAA"}
    with pytest.raises(ServerPackagesMissing, match=r"To read the secrets in acme.dcmon, dcmon needs a package"):
        file_secrets.for_import(document, passphrase, "acme.dcmon", is_left_out=False)


def test_file_without_secrets_needs_no_library() -> None:
    left_out = file_secrets.for_export(None, is_left_out=True)
    assert file_secrets.for_import(left_out.document, None, "acme.dcmon", is_left_out=False) == left_out

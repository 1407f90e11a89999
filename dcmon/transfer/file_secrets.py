"""Secrets of receivers in a file: encrypted with the keys of this installation or a passphrase, or left out.

A file never has a secret in clear.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from dcmon.db import encryption
from dcmon.errors import InvalidInput, SecretUnreadable
from dcmon.file_errors import KeyWrong, PassphraseWrong
from dcmon.transfer.tables import SecretKind

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

PROBE = b"dcmon"
SCRYPT = {"n": 2**15, "r": 8, "p": 1, "maxmem": 64 * 2**20, "dklen": 32}  # RFC 7914; OWASP's second choice
Value = bytes | None


class Protection(StrEnum):
    """How the secrets of a file are protected."""

    KEYS = "keys"  # with the first of DCMON_SECRET_KEYS, or the key of the data directory
    PASSPHRASE = "passphrase"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class FileSecrets:
    """Converts secrets between their stored form and that of a file. `salt`: of the passphrase, in base64."""

    protection: Protection
    salt: str = ""
    fernet: "Fernet | None" = None

    @property
    def document(self) -> dict[str, str]:
        """Return what the manifest says about the secrets. The probe shows at once whether a key or passphrase fits."""
        if self.protection is Protection.KEYS:
            return {"protection": self.protection, "probe": encryption.encrypt(PROBE).decode()}
        if self.fernet is None:
            return {"protection": self.protection}
        return {"protection": self.protection, "salt": self.salt, "probe": self.fernet.encrypt(PROBE).decode()}

    def to_file(self, kind: SecretKind) -> Callable[[Value], Value]:
        """Return the function that protects a column's stored values."""
        return partial(_convert, kind, self._protect)

    def to_database(self, kind: SecretKind) -> Callable[[Value], Value]:
        """Return the function that stores a column's values as this process encrypts them. Raises SecretUnreadable."""
        return partial(_convert, kind, self._restore)

    def _protect(self, stored: bytes) -> bytes:
        if self.protection is Protection.LEFT_OUT:
            return b""
        if self.fernet is None:
            return stored if encryption.is_current(stored) else encryption.encrypt(encryption.decrypt(stored))
        plain = encryption.decrypt(stored)
        return encryption.MARK + self.fernet.encrypt(plain) if plain else b""

    def _restore(self, protected: bytes) -> bytes:
        if not protected or self.protection is Protection.LEFT_OUT:
            return b""
        if self.fernet is not None:
            return encryption.encrypt(self.fernet.decrypt(protected.removeprefix(encryption.MARK)))
        plain = encryption.decrypt(protected)
        return protected if encryption.is_current(protected) else encryption.encrypt(plain)


def for_export(passphrase: str | None, *, is_left_out: bool) -> FileSecrets:
    """Return how a new file protects its secrets.

    Raises InvalidInput if there is no key and no passphrase, and ServerPackagesMissing.
    """
    if is_left_out:
        return FileSecrets(Protection.LEFT_OUT)
    if passphrase is not None:
        encryption.require_library("--passphrase-file")
        salt = base64.b64encode(secrets.token_bytes(16)).decode()
        return FileSecrets(Protection.PASSPHRASE, salt, _fernet(passphrase, salt))
    if encryption.has_keys():
        return FileSecrets(Protection.KEYS)
    if not encryption.has_library():
        raise InvalidInput(
            "Secrets of receivers are never written in clear, and a package that encrypts is not installed here: add"
            ' --without-secrets, or install dcmon\'s wheel again with the extra [server] ("dcmon docs install").'
        )
    raise InvalidInput(
        "Secrets of receivers are never written in clear, and this installation has no key (DCMON_SECRET_KEYS):"
        " add --passphrase-file FILE, or --without-secrets."
    )


def for_import(document: dict[str, str], passphrase: str | None, path: str, *, is_left_out: bool) -> FileSecrets:
    """Return how the secrets of a file are read. `is_left_out`: not at all.

    Raises InvalidInput without a passphrase, ServerPackagesMissing, PassphraseWrong or KeyWrong. A file of an earlier
    release has no probe of its key: then the first secret raises SecretUnreadable.
    """
    protection = Protection(document["protection"])
    if is_left_out or protection is Protection.LEFT_OUT:
        return FileSecrets(Protection.LEFT_OUT)
    encryption.require_library(f"To read the secrets in {path}, dcmon")
    if protection is Protection.KEYS:
        try:
            encryption.decrypt(document.get("probe", "").encode())
        except SecretUnreadable as error:
            raise KeyWrong(path=path) from error
        return FileSecrets(protection)
    if passphrase is None:
        raise InvalidInput(f"The secrets in {path} are encrypted with a passphrase: add --passphrase-file FILE.")
    fernet = _fernet(passphrase, document["salt"])
    from cryptography.fernet import InvalidToken

    try:
        fernet.decrypt(document["probe"])
    except InvalidToken as error:
        raise PassphraseWrong(path=path) from error
    return FileSecrets(protection, document["salt"], fernet)


def _fernet(passphrase: str, salt: str) -> "Fernet":
    from cryptography.fernet import Fernet

    key: bytes = hashlib.scrypt(passphrase.encode(), salt=base64.b64decode(salt), **SCRYPT)
    return Fernet(base64.urlsafe_b64encode(key))


def _convert(kind: SecretKind, convert: Callable[[bytes], bytes], value: Value) -> Value:
    """Convert a value of COPY's text format; null stays null."""
    if value is None:
        return None
    if kind is SecretKind.TEXT:
        return convert(value)
    if kind is SecretKind.BYTES:  # PostgreSQL writes bytea as \x and hexadecimal digits
        return b"\\x" + convert(bytes.fromhex(value.removeprefix(b"\\x").decode())).hex().encode()
    stored: Any = json.loads(value)
    converted = convert(encryption.json_to_bytes(stored))
    if converted.startswith(encryption.MARK):
        return json.dumps({encryption.JSON_KEY: converted.decode()}).encode()
    return converted or b"{}"

"""Encryption of secrets in tables: Fernet (AES-128-CBC with HMAC-SHA-256) of the library cryptography.

The keys come from DCMON_SECRET_KEYS: the first encrypts, all of them decrypt. Without a key, values are stored as they
are. A stored value shows whether it is encrypted, so tables may hold both.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from dcmon import errors

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

MARK = b"dcmon1:"  # an encrypted value begins with it
JSON_KEY = "encrypted"  # the only key of an encrypted JSON object
_keys: tuple[str, ...] = ()  # of this process


def use_keys(keys: Sequence[str], source: str = "DCMON_SECRET_KEYS") -> None:
    """Set the keys of this process. `source`: where they are set, for errors.

    Raises InvalidInput if one of them is no Fernet key, and ServerPackagesMissing.
    """
    global _keys
    if keys:
        require_library(source)
    for key in keys:
        try:
            is_key = len(base64.urlsafe_b64decode(key)) == 32
        except (ValueError, binascii.Error):
            is_key = False
        if not is_key:
            raise errors.InvalidInput(
                'DCMON_SECRET_KEYS: each key is 32 bytes in base64. "dcmon secret-key create" prints a new one.'
            )
    _keys = tuple(keys)


def has_library() -> bool:
    """Return True if the library that encrypts is installed."""
    return find_spec("cryptography") is not None


def require_library(purpose: str) -> None:
    """Raise ServerPackagesMissing if the library that encrypts is not installed. `purpose`: what a person typed."""
    if not has_library():
        raise errors.ServerPackagesMissing(purpose=purpose)


def new_key() -> str:
    """Return a new key. Raises ServerPackagesMissing."""
    require_library('"dcmon secret-key create"')
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def has_keys() -> bool:
    """Return True if this process encrypts the secrets that it stores."""
    return bool(_keys)


def signing_keys(purpose: str) -> list[bytes]:
    """Return a key for each key of this process, the newest first, to sign what has a purpose; none without keys."""
    return [hmac.digest(key.encode(), purpose.encode(), "sha256") for key in _keys]


@cache
def _fernet(keys: tuple[str, ...]) -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet

    return MultiFernet([Fernet(key) for key in keys])


def encrypt(plain: bytes) -> bytes:
    """Return a value as it is stored. An empty value is no secret."""
    return MARK + _fernet(_keys).encrypt(plain) if _keys and plain else plain


def decrypt(stored: bytes) -> bytes:
    """Return a stored value in clear. Raises SecretUnreadable if none of the keys fits."""
    if not stored.startswith(MARK):
        return stored
    if not _keys:
        raise errors.SecretUnreadable
    from cryptography.fernet import InvalidToken

    try:
        return _fernet(_keys).decrypt(stored.removeprefix(MARK))
    except InvalidToken as error:
        raise errors.SecretUnreadable from error


def is_current(stored: bytes) -> bool:
    """Return True if a stored value is as `encrypt` stores it now: with the first key; in clear without keys."""
    if not _keys or not stored:
        return not stored.startswith(MARK)
    if not stored.startswith(MARK):
        return False
    from cryptography.fernet import InvalidToken

    try:
        _fernet(_keys[:1]).decrypt(stored.removeprefix(MARK))
    except InvalidToken:
        return False
    return True


class SecretBytes:
    """An attribute of a table's class: bytes that its column, the attribute `column`, holds encrypted."""

    def __init__(self, column: str) -> None:
        self.column = column

    def __get__(self, row: Any, owner: type) -> Any:
        stored = None if row is None else getattr(row, self.column)
        return self if row is None else None if stored is None else self._plain(decrypt(self._bytes(stored)))

    def __set__(self, row: Any, plain: Any) -> None:
        stored = getattr(row, self.column)
        if plain is None or stored is None or not self._is_stored(stored, plain):
            setattr(row, self.column, None if plain is None else self._stored(plain))

    def _is_stored(self, stored: Any, plain: Any) -> bool:
        """Return True if a value need not be stored again: its encrypted form would look like a change."""
        as_bytes = self._bytes(stored)
        return as_bytes.startswith(MARK) and is_current(as_bytes) and bool(self._plain(decrypt(as_bytes)) == plain)

    def is_current(self, row: Any) -> bool:
        """Return True if the column is stored as the keys of this process ask."""
        stored = getattr(row, self.column)
        return stored is None or is_current(self._bytes(stored))

    def renew(self, row: Any) -> None:
        """Store the column as the keys of this process ask. Raises SecretUnreadable."""
        setattr(row, self.column, self._stored(getattr(row, self.column) and self.__get__(row, type(row))))

    def _bytes(self, stored: Any) -> bytes:
        return bytes(stored)

    def _plain(self, decrypted: bytes) -> Any:
        return decrypted

    def _stored(self, plain: Any) -> Any:
        return encrypt(plain)


class SecretText(SecretBytes):
    """An attribute of a table's class: a text that its column, the attribute `column`, holds encrypted."""

    def _bytes(self, stored: Any) -> bytes:
        return str(stored).encode()

    def _plain(self, decrypted: bytes) -> str:
        return decrypted.decode()

    def _stored(self, plain: Any) -> str:
        return encrypt(str(plain).encode()).decode()


class SecretJson(SecretBytes):
    """An attribute of a table's class: a JSON object that its column, the attribute `column`, holds encrypted."""

    def _bytes(self, stored: Any) -> bytes:
        return json_to_bytes(stored)

    def _plain(self, decrypted: bytes) -> Any:
        return json.loads(decrypted or b"{}")

    def _stored(self, plain: Any) -> Any:
        stored = encrypt(json.dumps(plain).encode() if plain else b"")
        return {JSON_KEY: stored.decode()} if stored.startswith(MARK) else plain


def renew(row: Any) -> bool:
    """Store a row's secrets as the keys of this process ask; return True if it changed. Raises SecretUnreadable."""
    secrets = {name: it for name, it in vars(type(row)).items() if isinstance(it, SecretBytes)}
    outdated = [name for name, secret in secrets.items() if not secret.is_current(row)]
    for name in outdated:
        secrets[name].renew(row)
    return bool(outdated)


def json_to_bytes(stored: dict[str, Any] | None) -> bytes:
    """Return the encrypted text of a stored object, otherwise the object as JSON; empty if it has no keys."""
    if not stored:
        return b""
    is_encrypted = set(stored) == {JSON_KEY} and str(stored[JSON_KEY]).encode().startswith(MARK)
    return str(stored[JSON_KEY]).encode() if is_encrypted else json.dumps(stored).encode()

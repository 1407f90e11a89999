"""Sessions of browsers: what a cookie has in place of a token, for a short time.

A session is signed with the SHA-256 of its token and with DCMON_SECRET_KEYS, or without these with a random key of the
database: the SHA-256 is in backups and exports, and must not be enough. Nothing of a session is stored: a revoked or
expired token ends it at once, and so does a change of the member's role. It never shows the token.
"""

import hmac
import re
import secrets
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db import encryption
from dcmon.db.tables.public import SigningKey
from dcmon.tenancy import tokens
from dcmon.tenancy.tokens import Bearer

LIFETIME = timedelta(hours=12)
PURPOSE = "session of pages"
PATTERN = re.compile(r"([A-Za-z0-9_]{1,40})\.(\d{1,12})\.([0-9a-f]{64})")


def create(session: Session, token: str) -> tuple[Bearer, str]:
    """Return the bearer of a token, and a new session as text. Raises NotAuthenticated."""
    bearer = tokens.authenticate(session, token)
    expires = datetime.now(UTC) + LIFETIME
    key, signed = _keys(session)[0], ""

    def sign(digest: bytes) -> bool:
        nonlocal signed
        signed = _signature(key, digest, bearer.prefix, int(expires.timestamp()))
        return True

    session.flush()
    return tokens.bearer_of(session, bearer.prefix, sign), f"{bearer.prefix}.{int(expires.timestamp())}.{signed}"


def authenticate(session: Session, text: str) -> Bearer:
    """Return the bearer of the token that a session is of. Raises NotAuthenticated."""
    match = PATTERN.fullmatch(text)
    if match is None or int(match[2]) <= datetime.now(UTC).timestamp():
        raise errors.NotAuthenticated
    prefix, expires, signature = match[1], int(match[2]), match[3]
    keys = _keys(session)

    def is_signed(digest: bytes) -> bool:
        signatures = [_signature(key, digest, prefix, expires) for key in keys]
        return any(hmac.compare_digest(signature, known) for known in signatures)

    return tokens.bearer_of(session, prefix, is_signed)


def _keys(session: Session) -> list[bytes]:
    """Return the keys of this process, the newest first; without any, that of the database, which is drawn once."""
    if encryption.has_keys():
        return encryption.signing_keys(PURPOSE)
    if (own := session.get(SigningKey, PURPOSE)) is not None:
        return [own.key]
    drawn = insert(SigningKey).values(purpose=PURPOSE, key=secrets.token_bytes(32))
    session.execute(drawn.on_conflict_do_nothing())  # another process may draw one now
    return [session.scalars(select(SigningKey.key).where(SigningKey.purpose == PURPOSE)).one()]


def _signature(key: bytes, digest: bytes, prefix: str, expires: int) -> str:
    own = hmac.digest(key, digest, "sha256")  # without the digest of the token there is no session
    return hmac.digest(own, f"{prefix}.{expires}".encode(), "sha256").hex()

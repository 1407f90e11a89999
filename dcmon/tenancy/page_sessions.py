"""Sessions of browsers: what a cookie has in place of a token, for a short time.

A session is signed with the SHA-256 of its token and with DCMON_SECRET_KEYS, and nothing of it is stored: a revoked or
expired token ends it at once, and so does a change of the member's role. It never shows the token.
"""

import hmac
import re
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db import encryption
from dcmon.tenancy import tokens
from dcmon.tenancy.tokens import Bearer

LIFETIME = timedelta(hours=12)
PURPOSE = "session of pages"
PATTERN = re.compile(r"([A-Za-z0-9_]{1,40})\.(\d{1,12})\.([0-9a-f]{64})")


def create(session: Session, token: str) -> tuple[Bearer, str]:
    """Return the bearer of a token, and a new session as text. Raises NotAuthenticated."""
    bearer = tokens.authenticate(session, token)
    expires = datetime.now(UTC) + LIFETIME
    signed = ""

    def sign(digest: bytes) -> bool:
        nonlocal signed
        signed = _signature(encryption.signing_keys(PURPOSE)[0], digest, bearer.prefix, int(expires.timestamp()))
        return True

    session.flush()
    return tokens.bearer_of(session, bearer.prefix, sign), f"{bearer.prefix}.{int(expires.timestamp())}.{signed}"


def authenticate(session: Session, text: str) -> Bearer:
    """Return the bearer of the token that a session is of. Raises NotAuthenticated."""
    match = PATTERN.fullmatch(text)
    if match is None or int(match[2]) <= datetime.now(UTC).timestamp():
        raise errors.NotAuthenticated
    prefix, expires, signature = match[1], int(match[2]), match[3]

    def is_signed(digest: bytes) -> bool:
        signatures = [_signature(key, digest, prefix, expires) for key in encryption.signing_keys(PURPOSE)]
        return any(hmac.compare_digest(signature, known) for known in signatures)

    return tokens.bearer_of(session, prefix, is_signed)


def _signature(key: bytes, digest: bytes, prefix: str, expires: int) -> str:
    own = hmac.digest(key, digest, "sha256")  # without the digest of the token there is no session
    return hmac.digest(own, f"{prefix}.{expires}".encode(), "sha256").hex()

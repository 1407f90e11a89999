"""API tokens: 256 random bits, stored as SHA-256 and compared in constant time.

OWASP ASVS 5.0, 6.5.2, allows a plain hash for secrets with so many random bits.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import func, or_, select, text
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db import Organization
from dcmon.db.tables.public import Member, Token, User
from dcmon.db.tables.public import Organization as OrganizationRow
from dcmon.tenancy import imported_tokens, organizations
from dcmon.tenancy import rate_limits as limits
from dcmon.tenancy.permissions import Permission, Role, Scope, granted, held_to
from dcmon.tenancy.rate_limits import Limits
from dcmon.text import require_storable

PATTERN = re.compile(r"(dcm_[A-Za-z0-9]{10})_([A-Za-z0-9_-]{43})")
MAX_NAME_LENGTH = 100
SHORTEST_PREFIX = 6  # characters of the beginning of a prefix: two more than all tokens share
DIGEST_BYTES = 32  # of SHA-256
MAX_LIVE = 100  # of a user in an organization
USE_RECORDED_EVERY = timedelta(minutes=1)


class TokenState(StrEnum):
    """The state of a token. Only a live token is accepted."""

    LIVE = "live"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Bearer:
    """The organization and user that a token belongs to, and what the token may do.

    `role`: that of the user, held to `highest_role` of the token if another person made it (None: no limit).
    `member`: the user's id if models are shown to their members only and the user's role does not show all; else None.
    """

    organization: Organization
    user_id: int
    email: str
    expires_at: datetime | None
    limits: Limits
    prefix: str
    role: Role
    scope: Scope
    permissions: frozenset[Permission]
    member: int | None
    highest_role: Role | None


def create(
    session: Session,
    org_id: int,
    user_id: int,
    name: str,
    lifetime: timedelta | None = None,
    scope: Scope = Scope.FULL,
) -> str:
    """Create a token and return its text, which is not stored. Raises InvalidInput, or Conflict for one too many.

    `lifetime`: more than nothing; None: for ever.
    """
    if lifetime is not None and lifetime <= timedelta():
        raise errors.InvalidInput("A token lives longer than 0 seconds. For one that never expires, give no lifetime.")
    _require_room(session, org_id, user_id, name)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    prefix = "dcm_" + "".join(secrets.choice(alphabet) for _ in range(10))
    secret = secrets.token_urlsafe(32)
    expires = None if lifetime is None else datetime.now(UTC) + lifetime
    session.add(
        Token(
            org_id=org_id, user_id=user_id, name=name, scope=scope, prefix=prefix, digest=_digest(secret),
            expires_at=expires,
        )
    )  # fmt: skip
    session.flush()
    return f"{prefix}_{secret}"


def expiry(session: Session, org_id: int, token: str) -> datetime | None:
    """Return when a token expires; None: never. Raises TokenNotFound."""
    return _find(session, org_id, token).expires_at


def hold_to(session: Session, org_id: int, token: str, highest: Role | None) -> None:
    """Hold a new token to the role of the person who made it, also if its user gets a higher one. None: no limit."""
    _find(session, org_id, token).highest_role = highest
    session.flush()


def _require_room(session: Session, org_id: int, user_id: int, name: str) -> None:
    """Check the name of a new token, and that the user has not too many. Raises InvalidInput or Conflict."""
    _require_name(name)
    session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    own = session.scalars(select(Token).where(Token.org_id == org_id, Token.user_id == user_id))
    if sum(_state(token) == TokenState.LIVE for token in own) >= MAX_LIVE:
        raise errors.Conflict(f"A user has at most {MAX_LIVE} live tokens in an organization. Revoke one first.")


def _require_name(name: str) -> None:
    require_storable(name)
    if not 1 <= len(name.strip()) <= MAX_NAME_LENGTH or not name.isprintable():
        raise errors.InvalidInput(f"The name of a token has 1 to {MAX_NAME_LENGTH} printable characters.")


def require_free_name(session: Session, org_id: int, name: str) -> None:
    """Check that no live token has a name that a person gives: it would mean none of the two.

    It stays free until the transaction ends. Names that dcmon gives, as to first tokens, may be equal. So may those
    that come over HTTP, where a prefix names a token, and a service makes its next one before it revokes the last.
    Raises Conflict.
    """
    session.execute(select(OrganizationRow.id).where(OrganizationRow.id == org_id).with_for_update(key_share=True))
    is_live = Token.revoked_at.is_(None) & or_(Token.expires_at.is_(None), Token.expires_at > func.clock_timestamp())
    of_name = select(Token.id).where(Token.org_id == org_id, Token.name == name, is_live)
    if session.scalar(of_name.limit(1)) is not None:
        raise errors.Conflict(
            f'Another token has the name {name!r}. Choose another name: "dcmon token list" shows them.'
        )


def rename(session: Session, org_id: int, typed: str, name: str) -> str:
    """Give a token another name, and return its old one; its clients go on unchanged. `typed`: as for find_named.

    Raises TokenNotFound, InvalidInput or Conflict.
    """
    _require_name(name)
    of_org = select(Token).where(Token.org_id == org_id).order_by(Token.id)
    session.scalars(of_org.with_for_update(key_share=True)).all()  # of two renames, the second finds no name
    token = find_named(session, org_id, typed)
    if token.name != name:
        require_free_name(session, org_id, name)
    old, token.name = token.name, name
    session.flush()
    return old


def authenticate(session: Session, token: str) -> Bearer:
    """Return the bearer of a token. Raises NotAuthenticated when the token is unknown, expired or revoked."""
    token = token.strip()
    if (match := PATTERN.fullmatch(token)) is not None:
        prefixes, digest = [match[1]], _digest(match[2])
    elif imported_tokens.is_old(token):
        prefixes, digest = imported_tokens.prefixes(token), imported_tokens.digest(token)
    else:
        raise errors.NotAuthenticated
    rows = _with_prefix(session, prefixes)
    # An unknown token is compared too, so that the time of the response does not show which prefixes exist.
    hmac.compare_digest(b"\0" * 32, digest)
    for row in rows:
        stored = row[0]
        if _state(stored) == TokenState.LIVE and (
            hmac.compare_digest(stored.digest, digest) or imported_tokens.adopt(session, stored, token)
        ):
            _record_use(session, stored)
            return _bearer(*row)
    raise errors.NotAuthenticated


def bearer_of(session: Session, prefix: str, is_proven: Callable[[bytes], bool]) -> Bearer:
    """Return the bearer of a live token if its SHA-256 proves what a client sent in place of its text.

    Of a token that was imported by its hash, the SHA-256 is known after its first use only: before, nothing proves it.
    Raises NotAuthenticated when the token is unknown, expired or revoked, and without the proof.
    """
    for row in _with_prefix(session, [prefix]):
        stored = row[0]
        has_digest = stored.bcrypt_hash is None and len(stored.digest) == DIGEST_BYTES
        if has_digest and _state(stored) == TokenState.LIVE and is_proven(stored.digest):
            return _bearer(*row)
    raise errors.NotAuthenticated


def _with_prefix(session: Session, prefixes: Sequence[str]) -> Sequence[Any]:
    """Return tokens with their organizations, users and roles."""
    return session.execute(
        select(Token, OrganizationRow, User, Member.role)
        .join(OrganizationRow, OrganizationRow.id == Token.org_id)
        .join(User, User.id == Token.user_id)
        .join(Member, (Member.org_id == Token.org_id) & (Member.user_id == Token.user_id))
        .where(Token.prefix.in_(prefixes), OrganizationRow.deleted_at.is_(None))
    ).all()


def _bearer(token: Token, org: OrganizationRow, user: User, role_name: str) -> Bearer:
    highest = None if token.highest_role is None else Role(token.highest_role)
    role, scope = held_to(Role(role_name), highest), Scope(token.scope)
    return Bearer(
        organizations.entry(org),
        user.id,
        user.email,
        token.expires_at,
        limits.read(org),
        token.prefix,
        role,
        scope,
        granted(role, scope),
        member=user.id if org.model_membership and not role.sees_all_models else None,
        highest_role=highest,
    )


def entries(session: Session, org_id: int, user_id: int | None = None) -> Sequence[dict[str, Any]]:
    """Return the tokens of an organization, or of one user in it, newest first, as rows without their secrets."""
    statement = select(Token, User.email).join(User, User.id == Token.user_id).where(Token.org_id == org_id)
    if user_id is not None:
        statement = statement.where(Token.user_id == user_id)
    return [
        {
            "prefix": token.prefix,
            "name": token.name,
            "user": email,
            "scope": token.scope,
            "highest_role": token.highest_role,
            "state": _state(token),
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "last_used_at": token.last_used_at,
        }
        for token, email in session.execute(statement.order_by(Token.id.desc()))
    ]


def owner_of(session: Session, org_id: int, prefix: str) -> int:
    """Return the id of the user whose token has a prefix. Raises TokenNotFound."""
    return _find(session, org_id, prefix).user_id


def revoke(session: Session, org_id: int, typed: str) -> Token:
    """Revoke a token at once, and return it. `typed`: as for find_named. Raises TokenNotFound or InvalidInput."""
    token = find_named(session, org_id, typed)
    token.revoked_at = token.revoked_at or datetime.now(UTC)
    session.flush()
    return token


def find_named(session: Session, org_id: int, typed: str) -> Token:
    """Return the token that a person means: by its text, by the beginning of its prefix, or by its name.

    A name means the live token before those that have expired. Raises TokenNotFound, and InvalidInput if several tokens
    that are not revoked are meant.
    """
    try:
        return _find(session, org_id, typed)
    except errors.TokenNotFound:
        known = session.scalars(select(Token).where(Token.org_id == org_id, Token.revoked_at.is_(None))).all()
    by_prefix = [token for token in known if len(typed) >= SHORTEST_PREFIX and token.prefix.startswith(typed)]
    by_name = [token for token in known if token.name == typed]
    chosen = by_prefix or [token for token in by_name if _state(token) == TokenState.LIVE] or by_name
    if len(chosen) > 1:
        prefixes = ", ".join(sorted(token.prefix for token in chosen))
        raise errors.InvalidInput(f"{len(chosen)} tokens are meant by {typed!r}: name one of {prefixes}.")
    if not chosen:
        # A token that was typed as a whole is not shown again.
        is_secret = PATTERN.fullmatch(typed) is not None or imported_tokens.is_old(typed)
        raise errors.TokenNotFound(name=typed[:14] if is_secret else typed, known=[token.name for token in known])
    return chosen[0]


def replace(session: Session, bearer: Bearer) -> str:
    """Revoke the bearer's token, and return the text of a new one with the same name, scope, expiry and limits."""
    old = _find(session, bearer.organization.id, bearer.prefix)
    revoke(session, bearer.organization.id, bearer.prefix)
    token = create(session, bearer.organization.id, bearer.user_id, old.name, scope=bearer.scope)
    new = _find(session, bearer.organization.id, token)
    new.expires_at, new.highest_role = old.expires_at, old.highest_role
    session.flush()
    return token


def _find(session: Session, org_id: int, prefix: str) -> Token:
    """Return the token with a prefix, or whose text is given. Raises TokenNotFound."""
    prefixes = imported_tokens.prefixes(prefix) if imported_tokens.is_old(prefix) else [prefix[:14]]
    token = session.scalar(select(Token).where(Token.org_id == org_id, Token.prefix.in_(prefixes)).limit(1))
    if token is None:
        raise errors.TokenNotFound(name=prefix[:14])
    return token


def _state(token: Token) -> TokenState:
    if token.revoked_at is not None:
        return TokenState.REVOKED
    is_expired = token.expires_at is not None and token.expires_at <= datetime.now(UTC)
    return TokenState.EXPIRED if is_expired else TokenState.LIVE


def _record_use(session: Session, token: Token) -> None:
    """Store the time of use, at most once a minute.

    An update of the row in each request would make the requests wait for each other.
    """
    if token.last_used_at is None or datetime.now(UTC) - token.last_used_at > USE_RECORDED_EVERY:
        session.execute(text("update tokens set last_used_at = now() where id = :id"), {"id": token.id})


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()

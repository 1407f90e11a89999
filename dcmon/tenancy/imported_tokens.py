"""Tokens of the old system: urlsafe_b64(e-mail) + "." + secret. After an import they work unchanged.

A token is imported by its text, or by its user's e-mail and the bcrypt hash of its secret, as the old system stored it.
A hash is checked with bcrypt until the token is used for the first time; then its SHA-256 replaces the hash.
"""

import base64
import hashlib
import re
import string
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum

from cachetools import TTLCache
from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.public import Member, Token, User
from dcmon.tenancy import members
from dcmon.tenancy.permissions import Role

TEXT = re.compile(r"([A-Za-z0-9_=-]{4,400})\.([A-Za-z0-9_-]{16,72})")
# A cost above 12 would take a second of CPU time for each wrong token.
HASH = re.compile(r"\$2[aby]\$(?:0[4-9]|1[0-2])\$[./A-Za-z0-9]{53}")
ENTRY = re.compile(r'"?([^\s",;|]+)"?\s*[,;|\t ]\s*"?(\$2[^\s",;|]+)"?')
ALPHABET = string.ascii_letters + string.digits
# A comparison takes up to a third of a second of CPU time. Wrong tokens are throttled by address (http.failed_logins),
# never by user: otherwise who knows an e-mail could keep its owner out.
MAX_COMPARING, MAX_WAITING = 2, 16  # at once; and how many more wait for these
BUSY = "Too many imported tokens are used for the first time at once. Try again in {retry_after} s."
_processors, _admitted = threading.Semaphore(MAX_COMPARING), threading.Semaphore(MAX_COMPARING + MAX_WAITING)
# Whether a hash and the SHA-256 of a token belong together, and the comparisons that run.
_compared: TTLCache[tuple[str, bytes], bool] = TTLCache(10_000, 60)
_running: dict[tuple[str, bytes], Future[bool]] = {}
_lock = threading.Lock()


class Outcome(StrEnum):
    """What became of a token."""

    IMPORTED = "imported"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


@dataclass(frozen=True)
class Imported:
    """What became of the token in a line. It has no part of the secret."""

    line: int
    user: str
    outcome: Outcome
    prefix: str | None
    remark: str | None


def import_lines(session: Session, org_id: int, lines: Iterable[str], role: Role) -> Iterator[Imported]:
    """Import a token for each line that is not empty. Unknown users become members with the role.

    A line has the text of a token, or an e-mail and a bcrypt hash, separated by a comma, semicolon, tab or blank.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#") or (number == 1 and "$2" not in line and "," in line):
            continue  # an empty line, a comment, or the names of the columns
        try:
            with session.begin_nested():
                imported = _import(session, org_id, number, line.strip(), role)
            yield imported
        except errors.DcmonError as error:
            yield Imported(number, "", Outcome.REFUSED, None, str(error))


def is_old(token: str) -> bool:
    """Return whether a text can be a token of the old system."""
    return TEXT.fullmatch(token) is not None


def prefixes(token: str) -> list[str]:
    """Return the prefixes that an old token can have here: imported by its text, or by its hash."""
    return [_prefix(token), _prefix(token.partition(".")[0])]


def digest(token: str) -> bytes:
    """Return what is stored of an old token."""
    return hashlib.sha256(token.encode()).digest()


def compare_before(session: Session, token: str) -> Callable[[], object]:
    """Return what to call after the transaction and before `tokens.authenticate`, which then need not compare hashes.

    So no connection waits for a comparison. The function raises TooBusy.
    """
    statement = select(Token.bcrypt_hash).where(Token.prefix.in_(prefixes(token)), Token.bcrypt_hash.is_not(None))
    hashes = session.scalars(statement).all() if is_old(token) else ()
    return lambda: [_is_right(str(bcrypt_hash), token) for bcrypt_hash in hashes]


def compare_alone(transaction: Callable[[], AbstractContextManager[Session]], token: str) -> None:
    """Compare a token with the stored hashes in no transaction, before `tokens.authenticate`. Raises TooBusy."""
    if not is_old(token):
        return
    with transaction() as session:
        compare = compare_before(session, token)
    compare()


def adopt(session: Session, stored: Token, token: str) -> bool:
    """Compare a token with the stored hash; replace the hash by the SHA-256 if it is right. Return whether it is.

    Raises TooBusy while too many tokens are compared.
    """
    if stored.bcrypt_hash is None or not _is_right(stored.bcrypt_hash, token):
        return False
    stored.digest, stored.bcrypt_hash = digest(token), None
    session.flush()
    return True


def _is_right(bcrypt_hash: str, token: str) -> bool:
    """Compare a token with a hash. Equal comparisons at once, and within a minute, are one. Raises TooBusy."""
    key, comparison = (bcrypt_hash, digest(token)), Future[bool]()
    with _lock:
        if (known := _compared.get(key)) is not None:
            return known
        running = _running.setdefault(key, comparison)
    if running is not comparison:
        return running.result()
    try:
        is_right = _compare(bcrypt_hash, token)
    except BaseException as error:
        comparison.set_exception(error)
        raise
    else:
        with _lock:
            _compared[key] = is_right
        comparison.set_result(is_right)
        return is_right
    finally:
        with _lock:
            _running.pop(key, None)


def _compare(bcrypt_hash: str, token: str) -> bool:
    """Compare as one of a few, because the others wait in threads that other requests need. Raises TooBusy."""
    import bcrypt

    if not _admitted.acquire(blocking=False):
        raise errors.TooBusy(BUSY, retry_after=1)
    try:
        with _processors:
            return bcrypt.checkpw(token.partition(".")[2].encode(), bcrypt_hash.encode())
    finally:
        _admitted.release()


def _import(session: Session, org_id: int, number: int, line: str, role: Role) -> Imported:
    hashed: str | None = None
    if (match := TEXT.fullmatch(line)) is not None:
        email, prefix = _email(match[1]), _prefix(line)
    elif (match := ENTRY.fullmatch(line)) is not None and HASH.fullmatch(match[2]) is not None:
        email, hashed = str(match[1]), str(match[2])
        prefix = _prefix(base64.urlsafe_b64encode(email.encode()).decode())
    else:
        raise errors.InvalidInput("The line is neither a token nor an e-mail with a bcrypt hash.")
    members.require_email(email)
    if (existing := session.scalar(select(Token).where(Token.prefix == prefix))) is not None:
        elsewhere = existing.org_id != org_id
        reason = "It opens another organization already." if elsewhere else "It was imported before."
        return Imported(number, email, Outcome.REFUSED if elsewhere else Outcome.DUPLICATE, prefix, reason)
    user_id, remark = _member(session, org_id, email, role)
    stored = digest(line) if hashed is None else b""
    session.add(
        Token(org_id=org_id, user_id=user_id, name="imported", prefix=prefix, digest=stored, bcrypt_hash=hashed)
    )
    session.flush()
    return Imported(number, email, Outcome.IMPORTED, prefix, remark)


def _member(session: Session, org_id: int, email: str, role: Role) -> tuple[int, str | None]:
    member = select(User.id).join(Member, Member.user_id == User.id)
    user_id = session.scalar(member.where(Member.org_id == org_id, User.email == email))
    if user_id is not None:
        return user_id, None
    return members.add(session, org_id, email, role), f"The user is a new member with role {role}."


def _email(encoded: str) -> str:
    """Return the e-mail in a token. Raises InvalidInput."""
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise errors.InvalidInput("The part before the point is no e-mail address in base64.") from error


def _prefix(text: str) -> str:
    """Return the prefix that identifies an imported token in lists. It shows nothing of the secret."""
    number = int.from_bytes(hashlib.sha256(b"dcmon " + text.rstrip("=").encode()).digest())
    return "old_" + "".join(ALPHABET[number // len(ALPHABET) ** place % len(ALPHABET)] for place in range(10))

"""Requests with a key, which are carried out once: the stored answer is sent again (Idempotency-Key).

The semantics are those of draft-ietf-httpapi-idempotency-key-header of the IETF. The keys of an organization are in its
schema, so that several processes, also on several machines, see the same ones. PostgreSQL's clock is the only one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.db import Organization

LEASE = timedelta(minutes=2)  # a request in progress holds its key so long; then its process counts as dead
LARGEST_BODY = 1_000_000  # bytes
DELETED_AT_ONCE = 1_000

CLAIM = text("""
    insert into idempotency_keys (key, fingerprint, claimed_at) values (:key, :fingerprint, clock_timestamp())
    on conflict (key) do update set claimed_at = clock_timestamp(), status = null, content_type = null, body = null,
           fingerprint = excluded.fingerprint, created_at = now()
     where idempotency_keys.created_at < now() - cast(:retention as interval)
        or (idempotency_keys.status is null and idempotency_keys.fingerprint = excluded.fingerprint
            and idempotency_keys.claimed_at < clock_timestamp() - cast(:lease as interval))
    returning claimed_at
""")
READ = text("select fingerprint, status, content_type, body from idempotency_keys where key = :key")
STORE = text("""
    update idempotency_keys set status = :status, content_type = :content_type, body = :body
     where key = :key and claimed_at = :claimed_at and status is null
""")
RENEW = text("""
    update idempotency_keys set claimed_at = clock_timestamp()
     where key = :key and claimed_at = :claimed_at and status is null
    returning claimed_at
""")
RELEASE = text("delete from idempotency_keys where key = :key and claimed_at = :claimed_at and status is null")
DELETE_OLD = text("""
    delete from idempotency_keys where key in (
        select key from idempotency_keys where created_at < now() - cast(:retention as interval) limit :limit)
""")


class StoredResponse(NamedTuple):
    """A stored answer. `content_type`: None for an answer without a body."""

    status: int
    content_type: str | None
    body: bytes


@dataclass
class Claim:
    """A request in progress, which alone may use its key. `claimed_at`: when it claimed or last renewed it."""

    org: Organization
    key: str
    claimed_at: datetime


def claim(
    engine: Engine, org: Organization, key: str, fingerprint: bytes, retention: timedelta
) -> Claim | StoredResponse:
    """Claim a key for a request, or return the answer of an equal request that is done.

    `fingerprint`: a hash of the request. Raises KeyReused if another request had this key, or KeyInUse while an equal
    one is in progress.
    """
    values = {"key": key, "fingerprint": fingerprint, "retention": retention, "lease": LEASE}
    with db.org_session(engine, org) as session:
        claimed_at = session.scalar(CLAIM, values)
        if claimed_at is not None:
            return Claim(org, key, claimed_at)
        row = session.execute(READ, {"key": key}).one_or_none()
    if row is None:  # it was released between the two statements
        raise errors.KeyInUse(key=key, retry_after=1)
    if row.fingerprint != fingerprint:
        raise errors.KeyReused(key=key)
    if row.status is None:
        raise errors.KeyInUse(key=key, retry_after=1)
    return StoredResponse(row.status, row.content_type, row.body)


def renew(engine: Engine, claimed: Claim) -> None:
    """Begin the lease of a request in progress again."""
    values = {"key": claimed.key, "claimed_at": claimed.claimed_at}
    with db.org_session(engine, claimed.org) as session:
        claimed_at = session.scalar(RENEW, values)
    claimed.claimed_at = claimed_at or claimed.claimed_at


def store(engine: Engine, claimed: Claim, response: StoredResponse) -> None:
    """Store the answer of a request, unless its lease is over and another request has claimed the key."""
    values = {"status": response.status, "content_type": response.content_type, "body": response.body}
    with db.org_session(engine, claimed.org) as session:
        session.execute(STORE, values | {"key": claimed.key, "claimed_at": claimed.claimed_at})


def release(engine: Engine, claimed: Claim) -> None:
    """Give a key back: the request changed nothing, or its answer can't be kept."""
    with db.org_session(engine, claimed.org) as session:
        session.execute(RELEASE, {"key": claimed.key, "claimed_at": claimed.claimed_at})


def delete_old(engine: Engine, org: Organization, retention: timedelta) -> int:
    """Delete keys that are older than `retention`, in small transactions. Return how many."""
    deleted = 0
    while True:
        with db.org_session(engine, org) as session:
            result = session.execute(DELETE_OLD, {"retention": retention, "limit": DELETED_AT_ONCE})
            count = int(result.rowcount)  # type: ignore[attr-defined]
        deleted += count
        if count < DELETED_AT_ONCE:
            return deleted

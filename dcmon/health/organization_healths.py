"""The health of all organizations; of many, and of those that can't be read now, as the last health checks stored it.

To read one takes PostgreSQL some 10 ms. So a health check of more than MOST_DIRECT organizations reads those that were
written to, or where something waits, fails or fires, the longest unread first, and only as long as its time lasts. The
others are as a former check stored them.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db import Organization, sql
from dcmon.db.tables.public import OrganizationHealth as HealthRow
from dcmon.health import locked_tables, organization_reading
from dcmon.health.snapshot import OrganizationHealth
from dcmon.settings import Settings

MOST_DIRECT = 100  # organizations that are all read each time
MAX_AGE = timedelta(minutes=15)  # then an organization is read again, also if nothing seems to have happened in it
REASON_FIELDS = ("unavailable_reason", "is_schema_behind", "is_schema_ahead", "is_unreadable", "lock")
NEVER = datetime(1970, 1, 1, tzinfo=UTC)

SQL = sql.read(__name__)
CHANGES, STORE = text(SQL.statement("changes")), text(SQL.statement("store"))


class Look(NamedTuple):
    """How many organizations are read: for how many seconds (None: all of them), and if what is read is stored."""

    seconds: float | None
    is_stored: bool = False


QUICK_LOOK, COMPLETE_LOOK, LOOK_OF_SCHEDULER = Look(2.0), Look(None), Look(10.0, is_stored=True)


@dataclass(frozen=True)
class _Stored:
    """The health of an organization at `read_at`, when its tables had had so many changes.

    If it could not be read then, all but the reason is older: see `known_at`.
    """

    health: OrganizationHealth
    read_at: datetime
    changes: int

    @property
    def known_at(self) -> datetime:
        return self.health.read_at or self.read_at


def collect(
    engine: Engine, settings: Settings, organizations: Sequence[Organization], look: Look
) -> list[OrganizationHealth]:
    """Return the health of organizations, in their order; of one that can't be read, as it was, with the reason.

    Raises Unreachable.
    """
    is_complete = look.seconds is None or len(organizations) <= MOST_DIRECT
    with db.public_session(engine) as session:
        stored = _entries(session)
        changes = {} if is_complete and not look.is_stored else _changes(session)
    now = datetime.now(UTC)
    due = list(organizations)
    if not is_complete:
        locked = {lock.schema for lock in locked_tables.find(engine, organization_reading.TABLES)}
        due = [
            org
            for org in organizations
            if org.schema in locked or not _is_known(stored.get(org.id), changes.get(org.schema), now)
        ]
        due.sort(key=lambda org: (org.schema not in locked, stored[org.id].read_at if org.id in stored else NEVER))
    read = _read(engine, settings, due, None if is_complete else look.seconds)
    fresh = {org_id: _completed(health, stored.get(org_id)) for org_id, health in read.items()}
    if look.is_stored:
        with db.public_session(engine) as session:
            _store(session, fresh, {org.id: changes.get(org.schema, 0) for org in organizations}, now)
    left_out = {org.id for org in due} - fresh.keys()
    return [fresh.get(org.id) or _former(org, stored.get(org.id), is_old=org.id in left_out) for org in organizations]


def _is_known(stored: _Stored | None, changes: int | None, now: datetime) -> bool:
    """Return True if an organization was quiet when it was read, and was not written to since."""
    return (
        stored is not None
        and stored.health.is_quiet
        and stored.changes == changes
        and now - stored.read_at < MAX_AGE
    )  # fmt: skip


def _read(
    engine: Engine, settings: Settings, due: Sequence[Organization], seconds: float | None
) -> dict[int, OrganizationHealth]:
    """Read organizations one after the other until the time is over, if there is a limit; return the healths by id."""
    fresh, deadline = dict[int, OrganizationHealth](), math.inf if seconds is None else time.monotonic() + seconds
    with organization_reading.reading(engine, settings) as read:
        for org in due:
            if time.monotonic() >= deadline:
                break
            fresh[org.id] = read(org)
    return fresh


def _completed(health: OrganizationHealth, stored: _Stored | None) -> OrganizationHealth:
    """Return what was read; of an organization that can't be read, the reason, and all else as it was known last."""
    if health.unavailable_reason is None or stored is None or not stored.health.is_counted:
        return health
    reasons = {name: getattr(health, name) for name in REASON_FIELDS}
    return replace(stored.health, name=health.name, read_at=stored.known_at, **reasons)


def _former(org: Organization, stored: _Stored | None, *, is_old: bool) -> OrganizationHealth:
    """Return the stored health, with its time if it may be another one by now."""
    if stored is None:
        return OrganizationHealth(org.name, is_counted=False)
    is_old = is_old or stored.health.unavailable_reason is not None
    return replace(stored.health, name=org.name, read_at=stored.known_at if is_old else None)


def _changes(session: Session) -> dict[str, int]:
    """Return by schema how many changes of rows PostgreSQL has counted in the tables that are read."""
    return {schema: int(count) for schema, count in session.execute(CHANGES, {"tables": organization_reading.TABLES})}


def _entries(session: Session) -> dict[int, _Stored]:
    """Return what is stored, by id. What another release stored in another form counts as never read."""
    stored = dict[int, _Stored]()
    for row in session.scalars(select(HealthRow)):
        try:
            health = msgspec.convert(row.health, OrganizationHealth)
        except msgspec.ValidationError:
            continue
        stored[row.org_id] = _Stored(health, row.read_at, row.changes)
    return stored


def _store(
    session: Session, healths: Mapping[int, OrganizationHealth], changes: Mapping[int, int], now: datetime
) -> None:
    """Store healths by id, unless the organization was deleted meanwhile."""
    ids = sorted(healths)
    values = {
        "ids": ids,
        "read_at": now,
        "changes": [changes[org_id] for org_id in ids],
        "healths": [msgspec.json.encode(healths[org_id]).decode() for org_id in ids],
    }
    session.execute(STORE, values)

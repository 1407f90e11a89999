"""The health of all organizations; of many, that of most is what the last health checks stored.

To read one takes PostgreSQL some 10 ms. So a health check of more than MOST_DIRECT organizations reads those that were
written to, or where something waits, fails or fires, the longest unread first, and only as long as its time lasts. The
others are as a former check stored them.
"""

import re
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
from dcmon.db.tables.org import Result
from dcmon.db.tables.public import OrganizationHealth as HealthRow
from dcmon.health import organization_reading
from dcmon.health.snapshot import OrganizationHealth
from dcmon.settings import Settings

MOST_DIRECT = 100  # organizations that are all read each time
MAX_AGE = timedelta(minutes=15)  # then an organization is read again, also if nothing seems to have happened in it
NEVER = datetime(1970, 1, 1, tzinfo=UTC)

SQL = sql.read(__name__)
TABLES = [name for name in Result.metadata.tables if re.search(rf"\b{name}\b", organization_reading.ORGANIZATION)]
TABLES.append("alembic_version")
CHANGES, STORE = text(SQL.statement("changes")), text(SQL.statement("store"))


class Look(NamedTuple):
    """How many organizations are read: for how many seconds (None: all of them), and if what is read is stored."""

    seconds: float | None
    is_stored: bool = False


QUICK_LOOK, COMPLETE_LOOK, LOOK_OF_SCHEDULER = Look(2.0), Look(None), Look(10.0, is_stored=True)


@dataclass(frozen=True)
class _Stored:
    """The health of an organization at `read_at`, when its tables had had so many changes."""

    health: OrganizationHealth
    read_at: datetime
    changes: int


def collect(
    engine: Engine, settings: Settings, organizations: Sequence[Organization], look: Look
) -> list[OrganizationHealth]:
    """Return the health of organizations, in their order. Raises Unreachable."""
    if look.seconds is None or len(organizations) <= MOST_DIRECT:
        with organization_reading.reading(engine, settings) as read:
            return [read(org) for org in organizations]
    with db.public_session(engine) as session:
        stored, changes = _entries(session), _changes(session)
    now = datetime.now(UTC)
    due = [org for org in organizations if not _is_known(stored.get(org.id), changes.get(org.schema), now)]
    due.sort(key=lambda org: stored[org.id].read_at if org.id in stored else NEVER)
    fresh = _read(engine, settings, due, look.seconds)
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
    engine: Engine, settings: Settings, due: Sequence[Organization], seconds: float
) -> dict[int, OrganizationHealth]:
    """Read organizations one after the other until the time is over; return the healths by id."""
    fresh, deadline = dict[int, OrganizationHealth](), time.monotonic() + seconds
    with organization_reading.reading(engine, settings) as read:
        for org in due:
            if time.monotonic() >= deadline:
                break
            fresh[org.id] = read(org)
    return fresh


def _former(org: Organization, stored: _Stored | None, *, is_old: bool) -> OrganizationHealth:
    """Return the stored health, with its time if it may be another one by now."""
    if stored is None:
        return OrganizationHealth(org.name, is_counted=False)
    return replace(stored.health, name=org.name, read_at=stored.read_at if is_old else None)


def _changes(session: Session) -> dict[str, int]:
    """Return by schema how many changes of rows PostgreSQL has counted in the tables that are read."""
    return {schema: int(count) for schema, count in session.execute(CHANGES, {"tables": TABLES})}


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

"""What organizations did within the last minutes: stored rows, evaluated windows, delivered notifications."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from dcmon import db, errors
from dcmon.db import Organization, filled_tables, sql
from dcmon.tenancy import organizations

MINUTES = 5
NEWEST_ROWS = 20_000  # of the ledger and of the results
TABLES = ("batches", "results", "notifications")  # an organization without rows in them did nothing
ACTIVITY = sql.read(__name__).statement("activity", minutes=MINUTES, ledger_rows=NEWEST_ROWS)


@dataclass(frozen=True)
class Activity:
    """What an organization did within the last MINUTES.

    `rows`: by kind and outcome. `evaluation_seconds`: the sum of the run times of `evaluations` results.
    """

    organization: str
    rows: Mapping[tuple[str, str], int] = field(default_factory=dict)
    evaluations: int = 0
    evaluation_seconds: float = 0.0
    longest_evaluation: float = 0.0
    delivered: int = 0
    given_up: int = 0


def collect(engine: Engine) -> list[Activity]:
    """Return the activity of each organization that can be read now. Raises Unreachable."""
    with db.public_session(engine) as session:
        orgs = organizations.entries(session)
        active = filled_tables.schemas_with(session, *TABLES)
    with db.peeking(engine) as peek:
        rows = {org.name: _row(peek, org) for org in orgs if org.schema in active}
    read = {name: _activity(name, row) for name, row in rows.items() if row is not None and row[0] == db.head("org")}
    idle = {org.name: Activity(org.name) for org in orgs if org.schema not in active}
    return [activity for org in orgs if (activity := read.get(org.name) or idle.get(org.name)) is not None]


def _row(peek: Callable[..., Any], org: Organization) -> Any:
    """Return the row of an organization; None if it can't be read, which is a problem of the health checks."""
    with suppress(errors.Unavailable):
        return peek(org, ACTIVITY)
    return None


def _activity(name: str, row: Any) -> Activity:
    _, counts, evaluations, seconds, longest, delivered, given_up = row
    rows = {
        (kind, outcome): int(count)
        for kind, *values in counts or ()
        for outcome, count in zip(("stored", "duplicate", "quarantined"), values, strict=True)
    }
    return Activity(name, rows, evaluations, float(seconds or 0), float(longest or 0), delivered, given_up)

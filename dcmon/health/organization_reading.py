"""Read the health of organizations: what waits and fails in each, in one statement.

The parked messages of an organization are in "public", and not read here.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dcmon import db, errors
from dcmon.alerting import rule_failures
from dcmon.db import Organization, sql
from dcmon.db.tables.org import Result
from dcmon.health import blind_spots, locked_tables
from dcmon.health.snapshot import Backlog, OrganizationHealth, QuarantinedShare, TableLock
from dcmon.ingestion.files import source_losses
from dcmon.monitoring import due_windows, liveness
from dcmon.settings import Settings

OPEN_TIMEOUT = timedelta(seconds=1)
LOCKED_WAIT = timedelta(milliseconds=50)  # for a table that was locked when another organization was read
LEDGER_ROWS = 20_000  # the newest rows of the ledger that are read
REASON_ROWS, REASONS = 1_000, 3  # the newest quarantined rows of which reasons are read, and how many reasons are shown

SQL = sql.read(__name__)
ORGANIZATION = SQL.statement(
    "organization",
    ready_at=due_windows.READY_AT,
    is_live=liveness.IS_LIVE,
    backfill_join=due_windows.BACKFILL_JOIN,
    is_claimable=due_windows.IS_CLAIMABLE,
    is_complete=due_windows.IS_COMPLETE,
    **{
        name: SQL.statement(name, reason_rows=REASON_ROWS, reasons=REASONS, ledger_rows=LEDGER_ROWS)
        for name in ("quarantined_samples", "quarantined_labels")
    },
    source_losses=source_losses.LOSSES,
    failing_rules=rule_failures.FAILING,
    failing_receivers=blind_spots.FAILING_RECEIVERS,
    unreachable_receivers=blind_spots.UNREACHABLE_RECEIVERS,
    paused_receivers=blind_spots.PAUSED_RECEIVERS,
    held_notifications=blind_spots.HELD_NOTIFICATIONS,
    undelivered_alerts=blind_spots.UNDELIVERED_ALERTS,
    has_receiver=blind_spots.HAS_RECEIVER,
    silent_monitors=blind_spots.SILENT_MONITORS,
    missing_labels=blind_spots.MISSING_LABELS,
)

TABLES = [name for name in Result.metadata.tables if re.search(rf"\b{name}\b", ORGANIZATION)]
TABLES.append("alembic_version")


class _OrganizationRow(NamedTuple):
    """The columns of ORGANIZATION: db.peeking gives plain tuples."""

    schema_revision: str
    due_count: int
    due_oldest_at: datetime | None
    recent_count: int
    recent_oldest_at: datetime | None
    evaluated_at: datetime | None
    unsent_count: int
    unsent_oldest_at: datetime | None
    given_up_count: int
    given_up_oldest_at: datetime | None
    given_up_by: list[str] | None
    firing_alerts: dict[str, int] | None
    quarantined_shares: list[dict[str, Any]] | None
    source_losses: list[dict[str, Any]] | None
    failing_count: int
    failing_oldest_at: datetime | None
    failing_receivers: list[dict[str, Any]] | None
    unreachable_receivers: list[dict[str, Any]] | None
    paused_receivers: list[dict[str, Any]] | None
    held_notifications: list[dict[str, Any]] | None
    undelivered_alerts: list[Any]
    has_receiver: bool
    silent_monitors: list[dict[str, Any]] | None
    missing_labels: list[dict[str, Any]] | None
    is_waiting: bool


@contextmanager
def reading(engine: Engine, settings: Settings) -> Iterator[Callable[[Organization], OrganizationHealth]]:
    """Yield a function that reads the health of an organization. Raises Unreachable."""
    # `peek` takes no parameters: several statements share one round trip.
    statement = ORGANIZATION.replace(":backfill_pause", _interval(settings.evaluate.backfill_quiet))
    statement = statement.replace(":last_window_pause", _interval(settings.evaluate.last_window_quiet))
    with db.peeking(engine) as peek:
        yield _Reader(engine, statement, peek).read


class _Reader:
    """Reads organizations one after the other, and remembers in which of them tables were locked."""

    def __init__(self, engine: Engine, statement: str, peek: Callable[..., Any]) -> None:
        self._engine, self._statement, self._peek = engine, statement, peek
        self._locked = set[str]()  # schemas

    def read(self, org: Organization) -> OrganizationHealth:
        """Return the health of an organization, or why it can't be read.

        It is tried twice: it may be migrated, or a lock be released, before the reason is looked for.
        """
        reason = ""
        for _ in range(2):
            try:
                row = self._peek(org, self._statement, LOCKED_WAIT if org.schema in self._locked else OPEN_TIMEOUT)
            except errors.Unavailable as error:
                row, reason = None, str(error)
            if row is not None and row[0] == db.head("org"):
                return _health(org, _OrganizationRow(*row))
            unavailable = self._reason(org)
            if unavailable is not None:
                return unavailable
        return _unreadable(org, reason or "its schema changes just now")

    def _reason(self, org: Organization) -> OrganizationHealth | None:
        """Return the health of an organization that could not be read, with the reason; None if it seems readable."""
        try:
            with db.org_session(self._engine, org, wait=OPEN_TIMEOUT):
                pass
        except errors.OrganizationNotFound:  # it was deleted meanwhile
            return OrganizationHealth(org.name)
        except errors.DcmonError as error:
            return OrganizationHealth(
                org.name,
                is_counted=False,
                unavailable_reason=str(error),
                is_schema_behind=isinstance(error, errors.SchemaOutOfDate),
                is_schema_ahead=isinstance(error, errors.SchemaTooNew),
            )
        except DBAPIError:  # the table with its revision is locked, for example
            pass
        locks = locked_tables.find(self._engine, TABLES, seconds=0)
        self._locked = {lock.schema for lock in locks}  # of these, none is waited for that long again
        lock = next((lock for lock in locks if lock.schema == org.schema), None)
        return None if lock is None else _unreadable(org, lock.sentence, lock)


def _unreadable(org: Organization, reason: str, lock: TableLock | None = None) -> OrganizationHealth:
    """Return the health of an organization that can be opened, and of which a table can't be read."""
    return OrganizationHealth(
        org.name, is_counted=False, unavailable_reason=f"{reason.rstrip('.')}.", is_unreadable=True, lock=lock
    )


def _interval(duration: timedelta) -> str:
    """Return a duration as a literal of SQL."""
    return f"'{duration.total_seconds()} seconds'"


def _health(org: Organization, row: _OrganizationRow) -> OrganizationHealth:
    """Turn a row of ORGANIZATION into the health of an organization."""
    return OrganizationHealth(
        org.name,
        due_windows=Backlog(row.due_count, row.due_oldest_at),
        evaluated_at=row.evaluated_at,
        unsent_notifications=Backlog(row.unsent_count, row.unsent_oldest_at),
        given_up_notifications=Backlog(row.given_up_count, row.given_up_oldest_at),
        given_up_by=tuple(row.given_up_by or ()),
        firing_alerts=row.firing_alerts or {},
        quarantined_shares=tuple(map(_quarantined_share, row.quarantined_shares or ())),
        source_losses=tuple(map(source_losses.from_row, row.source_losses or ())),
        failing_rules=Backlog(row.failing_count, row.failing_oldest_at),
        recent_due_windows=Backlog(row.recent_count, row.recent_oldest_at),
        failing_receivers=tuple(map(blind_spots.failing_receiver, row.failing_receivers or ())),
        unreachable_receivers=tuple(map(blind_spots.unreachable_receiver, row.unreachable_receivers or ())),
        paused_receivers=tuple(map(blind_spots.paused_receiver, row.paused_receivers or ())),
        held_notifications=tuple(map(blind_spots.held_notifications, row.held_notifications or ())),
        undelivered_alerts=blind_spots.backlog(row.undelivered_alerts),
        undelivered_because=blind_spots.failed_deliveries(row.undelivered_alerts),
        has_receiver=row.has_receiver,
        unreferenced=tuple(blind_spots.monitors(row.silent_monitors or (), "unreferenced")),
        valueless=tuple(blind_spots.monitors(row.silent_monitors or (), "valueless")),
        failing_monitors=tuple(blind_spots.monitors(row.silent_monitors or (), "failing")),
        missing_labels=tuple(map(blind_spots.missing_labels, row.missing_labels or ())),
        is_waiting=row.is_waiting,
    )


def _quarantined_share(share: dict[str, Any]) -> QuarantinedShare:
    since, reasons = datetime.fromisoformat(share["since"]), share["reasons"] or ()
    return QuarantinedShare(**{**share, "since": since, "reasons": reasons})

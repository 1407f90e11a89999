"""Read the health of organizations: what waits and fails in each, in one statement.

The parked messages of an organization are in "public", and not read here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Engine

from dcmon import db, errors
from dcmon.alerting import rule_failures
from dcmon.db import Organization, sql
from dcmon.health import blind_spots
from dcmon.health.snapshot import Backlog, OrganizationHealth, QuarantinedShare
from dcmon.ingestion.files import source_losses
from dcmon.monitoring import due_windows, liveness
from dcmon.settings import Settings

OPEN_TIMEOUT = timedelta(seconds=1)
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
        yield lambda org: _health(engine, org, peek(org, statement))


def _interval(duration: timedelta) -> str:
    """Return a duration as a literal of SQL."""
    return f"'{duration.total_seconds()} seconds'"


def _health(engine: Engine, org: Organization, values: Any) -> OrganizationHealth:
    """Turn a row of ORGANIZATION into the health of an organization.

    Without a row, or with a row of another schema revision, find out why the organization can't be read.
    """
    row = None if values is None else _OrganizationRow(*values)
    if row is None or row.schema_revision != db.head("org"):
        return _read_unavailable(engine, org)
    return OrganizationHealth(
        org.name,
        due_windows=Backlog(row.due_count, row.due_oldest_at),
        evaluated_at=row.evaluated_at,
        unsent_notifications=Backlog(row.unsent_count, row.unsent_oldest_at),
        given_up_notifications=Backlog(row.given_up_count, row.given_up_oldest_at),
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


def _read_unavailable(engine: Engine, org: Organization) -> OrganizationHealth:
    """Return the health of an organization that could not be read, with the reason.

    It has no reason when the organization can be opened by now, or was deleted meanwhile.
    """
    try:
        with db.org_session(engine, org, wait=OPEN_TIMEOUT):
            return OrganizationHealth(org.name, is_counted=False)
    except errors.OrganizationNotFound:
        return OrganizationHealth(org.name)
    except errors.DcmonError as error:
        return OrganizationHealth(
            org.name,
            is_counted=False,
            unavailable_reason=str(error),
            is_schema_behind=isinstance(error, errors.SchemaOutOfDate),
            is_schema_ahead=isinstance(error, errors.SchemaTooNew),
        )

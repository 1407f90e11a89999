"""Collect a snapshot of dcmon's own health: processes, backlogs of organizations, topics, PostgreSQL, the disk.

It only reads. For an organization that can't be opened, the snapshot has the reason.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.alerting import rule_failures
from dcmon.db import Organization, leader_lock, sql
from dcmon.embedded import supervisor_state
from dcmon.health import blind_spots, local_processes, process_heartbeats, scheduler_runs
from dcmon.health.snapshot import (
    Backlog,
    Disk,
    HealthSnapshot,
    OrganizationHealth,
    PartitionLag,
    PostgresUsage,
    QuarantinedShare,
)
from dcmon.ingestion.files import source_losses
from dcmon.monitoring import due_windows, liveness
from dcmon.settings import Settings
from dcmon.tenancy import organizations

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
    undelivered_alerts=blind_spots.UNDELIVERED_ALERTS,
    has_receiver=blind_spots.HAS_RECEIVER,
    silent_monitors=blind_spots.SILENT_MONITORS,
)
POSTGRES_USAGE = text(SQL.statement("postgres_usage"))
DEAD_LETTERS = text(SQL.statement("dead_letters"))
PARKED_MESSAGES = text(SQL.statement("parked_messages"))
LAST_STORED = text(SQL.statement("last_stored"))


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
    undelivered_alerts: list[Any]
    has_receiver: bool
    silent_monitors: list[dict[str, Any]] | None


@dataclass(frozen=True)
class _KafkaState:
    """The state of Kafka, and how far each partition is read. `is_up`: None when Kafka is not used."""

    is_up: bool | None
    partitions: Sequence[PartitionLag] = ()


def collect(engine: Engine, settings: Settings) -> HealthSnapshot:
    """Collect a complete snapshot. Raises Unreachable."""
    snapshot = collect_processes(engine, settings)
    with db.public_session(engine) as session:
        orgs = organizations.entries(session)
        parked = {row.org_id: Backlog(row.message_count, row.oldest_at) for row in session.execute(PARKED_MESSAGES)}
        dead_letters = Backlog(*session.execute(DEAD_LETTERS).one())
        postgres = PostgresUsage(**session.execute(POSTGRES_USAGE).one()._mapping)
    kafka = _read_kafka(engine, settings)
    with db.peeking(engine) as peek:
        # `peek` takes no parameters: several statements share one round trip.
        statement = ORGANIZATION.replace(":backfill_pause", _interval(settings.evaluate.backfill_quiet))
        statement = statement.replace(":last_window_pause", _interval(settings.evaluate.last_window_quiet))
        healths = [_read_organization(engine, org, peek(org, statement), parked.get(org.id, Backlog())) for org in orgs]
    return replace(
        snapshot,
        organizations=healths,
        is_kafka_up=kafka.is_up,
        partitions=kafka.partitions,
        dead_letters=dead_letters,
        postgres=postgres,
        disk=read_disk(settings.data_dir) if settings.database_url is None else None,
        health_org=settings.health.org,
    )


def _interval(duration: timedelta) -> str:
    """Return a duration as a literal of SQL."""
    return f"'{duration.total_seconds()} seconds'"


def collect_processes(engine: Engine, settings: Settings) -> HealthSnapshot:
    """Collect a snapshot of dcmon's processes alone, without organizations and topics. Raises Unreachable."""
    with db.public_session(engine) as session:
        now: datetime = session.execute(text("select clock_timestamp()")).scalar_one()
        processes = process_heartbeats.entries(session)
        here = local_processes.find(processes, supervisor_state.read(settings), now)
        return HealthSnapshot(
            now,
            processes,
            leader_lock.is_held(session),
            scheduler_runs.entries(session),
            is_kafka_up=True if settings.kafka.bootstrap_servers else None,
            has_ping_url=settings.ping.url is not None,
            ended=here.ended,
            stopped=here.stopped,
        )


def _read_organization(engine: Engine, org: Organization, values: Any, parked: Backlog) -> OrganizationHealth:
    """Turn a row of ORGANIZATION into the health of an organization.

    Without a row, or with a row of another schema revision, find out why the organization can't be read.
    """
    row = None if values is None else _OrganizationRow(*values)
    if row is None or row.schema_revision != db.head("org"):
        return _read_unavailable(engine, org, parked)
    return OrganizationHealth(
        org.name,
        due_windows=Backlog(row.due_count, row.due_oldest_at),
        evaluated_at=row.evaluated_at,
        unsent_notifications=Backlog(row.unsent_count, row.unsent_oldest_at),
        given_up_notifications=Backlog(row.given_up_count, row.given_up_oldest_at),
        firing_alerts=row.firing_alerts or {},
        quarantined_shares=tuple(map(_quarantined_share, row.quarantined_shares or ())),
        source_losses=tuple(map(source_losses.from_row, row.source_losses or ())),
        parked_messages=parked,
        failing_rules=Backlog(row.failing_count, row.failing_oldest_at),
        recent_due_windows=Backlog(row.recent_count, row.recent_oldest_at),
        failing_receivers=tuple(map(blind_spots.failing_receiver, row.failing_receivers or ())),
        undelivered_alerts=blind_spots.backlog(row.undelivered_alerts),
        has_receiver=row.has_receiver,
        unreferenced=tuple(blind_spots.monitors(row.silent_monitors or (), "unreferenced")),
        valueless=tuple(blind_spots.monitors(row.silent_monitors or (), "valueless")),
        failing_monitors=tuple(blind_spots.monitors(row.silent_monitors or (), "failing")),
    )


def _quarantined_share(share: dict[str, Any]) -> QuarantinedShare:
    since, reasons = datetime.fromisoformat(share["since"]), share["reasons"] or ()
    return QuarantinedShare(**{**share, "since": since, "reasons": reasons})


def _read_unavailable(engine: Engine, org: Organization, parked: Backlog) -> OrganizationHealth:
    """Return the health of an organization that could not be read, with the reason.

    It has no reason when the organization can be opened by now, or was deleted meanwhile.
    """
    try:
        with db.org_session(engine, org, wait=OPEN_TIMEOUT):
            return OrganizationHealth(org.name, parked_messages=parked, is_counted=False)
    except errors.OrganizationNotFound:
        return OrganizationHealth(org.name)
    except errors.DcmonError as error:
        return OrganizationHealth(
            org.name,
            parked_messages=parked,
            is_counted=False,
            unavailable_reason=str(error),
            is_schema_behind=isinstance(error, errors.SchemaOutOfDate),
            is_schema_ahead=isinstance(error, errors.SchemaTooNew),
        )


def _read_kafka(engine: Engine, settings: Settings) -> _KafkaState:
    if not settings.kafka.bootstrap_servers:
        return _KafkaState(None)
    from dcmon.ingestion import kafka, lag  # confluent_kafka is loaded only where Kafka is used

    if not kafka.is_reachable(settings.kafka):
        return _KafkaState(False)
    try:
        lags = lag.partition_lags(engine, settings.kafka, limit=1)
    except errors.DcmonError:
        return _KafkaState(False)
    with db.public_session(engine) as session:
        partitions = [
            PartitionLag(
                f"{partition_lag.topic}/{partition_lag.partition}",
                partition_lag.lag,
                partition_lag.oldest_unread,
                session.scalar(LAST_STORED, {"topic": partition_lag.topic, "partition": partition_lag.partition}),
            )
            for partition_lag, _ in lags
        ]
    return _KafkaState(True, partitions)


def read_disk(path: Path) -> Disk | None:
    """Return the disk of a path, with what an unprivileged process may use; None when it can't be read."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return None
    size = disk.f_frsize
    return Disk(str(path), disk.f_bavail * size, disk.f_blocks * size, disk.f_favail, disk.f_files)

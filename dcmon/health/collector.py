"""Collect a snapshot of dcmon's own health: processes, backlogs of organizations, topics, PostgreSQL, the disk.

It only reads. For an organization that can't be opened, the snapshot has the reason.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.db import leader_lock, sql
from dcmon.embedded import postgres, supervisor_state
from dcmon.health import local_processes, organization_healths, process_heartbeats, scheduler_runs
from dcmon.health.organization_healths import QUICK_LOOK, Look
from dcmon.health.snapshot import (
    Backlog,
    Disk,
    HealthSnapshot,
    PartitionLag,
    PostgresUsage,
)
from dcmon.settings import Settings
from dcmon.tenancy import organizations

SQL = sql.read(__name__)
POSTGRES_USAGE = text(SQL.statement("postgres_usage"))
DEAD_LETTERS = text(SQL.statement("dead_letters"))
PARKED_MESSAGES = text(SQL.statement("parked_messages"))
LAST_STORED = text(SQL.statement("last_stored"))


@dataclass(frozen=True)
class _KafkaState:
    """The state of Kafka, and how far each partition is read. `is_up`: None when Kafka is not used."""

    is_up: bool | None
    partitions: Sequence[PartitionLag] = ()


def collect(engine: Engine, settings: Settings, look: Look = QUICK_LOOK, *, only: str | None = None) -> HealthSnapshot:
    """Collect a complete snapshot, with all organizations, or with `only` one of them.

    `look`: how thoroughly many organizations are read. Raises Unreachable or OrganizationNotFound.
    """
    snapshot = collect_processes(engine, settings)
    with db.public_session(engine) as session:
        orgs = organizations.entries(session)
        parked = {row.org_id: Backlog(row.message_count, row.oldest_at) for row in session.execute(PARKED_MESSAGES)}
        dead_letters = Backlog(*session.execute(DEAD_LETTERS).one())
        usage = PostgresUsage(**session.execute(POSTGRES_USAGE).one()._mapping)
    names = [org.name for org in orgs]
    if only is not None:
        if only not in names:
            raise errors.OrganizationNotFound(name=only, known=names)
        orgs = [org for org in orgs if org.name == only]
    kafka = _read_kafka(engine, settings)
    healths = organization_healths.collect(engine, settings, orgs, look)
    return replace(
        snapshot,
        organizations=[
            replace(health, parked_messages=parked.get(org.id, Backlog()))
            for org, health in zip(orgs, healths, strict=True)
        ],
        is_kafka_up=kafka.is_up,
        partitions=kafka.partitions,
        dead_letters=dead_letters,
        postgres=usage,
        disk=read_own_disk(settings),
        health_org=settings.health.org,
        names=names,
    )


def collect_processes(engine: Engine, settings: Settings) -> HealthSnapshot:
    """Collect a snapshot of dcmon's processes alone, without organizations and topics. Raises Unreachable."""
    with db.public_session(engine) as session:
        now: datetime = session.execute(text("select clock_timestamp()")).scalar_one()
        processes = process_heartbeats.entries(session)
        here = local_processes.find(processes, supervisor_state.read(settings), settings.data_dir, now)
        return HealthSnapshot(
            now,
            processes,
            leader_lock.is_held(session),
            scheduler_runs.entries(session),
            is_kafka_up=True if settings.kafka.bootstrap_servers else None,
            has_ping_url=settings.ping.url is not None,
            ended=here.ended,
            stopped=here.stopped,
            crashed_here=here.crashes,
            reasons_here=here.reasons,
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


def read_own_disk(settings: Settings) -> Disk | None:
    """Return the disk of the data directory if the embedded PostgreSQL is in it; None for one of another place."""
    url = None if settings.database_url is None else settings.database_url.get_secret_value()
    return read_disk(settings.data_dir) if postgres.is_embedded(url, settings.data_dir) else None


def read_disk(path: Path) -> Disk | None:
    """Return the disk of a path, with what an unprivileged process may use; None when it can't be read."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return None
    size = disk.f_frsize
    return Disk(str(path), disk.f_bavail * size, disk.f_blocks * size, disk.f_favail, disk.f_files)

"""Gathering the facts about dcmon itself: signs of life, what waits in each organization, topics, PostgreSQL, the disk.

Nothing is written. What can't be had is a fact too: an organization that can't be entered says why.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.alerting import rule_failures
from dcmon.db import Organization, leader_lock
from dcmon.health import process_heartbeats, scheduler_runs
from dcmon.health.snapshot import Backlog, HealthSnapshot, OrganizationHealth, PartitionLag, PostgresUsage
from dcmon.monitoring import due_windows as due
from dcmon.monitoring import liveness
from dcmon.settings import Settings
from dcmon.tenancy import organizations

ENTERED_WITHIN = timedelta(seconds=1)
LINES_LOOKED_AT = 2_000  # of the ledger: the newest

TENANT = f"""
    select (select version_num from alembic_version), w.waiting, w.oldest,
           (select computed_at from results order by id desc limit 1) as evaluated_at,
           u.waiting, u.oldest, g.waiting, g.oldest,
           (select json_object_agg(severity, n) from (
               select severity, count(*) as n from alerts where state = 'firing' group by severity) f) as firing,
           l.taken, l.rejected, l.rejected_since, j.waiting, j.oldest,
           w.recent, w.oldest_recent
      from (select count(*) as waiting, min(since) as oldest, count(*) filter (where is_recent) as recent,
                   min(since) filter (where is_recent) as oldest_recent
              from (select d.window_end > now() - interval '2 days' as is_recent, greatest({due.READY_AT},
                           case when {liveness.IS_LIVE}
                                then d.window_end + m.lateness else v.newest_logged_at end) as since
                      from due_windows d join versions v on v.id = d.version_id join models m on m.id = v.model_id
                           {due.BACKFILL_JOIN}
                     where {due.IS_CLAIMABLE}) claimable) w,
           (select count(*) as waiting, min(n.created_at) as oldest
              from notifications n join webhooks w on w.id = n.webhook_id
             where n.delivered_at is null and n.dead_at is null and n.held_because is null
               and (w.paused_at is null or w.paused_until <= now())) u,
           (select count(*) as waiting, min(dead_at) as oldest from notifications
             where dead_at > now() - interval '1 day' and not is_superseded) g,
           (select coalesce(sum(taken), 0) as taken, coalesce(sum(quarantined), 0) as rejected,
                   min(created_at) filter (where quarantined > 0) as rejected_since
              from (select * from batches order by id desc limit {LINES_LOOKED_AT}) newest
             where action = 'ingest' and created_at > now() - interval '1 hour') l,
           (select count(distinct rule_id) as waiting, min(computed_at) as oldest from ({rule_failures.FAILING}) f) j
"""
SERVER = text("""
    select count(*) as connections, current_setting('max_connections')::int as most_connections,
           (select count(*) from pg_locks) as locks,
           current_setting('max_locks_per_transaction')::int
             * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)
             as most_locks,
           (select age(datfrozenxid) from pg_database where datname = current_database()) as age,
           min(xact_start) filter (where state like 'idle in transaction%') as idle_since,
           (array_agg(pid order by xact_start) filter (where state like 'idle in transaction%'))[1] as idle_pid
      from pg_stat_activity where backend_type = 'client backend' or backend_type is null
""")
LETTERS = text("""
    select count(*) as waiting, min(created_at) as oldest
      from (select * from dead_letters order by id desc limit 1000) newest
     where created_at > now() - interval '1 hour'
""")
PARKED = text("select org_id, count(*) as waiting, min(parked_at) as oldest from parked_messages group by org_id")
MOVED = text("""
    select created_at from ingest_spans where partition = :partition
       and topic_id = (select topic_id from ingest_topics where name = :topic) order by id desc limit 1
""")


def collect(engine: Engine, settings: Settings) -> HealthSnapshot:
    """All facts. Raises Unreachable."""
    found = collect_processes(engine, settings)
    with db.public_session(engine) as session:
        orgs = organizations.entries(session)
        parked = {row.org_id: Backlog(row.waiting, row.oldest) for row in session.execute(PARKED)}
        letters = Backlog(*session.execute(LETTERS).one())
        server = PostgresUsage(**session.execute(SERVER).one()._mapping)
    answers, partitions = _topics(engine, settings)
    with db.peeking(engine) as peek:
        looks = TENANT.replace(":backfill_pause", f"'{settings.evaluate.backfill_quiet.total_seconds()} seconds'")
        tenants = [_tenant(engine, org, peek(org, looks), parked.get(org.id, Backlog())) for org in orgs]
    return replace(
        found,
        tenants=tenants,
        kafka=answers,
        partitions=partitions,
        letters=letters,
        server=server,
        free_disk=_free(settings.data_dir) if settings.database_url is None else None,
    )


def collect_processes(engine: Engine, settings: Settings) -> HealthSnapshot:
    """What is known of dcmon's processes alone, whatever they work on. Raises Unreachable."""
    with db.public_session(engine) as session:
        now: datetime = session.execute(text("select clock_timestamp()")).scalar_one()
        return HealthSnapshot(
            now,
            process_heartbeats.entries(session),
            leader_lock.is_held(session),
            scheduler_runs.entries(session),
            kafka=True if settings.kafka.bootstrap_servers else None,
            heartbeat=settings.heartbeat.url is not None,
        )


def _tenant(engine: Engine, org: Organization, found: Any, parked: Backlog) -> OrganizationHealth:
    """What waits in an organization; nothing, and why, where it can't be looked into."""
    if found is None or found[0] != db.head("org"):
        return _refused(engine, org, parked)
    (_, due, oldest, evaluated_at, unsent, unsent_since, given_up, given_up_since, firing, taken, rejected, since,
     unjudging, unjudging_since, recent, oldest_recent) = found  # fmt: skip
    return OrganizationHealth(
        org.name,
        Backlog(due, oldest),
        evaluated_at,
        Backlog(unsent, unsent_since),
        Backlog(given_up, given_up_since),
        firing or {},
        int(taken),
        int(rejected),
        since,
        parked,
        Backlog(unjudging, unjudging_since),
        Backlog(recent, oldest_recent),
    )


def _refused(engine: Engine, org: Organization, parked: Backlog) -> OrganizationHealth:
    """Why an organization can't be entered; nothing where it can be by now, or was deleted meanwhile."""
    try:
        with db.org_session(engine, org, wait=ENTERED_WITHIN):
            return OrganizationHealth(org.name, parked=parked)
    except errors.OrganizationNotFound:
        return OrganizationHealth(org.name)
    except errors.DcmonError as error:
        is_behind = isinstance(error, errors.SchemaOutOfDate | errors.SchemaTooNew)
        return OrganizationHealth(org.name, parked=parked, refused=str(error), is_behind=is_behind)


def _topics(engine: Engine, settings: Settings) -> tuple[bool | None, Sequence[PartitionLag]]:
    """Whether Kafka answers (None where it is not used), and how far each partition is read."""
    if not settings.kafka.bootstrap_servers:
        return None, []
    from dcmon.ingestion import (
        kafka,  # only those who use it pay for loading it
        lag,  # only those who use it pay for loading it
    )

    if not kafka.is_reachable(settings.kafka):
        return False, []
    try:
        found = lag.partition_lags(engine, settings.kafka, look_at=1)
    except errors.DcmonError:
        return False, []
    with db.public_session(engine) as session:
        return True, [
            PartitionLag(
                f"{each.topic}/{each.partition}",
                each.lag,
                each.oldest_unread,
                session.scalar(MOVED, {"topic": each.topic, "partition": each.partition}),
            )
            for each, _ in found
        ]


def _free(data_dir: Path) -> float | None:
    """The share of the disk with the data directory that is free."""
    try:
        usage = shutil.disk_usage(data_dir)
    except OSError:
        return None
    return usage.free / usage.total if usage.total else None

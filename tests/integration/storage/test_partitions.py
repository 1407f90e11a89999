"""Partitions are created on demand in steps, so that rows over decades do not exceed PostgreSQL's lock table."""

import pytest
from msgspec import Raw
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dcmon.db import Organization
from dcmon.ingestion.intake import Direct
from dcmon.storage import sample_tables
from tests.integration.conftest import Target, labels, new_target, rows

MONTHS = 12 * 10


@pytest.fixture(params=["samples", "labels"])
def kind(request: pytest.FixtureRequest) -> str:
    """Return the kind of partitioned table."""
    return str(request.param)


@pytest.fixture
def decades(engine: Engine, org: Organization) -> Target:
    """Create a model and send a sample and a label for each month from 1990 to 1999, each kind in one request."""
    target = new_target(engine, org)
    sent = [
        Raw(row.replace(b"2026-03-01T", b"%d-%02d-01T" % (1990 + month // 12, month % 12 + 1)))
        for month in range(MONTHS)
        for row in rows(month, 1)
    ]
    Direct(engine).ingest_samples(org, target.version_id, sent)
    Direct(engine).ingest_labels(org, target.model_id, [Raw(row) for row in labels(0, MONTHS)])
    return target


def test_request_over_decades_makes_partitions_in_steps(decades: Target, kind: str) -> None:
    """Each step is a transaction."""
    assert (decades.samples, decades.labels) == (MONTHS, MONTHS)
    newest = (
        "select max(n) from (select count(*) n from pg_inherits i join pg_class p on p.oid = i.inhrelid where"
        f" i.inhparent = (select oid from pg_class where relname like '{kind}\\__' and relkind = 'p'"
        " and relnamespace = current_schema()::regnamespace) group by p.xmin) of_a_transaction"
    )
    assert 1 < decades.scalar(newest) <= sample_tables.MONTHS_AT_ONCE


def test_request_over_decades_is_in_the_ledger_once(decades: Target) -> None:
    assert decades.scalar("select count(*) from batches where kind = 'samples'") == 1
    assert decades.scalar("select sum(stored) from batches") == 2 * MONTHS


def test_deleted_version_ends_the_creation_of_partitions(decades: Target) -> None:
    with pytest.raises(DBAPIError, match="does not exist"):
        sample_tables.with_partitions(decades.engine, decades.org, _missing_for_ever)


def _missing_for_ever() -> None:
    raise sample_tables.PartitionsMissing("samples", 999_999, [sample_tables.Month(2000, 1)])

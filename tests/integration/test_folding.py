"""What ingestion writes about itself is folded when it is old, and the audit still adds up."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec import Raw
from sqlalchemy import Engine, text

from dcmon import db, examination, ledger, offsets
from dcmon.db import Organization
from dcmon.ingestion import Direct
from dcmon.offsets import Seek, Settled
from tests.integration.conftest import Target, labels, rows

TOPIC = UUID(int=7), 0


@pytest.fixture
def logged(engine: Engine, target: Target) -> Target:
    """Five requests of samples and two of labels, of ten days ago; and one of today."""
    take = Direct(engine)
    for number in range(5):
        take.take_samples(target.org, target.version_id, [Raw(row) for row in rows(10 * number, 12)])
    for number in range(2):
        take.take_labels(target.org, target.model_id, [Raw(row) for row in labels(10 * number, 10)])
    with db.org_session(engine, target.org) as session:
        session.execute(text("update batches set created_at = created_at - interval '10 days'"))
    take.take_samples(target.org, target.version_id, [Raw(row) for row in rows(100, 1)])
    return target


def fold(target: Target) -> int:
    with db.org_session(target.engine, target.org) as session:
        return ledger.fold(session, datetime.now(UTC) - timedelta(days=7))


def test_old_lines_of_requests_become_one_for_each_day_and_target(logged: Target) -> None:
    assert fold(logged) == 7
    assert logged.scalar("select count(*) from batches") == 3
    folded = (
        "select (taken, stored, duplicates, note)::text from batches where source = 'requests' and kind = 'samples'"
    )
    assert logged.scalar(folded) == '(60,52,8,"5 requests")'


def test_what_is_folded_is_not_folded_again(logged: Target) -> None:
    fold(logged)
    assert fold(logged) == 0


def test_the_audit_adds_up_after_folding(logged: Target, org: Organization) -> None:
    fold(logged)
    assert [finding for each in examination.examine(logged.engine, [org]) for finding in each.findings] == []


def test_old_spans_become_one_that_ends_where_the_last_did(engine: Engine, target: Target) -> None:
    with db.public_session(engine) as session:
        for first in range(0, 50, 10):
            read = Settled(first, first + 10, Seek(), first == 0, {target.org.id: [first, first + 1]}, [first + 2])
            offsets.settle(session, TOPIC, read)
    with db.public_session(engine) as session:
        assert offsets.fold(session, datetime.now(UTC) + timedelta(seconds=1)) == 4
    with db.public_session(engine) as session:
        (span,) = session.execute(text("select first_offset, next_offset, messages, dead from ingest_spans")).all()
    assert tuple(span) == (0, 50, {str(target.org.id): 10}, 5)


def test_spans_before_a_seek_stay(engine: Engine) -> None:
    with db.public_session(engine) as session:
        for first in (0, 10):
            offsets.settle(session, TOPIC, Settled(first, first + 10, Seek(), first == 0, {}, []))
        offsets.seek(session, TOPIC, 5, "ops")
    with db.public_session(engine) as session:
        assert offsets.fold(session, datetime.now(UTC) + timedelta(seconds=1)) == 0

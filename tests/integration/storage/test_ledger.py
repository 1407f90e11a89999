"""Old entries of the ledger are merged, and the audit result stays the same."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Raw
from sqlalchemy import Engine, text

from dcmon import db
from dcmon.db import Organization
from dcmon.ingestion import audit, audit_reader, offsets
from dcmon.ingestion.audit import LedgerSummary
from dcmon.ingestion.audit_state import SharedState
from dcmon.ingestion.intake import Direct
from dcmon.ingestion.offsets import LastSeek, OffsetCommit
from dcmon.storage import ledger
from dcmon.storage.ledger import LedgerEntry, Outcome, TopicPartition
from tests.helpers.examples import examples
from tests.integration.conftest import Target, labels, rows

TOPIC = TopicPartition(UUID(int=7), 0)


@pytest.fixture
def logged(engine: Engine, target: Target) -> Target:
    """Log five requests of samples and two of labels ten days ago, and one request today."""
    take = Direct(engine)
    for number in range(5):
        take.ingest_samples(target.org, target.version_id, [Raw(row) for row in rows(10 * number, 12)])
    for number in range(2):
        take.ingest_labels(target.org, target.model_id, [Raw(row) for row in labels(10 * number, 10)])
    with db.org_session(engine, target.org) as session:
        session.execute(text("update batches set created_at = created_at - interval '10 days'"))
    take.ingest_samples(target.org, target.version_id, [Raw(row) for row in rows(100, 1)])
    return target


def merge(target: Target) -> int:
    with db.org_session(target.engine, target.org) as session:
        return ledger.merge_requests(session, datetime.now(UTC) - timedelta(days=7))


def test_old_request_batches_are_merged_per_day_and_target(logged: Target) -> None:
    assert merge(logged) == 7
    assert logged.scalar("select count(*) from batches") == 3
    merged = (
        "select (taken, stored, duplicates, note)::text from batches where source = 'requests' and kind = 'samples'"
    )
    assert logged.scalar(merged) == '(60,52,8,"5 requests")'


def test_merged_entries_are_not_merged_again(logged: Target) -> None:
    merge(logged)
    assert merge(logged) == 0


def test_audit_finds_nothing_after_merging(logged: Target, org: Organization) -> None:
    merge(logged)
    assert [
        finding for entry_kind in audit_reader.run_audit(logged.engine, [org]) for finding in entry_kind.findings
    ] == []


moves = st.lists(
    st.tuples(
        st.integers(0, 1),  # partition
        st.integers(1, 5),  # offsets
        st.sets(st.sampled_from([1, 2, 3]), min_size=1),  # versions that had rows
        st.sampled_from([0, 0, 0, 1]),  # days until the next
        st.sampled_from(["batch", "batch", "batch", "seek"]),
    ),
    max_size=25,
)


@settings(max_examples=examples(25))
@given(moves)
@example([*[(0, 1, {1}, 0, "batch")] * 2, (0, 2, {1}, 0, "seek"), *[(0, 1, {1}, 0, "batch")] * 2])
def test_merged_batches_with_offsets_give_an_equal_audit(
    target: Target, steps: list[tuple[int, int, set[int], int, str]]
) -> None:
    at, day = [0, 0], datetime.now(UTC) - timedelta(days=40)
    with db.org_session(target.engine, target.org) as session:
        session.execute(text("truncate batches"))
        for partition, count, versions, days, action in steps:
            place = TopicPartition(TOPIC.topic_id, partition)
            if action == "seek":
                at[partition] -= min(count, at[partition])
                ledger.record_seek(session, ledger.OffsetMove(place, at[partition] + count, at[partition], 0))
            else:
                span = ledger.OffsetMove(place, at[partition], at[partition] + count, count)
                for version in sorted(versions):
                    outcome = Outcome(taken=count, stored=count - 1, duplicates=1)
                    ledger.record(session, LedgerEntry("samples", "topic", outcome, 1, version), [span])
                at[partition] += count
            session.execute(text("update batches set created_at = :day where created_at > :day"), {"day": day})
            day += timedelta(days=days)

    def read() -> LedgerSummary:
        with db.org_session(target.engine, target.org) as session:
            committed = {TopicPartition(TOPIC.topic_id, number): offset for number, offset in enumerate(at)}
            summary = audit.summarize(audit_reader._ledger_lines(session), SharedState(committed=committed))
        for chain in summary.chains.values():
            chain.last_range = None  # which entries belong to one transaction
        return summary

    before = read()
    with db.org_session(target.engine, target.org) as session:
        merged = ledger.merge_moves(session, datetime.now(UTC))
    after = read()

    assert (after.stored, after.unbalanced, after.chains) == (before.stored, [], before.chains)
    with db.org_session(target.engine, target.org) as session:
        assert ledger.merge_moves(session, datetime.now(UTC)) == 0
    assert bool(merged) == (after.lines < before.lines)


def test_entries_of_today_are_not_merged(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        for first in (0, 10):
            span = ledger.OffsetMove(TOPIC, first, first + 10, 10)
            ledger.record(session, LedgerEntry("samples", "topic", Outcome(taken=0), 1, 1), [span])
        assert ledger.merge_moves(session, datetime.now(UTC)) == 0


def test_old_read_ranges_become_one_with_the_last_end(engine: Engine, target: Target) -> None:
    with db.public_session(engine) as session:
        for first in range(0, 50, 10):
            read = OffsetCommit(
                first, first + 10, LastSeek(), first == 0, {target.org.id: [first, first + 1]}, [first + 2]
            )
            offsets.commit(session, TOPIC, read)
    with db.public_session(engine) as session:
        assert offsets.merge_moves(session, datetime.now(UTC) + timedelta(seconds=1)) == 4
    with db.public_session(engine) as session:
        (span,) = session.execute(text("select first_offset, next_offset, messages, dead from ingest_spans")).all()
    assert tuple(span) == (0, 50, {str(target.org.id): 10}, 5)


def test_read_ranges_before_a_seek_are_kept(engine: Engine) -> None:
    with db.public_session(engine) as session:
        for first in (0, 10):
            offsets.commit(session, TOPIC, OffsetCommit(first, first + 10, LastSeek(), first == 0, {}, []))
        offsets.seek(session, TOPIC, 5, "ops")
    with db.public_session(engine) as session:
        assert offsets.merge_moves(session, datetime.now(UTC) + timedelta(seconds=1)) == 0

"""A log that lost its end reuses offsets: new messages are not mistaken for earlier ones."""

from sqlalchemy import text

from dcmon import db
from dcmon.app import App
from dcmon.db import locks
from dcmon.db.locks import LockSpace
from dcmon.ingestion import audit_reader, offsets, parked_messages
from dcmon.ingestion.message_batches import MessageBatch
from dcmon.ingestion.offsets import LastSeek
from dcmon.storage.ledger import TopicPartition
from dcmon.tenancy import organizations
from tests.integration.conftest import Target, rows
from tests.integration.ingestion.test_ingest_faults import (
    TOPICS,
    batch_of,
    packed,
    public,
    received,
    retry_parked,
    take,
)

PARTITION = TopicPartition(TOPICS["samples"], 0)


def seek(app: App, to: int) -> LastSeek:
    """Seek as `dcmon ingest seek` does."""
    with app.public() as session:
        offsets.seek(session, PARTITION, to, "somebody")
        return offsets.last_seek(session, PARTITION)


def bad(number: int) -> bytes:
    return rows(number, 1)[0].replace(b'"age"', b'"years"')


def park(app: App, target: Target, batch: MessageBatch) -> None:
    """Store a batch while the organization is locked."""
    with target.engine.begin() as migration:
        locks.acquire(migration, LockSpace.ORGANIZATION, target.org.id)
        take(app, batch)


def require_agreement(app: App) -> None:
    with app.public() as session:
        orgs = organizations.entries(session)
    assert [result.findings for result in audit_reader.run_audit(app.engine, orgs)] == [[], []]


def test_bad_row_at_reused_offset_is_quarantined_too(app: App, target: Target) -> None:
    take(app, batch_of(app, received(0, *packed(target, [*rows(0, 15), bad(15)], 4))))

    again = seek(app, 3)
    take(app, batch_of(app, received(3, *packed(target, [*rows(100, 3), bad(103)], 4)), again))

    assert target.scalar("select array_agg(sample_id order by id) from quarantine") == ["s15", "s103"]
    assert target.scalar("select sum(quarantined) from batches") == 2
    assert target.scalar("select count(distinct (source, position)) from quarantine") == 2
    require_agreement(app)


def test_bad_row_read_again_after_seek_is_kept_once(app: App, target: Target) -> None:
    values = packed(target, [*rows(0, 15), bad(15)], 4)
    take(app, batch_of(app, received(0, *values)))

    again = seek(app, 0)
    take(app, batch_of(app, received(0, *values), again))

    assert target.scalar("select count(*) from quarantine") == 1
    assert target.scalar("select sum(duplicates) from batches") == 16
    require_agreement(app)


def test_dead_letter_at_reused_offset_is_kept_too(app: App, target: Target) -> None:
    take(app, batch_of(app, received(0, *packed(target, rows(0, 10), 5), b"poison", None)))

    again = seek(app, 2)
    take(app, batch_of(app, received(2, b"venom", b"poison", None), again))

    bodies = "select array_agg(convert_from(body, 'utf8') order by id) from dead_letters"
    assert public(app, bodies) == ["poison", None, "venom", "poison", None]
    require_agreement(app)


def test_dead_letter_read_again_after_seek_is_kept_once(app: App, target: Target) -> None:
    values = [*packed(target, rows(0, 10), 5), b"poison", None]
    take(app, batch_of(app, received(0, *values)))

    again = seek(app, 0)
    take(app, batch_of(app, received(0, *values), again))

    assert public(app, "select count(*) from dead_letters") == 2
    require_agreement(app)


def test_messages_parked_at_reused_offsets_are_stored_too(app: App, target: Target) -> None:
    park(app, target, batch_of(app, received(0, *packed(target, rows(0, 80)))))
    again = seek(app, 4)
    park(app, target, batch_of(app, received(4, *packed(target, rows(500, 90))), again))
    assert public(app, "select count(*) from parked_messages") == 8 + 9

    retry_parked(app)

    assert (target.samples, public(app, "select count(*) from parked_messages")) == (170, 0)
    assert target.scalar("select next_offset from ingest_offsets") == 13
    require_agreement(app)


def test_parked_messages_in_parts_follow_seeks_in_order(app: App, target: Target) -> None:
    park(app, target, batch_of(app, received(0, *packed(target, rows(0, 80), 1))))
    again = seek(app, 10)
    park(app, target, batch_of(app, received(10, *packed(target, rows(500, 120), 1)), again))

    retry_parked(app)  # parked messages are stored a hundred at a time

    assert (target.samples, public(app, "select count(*) from parked_messages")) == (200, 0)
    require_agreement(app)


def test_messages_parked_before_a_seek_move_no_offset(app: App, target: Target) -> None:
    """Other workers have stored the messages since. Their offset must not hide the new messages there."""
    park(app, target, batch_of(app, received(0, *packed(target, rows(0, 80)))))
    with app.public() as session:
        slept = parked_messages.oldest_messages(session, target.org.id, 100, 10**6)
    retry_parked(app)
    again = seek(app, 4)
    values = packed(target, rows(500, 40))
    take(app, batch_of(app, received(4, *values[:1]), again))

    with app.public() as session:
        for message in slept:
            parked_messages.park(session, message, "slept")
    retry_parked(app)
    take(app, batch_of(app, received(5, *values[1:]), again))

    assert target.samples == 120
    require_agreement(app)


def test_message_parked_before_seek_hides_no_lost_message(app: App, target: Target) -> None:
    park(app, target, batch_of(app, received(0, *packed(target, rows(0, 30)))))
    retry_parked(app)
    again = seek(app, 0)
    take(app, batch_of(app, received(0, *packed(target, rows(0, 30))), again))
    with app.public() as session:
        late = batch_of(app, received(7, *packed(target, rows(70, 10)))).by_organization()[target.org.id]
        parked_messages.park(session, late[0], "of before")
    with db.org_session(target.engine, target.org) as session:
        session.execute(text("update batches set messages = messages - 1 where action = 'ingest' and duplicates > 0"))

    with app.public() as session:
        orgs = organizations.entries(session)
    findings = audit_reader.run_audit(app.engine, orgs)[1].findings
    assert [finding.check for finding in findings] == ["messages"]

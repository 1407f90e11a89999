"""A failure while a batch is stored affects as few messages as possible, and loses none."""

import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.app import App
from dcmon.db import locks
from dcmon.db.locks import LockSpace
from dcmon.ingestion import audit_reader, kafka, message_batches, message_groups, offsets, parked_messages, store
from dcmon.ingestion import message_format as messages
from dcmon.ingestion.message_batches import MessageBatch
from dcmon.ingestion.message_groups import MessageGroup
from dcmon.ingestion.message_store import MessageStore
from dcmon.ingestion.offsets import LastSeek, OffsetReset, ReadRange
from dcmon.ingestion.parked_messages import InboundMessage
from dcmon.ingestion.target_cache import TargetCache
from dcmon.storage import versions
from dcmon.storage.ledger import TopicPartition
from dcmon.tenancy import organizations, provisioning
from tests.integration.conftest import Target, labels, new_target, rows

NONE = LastSeek()
TOPICS = {"samples": uuid.uuid4(), "labels": uuid.uuid4()}
NOW = datetime(2026, 4, 1, tzinfo=UTC)


def received(first: int, *values: bytes | None, kind: str = "samples") -> list[kafka.ConsumerRecord]:
    """Return messages as the consumer does, at consecutive offsets of one partition."""
    return [
        kafka.ConsumerRecord(kafka.RecordPosition(kind, 0, offset), value, offset or None, NOW + timedelta(days=1))
        for offset, value in enumerate(values, first)
    ]


def batch_of(app: App, messages: Iterable[kafka.ConsumerRecord], seek: LastSeek = NONE) -> MessageBatch:
    """Return a batch as the worker has it before the batch is stored."""
    batch = MessageBatch()
    for message in messages:
        batch.add(TopicPartition(TOPICS[message.position.topic], message.position.partition), message, seek)
    message_batches.decode(TargetCache(app.engine), batch)
    return batch


def take(app: App, batch: MessageBatch) -> None:
    message_batches.store(app.engine, TargetCache(app.engine), batch)


def retry_parked(app: App) -> None:
    message_batches.retry_parked(app.engine, TargetCache(app.engine))


def packed(target: Target, of: Sequence[bytes], per_message: int = 10, minutes: int = 0) -> list[bytes]:
    logged_at = NOW + timedelta(minutes=minutes)
    return messages.pack(target.org.id, "samples", target.version_id, logged_at, of, per_message)


def ddl(target: Target, *statements: str) -> None:
    """Change the sample table of the target; {samples} is its name."""
    with db.org_session(target.engine, target.org) as session:
        name = f"samples_{versions.get(session, target.version_id)[1].relation}"
        for statement in statements:
            session.execute(text(statement.replace("{samples}", name)))


def public(app: App, statement: str) -> object:
    with app.public() as session:
        return session.scalar(text(statement))


def test_messages_of_locked_organization_are_parked(app: App, target: Target) -> None:
    """Other organizations do not wait for the locked one."""
    other = new_target(
        target.engine, provisioning.create_organization(target.engine, "other", "o@other.example").organization
    )
    batch = batch_of(app, received(0, *packed(target, rows(0, 10)), *packed(other, rows(0, 10))))
    with target.engine.begin() as migration:
        locks.acquire(migration, LockSpace.ORGANIZATION, target.org.id)
        started_at = time.monotonic()
        take(app, batch)
        assert time.monotonic() - started_at < 60  # without a limit, the worker would wait for the lock for ever
        assert (other.samples, public(app, "select count(*) from parked_messages")) == (10, 1)

    retry_parked(app)

    assert (target.samples, public(app, "select count(*) from parked_messages")) == (10, 0)


def test_message_refused_as_a_whole_is_a_dead_letter(app: App, target: Target) -> None:
    """The message can't be stored even without some of its rows. All other messages are stored."""
    ddl(
        target,
        "create function fails() returns trigger language plpgsql as 'begin"
        " if (select count(*) from new) > 5 and exists (select 1 from new where age = 25) then"
        " raise exception using errcode = ''22000''; end if; return null; end'",
        "create trigger fails after insert on {samples} referencing new table as new"
        " for each statement execute function fails()",
    )

    take(app, batch_of(app, received(0, *packed(target, rows(0, 50)))))
    take(app, batch_of(app, received(0, *packed(target, rows(0, 60)))))

    assert target.samples == 50
    assert public(app, "select at_offset from dead_letters") == 2
    assert target.scalar("select array[sum(taken), sum(stored), sum(dropped)] from batches") == [60, 50, 10]


def test_server_that_dies_during_copy_leaves_nothing(app: App, target: Target) -> None:
    ddl(
        target,
        "create function ends() returns trigger language plpgsql as"
        " 'begin perform set_config(''transaction_timeout'', ''1'', true); perform pg_sleep(60); return new; end'",
        "create trigger ends before insert on {samples} for each row when (new.age = 25) execute function ends()",
    )
    batch = batch_of(app, received(0, *packed(target, rows(0, 50))))

    with pytest.raises(errors.Unreachable):
        take(app, batch)
    assert target.samples == 0

    ddl(target, "drop trigger ends on {samples}")
    take(app, batch)
    assert target.samples == 50


@pytest.mark.parametrize("state", ["40P01", "40001", "55P03"])
def test_deadlock_during_copy_repeats_the_transaction(app: App, target: Target, state: str) -> None:
    ddl(
        target,
        "create sequence tries",
        "create function fails() returns trigger language plpgsql as"
        f" 'begin if nextval(''tries'') < 3 then raise exception using errcode = ''{state}''; end if;"
        " return new; end'",
        "create trigger fails before insert on {samples} for each row when (new.age = 25) execute function fails()",
    )

    take(app, batch_of(app, received(0, *packed(target, rows(0, 50)))))

    assert target.samples == 50
    assert target.scalar("select sum(taken) from batches") == 50


def test_messages_that_find_no_lock_are_parked(app: App, target: Target) -> None:
    ddl(
        target,
        "create function fails() returns trigger language plpgsql as"
        " 'begin raise exception using errcode = ''55P03''; end'",
        "create trigger fails before insert on {samples} for each row execute function fails()",
    )
    take(app, batch_of(app, received(0, *packed(target, rows(0, 10)))))
    assert public(app, "select count(*) from parked_messages") == 1

    ddl(target, "drop trigger fails on {samples}")
    retry_parked(app)
    assert target.samples == 10


def test_batch_read_from_new_position_commits_no_gap(app: App, target: Target) -> None:
    """A partition was assigned again: messages that are not read again yet are not committed."""
    values = packed(target, rows(0, 50))

    take(app, batch_of(app, [*received(4, values[4]), *received(0, *values[:2])]))
    assert (public(app, "select next_offset from committed_offsets"), target.samples) == (2, 20)

    take(app, batch_of(app, received(2, *values[2:])))
    assert (public(app, "select next_offset from committed_offsets"), target.samples) == (5, 50)


def test_batch_committed_by_another_worker_changes_nothing(app: App, target: Target) -> None:
    values = packed(target, rows(0, 50))
    late = batch_of(app, received(0, *values[:3]))
    take(app, batch_of(app, received(0, *values)))

    take(app, late)

    assert (public(app, "select next_offset from committed_offsets"), target.samples) == (5, 50)
    assert target.scalar("select sum(messages) from batches") == 5
    assert public(app, "select count(*) from ingest_spans") == 1


def test_batch_of_samples_and_labels_locks_its_model_once(app: App, target: Target) -> None:
    """Two workers that lock first for samples (shared) and then for labels (exclusive) would deadlock."""
    both = [
        *received(0, *packed(target, rows(0, 10))),
        *received(0, *messages.pack(target.org.id, "labels", target.model_id, NOW, labels(0, 10), 10), kind="labels"),
    ]
    with app.org(target.org) as session, pytest.MonkeyPatch.context() as patch:
        locks: list[str] = []
        relation = session.scalar(text("select relation from models"))
        patch.setattr(message_groups, "_store_group", lambda session, *_: locks.extend(_modes(session, relation)))
        take(app, batch_of(app, both))

    assert set(locks) == {"ExclusiveLock"}


def _modes(session: Session, relation: object) -> list[str]:
    held = text(
        "select mode from pg_locks where locktype = 'advisory' and classid = 2 and objid = :model"
        " and pid = pg_backend_pid()"
    )
    return list(session.scalars(held, {"model": relation}))


def test_refused_row_of_message_is_quarantined_alone(app: App, target: Target) -> None:
    ddl(target, "alter table {samples} add check (age <> 25)")

    take(app, batch_of(app, received(0, *packed(target, rows(0, 50)))))

    assert (target.samples, public(app, "select count(*) from dead_letters")) == (49, 0)
    assert target.scalar("select reason || ' ' || sample_id from quarantine") == "refused s25"
    assert target.scalar("select array[sum(taken), sum(stored), sum(quarantined)] from batches") == [50, 49, 1]


def test_refused_row_of_request_is_quarantined_alone(app: App, target: Target) -> None:
    ddl(target, "alter table {samples} add check (age <> 25)")

    app.ingestion.ingest_samples(target.org, target.version_id, rows(0, 50))

    assert target.samples == 49
    assert target.scalar("select detail from quarantine").startswith("new row for relation")


def test_request_without_locks_in_all_tries_is_503(app: App, target: Target) -> None:
    ddl(
        target,
        "create function fails() returns trigger language plpgsql as"
        " 'begin raise exception using errcode = ''40P01''; end'",
        "create trigger fails before insert on {samples} for each row execute function fails()",
    )

    with pytest.raises(errors.Locked, match=f"in {store.RETRY_POLICY.max_tries} tries") as refused:
        app.ingestion.ingest_samples(target.org, target.version_id, rows(0, 10))

    assert refused.value.status == 503
    assert target.samples == 0


def test_batch_with_too_many_locks_is_stored_in_parts(app: App, target: Target) -> None:
    store_once, sizes = MessageStore.store_once, list[int]()

    def out_of_locks(self: MessageStore, groups: Sequence[MessageGroup]) -> None:
        sizes.append(sum(len(group.messages) for group in groups))
        if sizes[-1] > 2:
            raise errors.OutOfMemory(where="here", reason="out of shared memory")
        store_once(self, groups)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MessageStore, "store_once", out_of_locks)
        take(app, batch_of(app, received(0, *packed(target, rows(0, 50)))))

    assert sizes == [5, 2, 3, 1, 2]
    assert target.samples == 50
    assert public(app, "select count(*) from parked_messages") == 0


def test_out_of_lock_memory_error_names_the_setting(app: App) -> None:
    with pytest.raises(errors.OutOfMemory, match="max_locks_per_transaction"), app.public() as session:
        session.execute(text("do $$ begin raise exception using errcode = '53200'; end $$"))


def test_parked_messages_stored_twice_are_no_dead_letters(app: App, target: Target) -> None:
    """Another worker stores the messages after this one has read them and before it stores them."""
    ddl(target, "alter table {samples} rename to away")
    take(app, batch_of(app, received(0, *packed(target, rows(0, 10)))))
    parked = public(app, "select count(*) from parked_messages")
    ddl(target, "alter table away rename to {samples}")
    read_ranges = parked_messages.read_ranges

    def late(session: Session, messages: Iterable[InboundMessage]) -> dict[TopicPartition, ReadRange]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parked_messages, "read_ranges", read_ranges)
            retry_parked(app)
        return read_ranges(session, messages)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parked_messages, "read_ranges", late)
        retry_parked(app)

    assert parked == 1
    assert target.samples == 10
    assert public(app, "select count(*) from dead_letters") == 0


def test_unknown_error_parks_the_organization_only(app: App, target: Target) -> None:
    other = new_target(
        target.engine, provisioning.create_organization(target.engine, "other", "o@other.example").organization
    )
    ddl(
        target,
        "create function fails() returns trigger language plpgsql as"
        " 'begin raise exception using errcode = ''XX000''; end'",
        "create trigger fails before insert on {samples} for each row execute function fails()",
    )
    batch = batch_of(app, received(0, *packed(target, rows(0, 10)), *packed(other, rows(0, 10))))
    take(app, batch)
    assert (other.samples, public(app, "select count(*) from parked_messages")) == (10, 1)

    ddl(target, "drop trigger fails on {samples}")
    retry_parked(app)
    assert (target.samples, public(app, "select count(*) from parked_messages")) == (10, 0)


def test_worker_beside_restored_database_reads_again_first(app: App, target: Target) -> None:
    """A standby or a backup lacks messages that were read, so the next messages would leave a gap."""
    values = packed(target, rows(0, 80))
    take(app, batch_of(app, received(0, *values[:2])))

    with pytest.raises(OffsetReset):
        take(app, batch_of(app, received(5, *values[5:])))
    assert target.samples == 20

    take(app, batch_of(app, received(2, *values[2:])))
    assert target.samples == 80


def test_messages_parked_after_a_seek_are_stored(app: App, target: Target) -> None:
    """The log lost its end, an operator ran a seek, and the same offsets have other messages now."""
    take(app, batch_of(app, received(0, *packed(target, rows(0, 80)))))
    with app.public() as session:
        offsets.seek(session, TopicPartition(TOPICS["samples"], 0), 4, "somebody")
        seek = offsets.last_seek(session, TopicPartition(TOPICS["samples"], 0))
    again = batch_of(app, received(4, *packed(target, rows(500, 30))), seek)
    with target.engine.begin() as migration:
        locks.acquire(migration, LockSpace.ORGANIZATION, target.org.id)
        take(app, again)
    assert (target.samples, public(app, "select count(*) from parked_messages")) == (80, 3)

    retry_parked(app)

    assert (target.samples, public(app, "select count(*) from parked_messages")) == (110, 0)


def test_worker_suspended_during_seek_stores_nothing(app: App, target: Target) -> None:
    late = batch_of(app, received(2, *packed(target, rows(20, 30))))
    take(app, batch_of(app, received(0, *packed(target, rows(0, 20)))))
    with app.public() as session:
        offsets.seek(session, TopicPartition(TOPICS["samples"], 0), 0, "somebody")

    with pytest.raises(OffsetReset):
        take(app, late)

    assert (target.samples, public(app, "select next_offset from committed_offsets")) == (20, 0)


def test_compacted_offset_history_passes_the_audit(app: App, target: Target) -> None:
    values = packed(target, rows(0, 120))
    for first in range(0, 6, 2):
        take(app, batch_of(app, received(first, *values[first : first + 2])))
    with app.public() as session:
        offsets.seek(session, TopicPartition(TOPICS["samples"], 0), 2, "somebody")
        seek = offsets.last_seek(session, TopicPartition(TOPICS["samples"], 0))
    for first in range(2, 12, 2):
        take(app, batch_of(app, received(first, *values[first : first + 2]), seek))
    take(app, batch_of(app, received(12, b"poison"), seek))

    with app.public() as session:
        removed = offsets.merge_moves(session, datetime.now(UTC) + timedelta(hours=1))

    assert (removed, target.samples) == (5, 120)
    last = "select array[first_offset, next_offset, dead] from ingest_spans order by id desc limit 1"
    assert public(app, last) == [2, 13, 1]
    with app.public() as session:
        orgs = organizations.entries(session)
    assert [result.findings for result in audit_reader.run_audit(app.engine, orgs)] == [[], []]


@pytest.mark.parametrize("is_decoded", [True, False])
def test_message_with_valid_head_and_bad_rest_is_isolated(app: App, target: Target, is_decoded: bool) -> None:
    """Of a repeated field the last value counts, as in JSON; unknown fields are ignored."""
    other = new_target(
        target.engine, provisioning.create_organization(target.engine, "other", "o@other.example").organization
    )
    (head,) = packed(target, rows(0, 1))
    more = b',"tags":["x"]}'
    turned = b',"org":%d,"target":%d,"tags":[]}' % (other.org.id, other.version_id)
    values = [
        head[:-1] + more,
        packed(target, rows(1, 1))[0][:-1] + turned,
        packed(target, rows(2, 1))[0][:-1] + b"]}",
        packed(target, rows(3, 1))[0],
        packed(other, rows(9, 1))[0],
    ]
    batch = batch_of(app, received(0, *values))
    if not is_decoded:
        batch.groups.clear()
    take(app, batch)

    assert (target.samples, other.samples) == (2, 2)
    assert public(app, "select count(*) from dead_letters") == 1

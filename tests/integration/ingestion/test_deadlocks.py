"""Two workers that store the same ids in opposite order wait for each other without a deadlock."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from sqlalchemy import text

from dcmon import db
from dcmon.app import App
from dcmon.ingestion import kafka, message_batches, message_format, quarantine_corrections, sample_deletion
from dcmon.ingestion.message_batches import MessageBatch
from dcmon.ingestion.offsets import LastSeek
from dcmon.ingestion.quarantine import QuarantineFilter
from dcmon.ingestion.sample_deletion import SampleRange
from dcmon.ingestion.target_cache import TargetCache
from dcmon.storage import versions
from dcmon.storage.ledger import TopicPartition
from dcmon.storage.versions import NewVersion
from tests.helpers.waiting import PATIENCE
from tests.integration.conftest import Target, eventually, labels, rows
from tests.integration.ingestion.test_ingest_faults import TOPICS

NOW, START = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
ROUNDS, ROWS = 12, 240


@pytest.fixture
def second(target: Target) -> Target:
    """Create another version of the same model."""
    with db.org_session(target.engine, target.org) as session:
        model, _ = versions.get(session, target.version_id)
        columns = NewVersion("v2", {"age": "numeric", "job": "categorical"}, classes=["0", "1"])
        return Target(target.engine, target.org, model.id, versions.create(session, model, columns).id)


def bad(number: int) -> bytes:
    return rows(number, 1)[0].replace(b'"age"', b'"years"')


def parts(first: int, seed: int) -> list[list[bytes]]:
    """Return the rows of a round in two shuffled halves; some rows are bad."""
    new_rows = [*rows(first, ROWS), *(bad(number) for number in range(first, first + 20))]
    Random(seed).shuffle(new_rows)
    return [new_rows[: len(new_rows) // 2], new_rows[len(new_rows) // 2 :]]


def batch_of(round_: int, partitions: Sequence[int], targets: Sequence[Target], with_labels: bool) -> MessageBatch:
    """Return a worker's batch: from each partition the rows of both versions, in an order of its own."""
    batch = MessageBatch()
    for partition, half in zip(partitions, parts(100 * round_, seed=partitions[0]), strict=True):
        for at, target in enumerate(targets):
            value = message_format.pack(target.org.id, "samples", target.version_id, NOW, half, 1000)[0]
            _add(batch, "samples", partition, 2 * round_ + at, value)
        if with_labels:
            message = labels(100 * round_ + partition * 20, ROWS)
            value = message_format.pack(target.org.id, "labels", target.model_id, NOW, message[::-1], 1000)[0]
            _add(batch, "labels", partition, round_, value)
    return batch


def _add(batch: MessageBatch, kind: str, partition: int, offset: int, value: bytes) -> None:
    place = kafka.RecordPosition(kind, partition, offset)
    batch.add(
        TopicPartition(TOPICS[kind], partition),
        kafka.ConsumerRecord(place, value, offset or None, NOW + timedelta(days=1)),
        LastSeek(),
    )


def at_once(*works: Callable[[], None]) -> None:
    """Run all calls on threads at the same time, and raise their errors here."""
    raised, start = list[BaseException](), threading.Barrier(len(works))

    def run(work: Callable[[], None]) -> None:
        try:
            start.wait(300)
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    if raised:
        raise raised[0]
    assert not any(thread.is_alive() for thread in threads)


def deadlocks(app: App, target: Target) -> int:
    """Return how many deadlocks PostgreSQL ended. A connection reports its counts when it closes."""
    name = target.engine.url.database
    for engine in (app.engine, target.engine):
        engine.dispose()
    others = "select count(*) = 0 from pg_stat_activity where datname = :name and pid <> pg_backend_pid()"
    # Without autocommit, each query of pg_stat_activity would return the result of the first one.
    with target.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert eventually(lambda: bool(connection.scalar(text(others), {"name": name})))
        return int(connection.scalar(text("select deadlocks from pg_stat_database where datname = :n"), {"n": name}))


@pytest.mark.parametrize("with_labels", [False, True])
def test_workers_with_same_rows_in_opposite_order_both_end(
    app: App, target: Target, second: Target, with_labels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        message_batches, "LOCK_WAIT", timedelta(seconds=PATIENCE)
    )  # after this time, messages are parked

    def work(partitions: Sequence[int]) -> Callable[[], None]:
        def run() -> None:
            targets = TargetCache(app.engine)
            for round_ in range(ROUNDS):
                batch = batch_of(round_, partitions, [target, second], with_labels)
                message_batches.decode(targets, batch)
                message_batches.store(app.engine, targets, batch)

        return run

    at_once(work([0, 1]), work([3, 2]))

    assert deadlocks(app, target) == 0
    count = 100 * (ROUNDS - 1) + ROWS
    assert (target.samples, second.samples) == (count, count)
    conflicts = 2 * len({number for round_ in range(ROUNDS) for number in range(100 * round_, 100 * round_ + 20)})
    assert target.scalar("select count(*) from quarantine") == conflicts


def test_worker_beside_retry_of_its_bad_rows_both_end(app: App, target: Target) -> None:
    """The retry deletes quarantined rows and then claims ids; the worker claims ids and then quarantines."""
    new_rows = rows(0, 600)
    others = [row.replace(b'"job": "j', b'"job": "k') for row in new_rows]
    everything = SampleRange(target.version_id, START, START + timedelta(days=1), datetime(2030, 1, 1, tzinfo=UTC))

    def store() -> None:
        app.ingestion.ingest_samples(target.org, target.version_id, [*new_rows, *others])

    def retry() -> None:
        quarantine_corrections.retry_quarantined(target.engine, target.org, QuarantineFilter(), "tester")

    store()
    for _ in range(8):
        sample_deletion.delete_samples(target.engine, target.org, everything, "tester")
        at_once(store, retry, retry)

    assert deadlocks(app, target) == 0
    assert target.samples == 600

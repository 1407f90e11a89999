"""The audit agrees while a worker is killed, follows a seek, and meets bad messages and locks."""

import signal
from collections.abc import Callable

import pytest
from sqlalchemy import text

from dcmon import db
from dcmon.app import App
from dcmon.ingestion import audit_reader, kafka
from dcmon.ingestion.audit import Finding
from dcmon.tenancy import provisioning
from tests.helpers.ingestion import public_scalar, seek, worker
from tests.integration.conftest import Target, eventually, labels, new_target, rows

pytestmark = pytest.mark.kafka


def audit_findings(app: App) -> list[Finding]:
    every = audit_reader.run_audit(app.engine, app.organizations())
    return [finding for result in every if result.left_out is None for finding in result.findings]


def poison(app: App) -> None:
    producer = kafka.Producer(app.settings.kafka)
    producer.send(kafka.topic_name(app.settings.kafka, "samples"), [b"\xff not JSON", b'{"v": 2}'])
    producer.close()


def send(app: App, target: Target, first: int) -> None:
    bad = rows(first, 1)[0].replace(b'"age"', b'"years"')
    app.ingestion.ingest_samples(target.org, target.version_id, [*rows(first, 500), bad])
    app.ingestion.ingest_labels(target.org, target.model_id, labels(first, 600))


def test_audit_after_worker_crashes_finds_nothing(buffered: App, target: Target) -> None:
    created = provisioning.create_organization(target.engine, "other", "o@other.example").organization
    other = new_target(target.engine, created)
    looks = list[Finding]()

    def is_reached(is_true: Callable[[], bool]) -> bool:
        looks.extend(audit_findings(buffered))
        return is_true()

    def audit_until(is_true: Callable[[], bool]) -> None:
        assert eventually(lambda: is_reached(is_true), every=0.2)

    def send_some(numbers: range) -> None:
        for number in numbers:
            for logged_target in (target, other):
                send(buffered, logged_target, 500 * number)
            poison(buffered)

    send_some(range(3))

    with worker(buffered) as process:
        assert eventually(lambda: target.samples > 0)
        looks += audit_findings(buffered)
        process.send_signal(signal.SIGKILL)
        process.wait()
    looks += audit_findings(buffered)
    with target.engine.begin() as connection:
        connection.execute(text(f"update {created.schema}.alembic_version set version_num = '0000'"))
    send_some(range(3, 6))
    with worker(buffered):
        audit_until(lambda: target.samples == 3000)
        assert eventually(lambda: public_scalar(buffered, "select count(*) from parked_messages") != 0)
        looks += audit_findings(buffered)
        with target.engine.begin() as connection:
            connection.execute(text(f"update {created.schema}.alembic_version set version_num = '{db.head('org')}'"))
        parked = "select count(*) from parked_messages"
        audit_until(lambda: other.samples == 3000 and not public_scalar(buffered, parked))
    looks += audit_findings(buffered)
    seek(buffered, "--to", "beginning", "--yes")
    looks += audit_findings(buffered)
    with worker(buffered):
        again = "select sum(duplicates) from batches where kind = 'samples'"
        assert eventually(lambda: (target.scalar(again), other.scalar(again)) == (3006, 3006))
        looks += audit_findings(buffered)

    assert looks == []
    assert (target.samples, other.samples) == (3000, 3000)
    assert target.scalar("select count(*) from quarantine") == 6
    assert public_scalar(buffered, "select count(*) from dead_letters") == 12


def test_skipped_message_is_found_by_audit(buffered: App, target: Target) -> None:
    send(buffered, target, 0)
    with worker(buffered):
        assert eventually(lambda: (target.samples, target.labels) == (500, 500))
        stands = "select coalesce(sum(next_offset), 0) from public.committed_offsets"
        stored = target.scalar("select sum(next_offset) from ingest_offsets")
        # Messages beyond the committed offset are not judged: a worker may be storing them.
        assert eventually(lambda: target.scalar(stands) == stored)
    assert eventually(lambda: audit_findings(buffered) == [])
    with db.org_session(target.engine, target.org) as session:
        session.execute(text("update batches set messages = messages - 1 where kind = 'samples' and messages > 1"))
    assert {finding.check for finding in audit_findings(buffered)} == {"messages"}

"""A read-only PostgreSQL, such as a promoted standby's old address, counts as unavailable."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import text

from dcmon import db, errors
from dcmon.app import App
from dcmon.jobs import ingest
from tests.helpers.ingestion import END_SESSIONS
from tests.integration.conftest import Target, eventually, rows, running


@contextmanager
def read_only(target: Target, server_url: str) -> Iterator[None]:
    """Make the target's database read-only."""
    name, connect = target.engine.url.database, f"{server_url.rsplit('/', 1)[0]}/postgres"

    def set_to(value: str) -> None:
        with psycopg.connect(connect, autocommit=True) as admin:
            admin.execute(f"alter database {name} set default_transaction_read_only = {value}".encode())
            admin.execute(END_SESSIONS, [name])

    set_to("on")
    try:
        yield
    finally:
        set_to("off")


def test_request_to_a_read_only_database_is_refused(app: App, target: Target, server_url: str) -> None:
    with read_only(target, server_url), pytest.raises(errors.Unreachable, match="read-only"):
        app.ingestion.ingest_samples(target.org, target.version_id, rows(0, 10))
    app.ingestion.ingest_samples(target.org, target.version_id, rows(0, 10))
    assert target.samples == 10


@pytest.mark.kafka
def test_worker_waits_while_the_database_is_read_only(
    buffered: App, target: Target, server_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with running(ingest.run, buffered):
        buffered.ingestion.ingest_samples(target.org, target.version_id, rows(0, 100))
        # The offset is committed after the rows: a session that ends before would be the first reason to wait.
        committed = "select coalesce(sum(next_offset), 0) > 0 from public.committed_offsets"
        assert eventually(lambda: target.samples == 100 and bool(target.scalar(committed)))
        with read_only(target, server_url):
            buffered.ingestion.ingest_samples(target.org, target.version_id, rows(100, 100))
            assert eventually(lambda: "read-only" in caplog.text)
        assert eventually(lambda: target.samples == 200)

    assert caplog.text.count("waiting: PostgreSQL") == 1
    with db.public_session(target.engine) as session:
        assert session.scalar(text("select count(*) from parked_messages")) == 0

"""An organization whose tables can't be read is never well: it is named, and its problems stay as they were known."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec
import psycopg
import pytest
from sqlalchemy import Engine, text

from dcmon.app import App
from dcmon.db import Organization
from dcmon.health import checks, collector, organization_healths, organization_reading, status
from dcmon.health.organization_healths import COMPLETE_LOOK, LOOK_OF_SCHEDULER, QUICK_LOOK, Look
from dcmon.health.problem import Problem
from dcmon.health.snapshot import OrganizationHealth
from dcmon.settings import Health
from dcmon.tenancy import provisioning
from tests.helpers.alerts import insert_alert
from tests.integration.conftest import Target, eventually

LOOKS = [QUICK_LOOK, COMPLETE_LOOK, LOOK_OF_SCHEDULER]


@contextmanager
def locked(url: str, table: str) -> Iterator[int]:
    """Lock a table for a while; yield the pid of the session."""
    with psycopg.connect(url, application_name="report") as connection:
        connection.execute(f"lock table {table} in access exclusive mode".encode())
        yield connection.info.backend_pid


def healths(app: App, look: Look) -> list[OrganizationHealth]:
    return list(collector.collect(app.engine, app.settings, look).organizations)


def problems(app: App, look: Look) -> list[Problem]:
    return checks.find_problems(collector.collect(app.engine, app.settings, look), Health())


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("table", ["alert_rules", "alerts", "notifications", "alembic_version"])
def test_organization_with_a_locked_table_is_named(
    app: App, database_url: str, org: Organization, look: Look, table: str
) -> None:
    with locked(database_url, f"{org.schema}.{table}") as pid:
        snapshot = collector.collect(app.engine, app.settings, look)
        (problem,) = checks.find_problems(snapshot, Health())

    assert (problem.name, problem.subject, problem.severity) == ("table locked", "acme", "high")
    assert problem.sentence == (
        f"Organization acme can't be read: Session {pid} (report, idle in transaction) has locked table"
        f" {org.schema}.{table}. Its problems and its alerts are not known."
    )
    assert problem.command == f"psql -c 'select pg_terminate_backend({pid})'"
    assert problem.since < snapshot.now
    assert "has locked table" in status.unknown(snapshot)["problems"]
    assert problems(app, look) == []


@pytest.mark.parametrize("look", LOOKS)
def test_problems_of_a_locked_organization_stay(app: App, database_url: str, target: Target, look: Look) -> None:
    """Also after the scheduler could not read it either; each says when it was known."""
    insert_alert(app, target, "critical")
    with app.org(target.org) as session:
        session.execute(text("update alerts set opened_at = now() - interval '5 minutes'"))
    (before,) = problems(app, LOOK_OF_SCHEDULER)
    (known,) = healths(app, LOOK_OF_SCHEDULER)

    with locked(database_url, f"{target.org.schema}.alerts"):
        for _ in range(2):
            (health,) = healths(app, LOOK_OF_SCHEDULER)
        (now,) = healths(app, look)
        lock, kept = sorted(problems(app, look), key=lambda problem: problem.name, reverse=True)

    assert health.read_at == now.read_at is not None
    readable = replace(now, is_unreadable=False, unavailable_reason=None, lock=None, read_at=None)
    assert msgspec.json.encode(readable) == msgspec.json.encode(known)
    assert (lock.name, kept.name, kept.subject) == ("table locked", before.name, before.subject)
    assert kept.sentence.startswith(f"{before.sentence} This is from ")
    assert "not known" not in lock.sentence
    assert problems(app, look) == [before]


def test_locked_organization_is_read_though_it_was_quiet(
    app: App, engine: Engine, database_url: str, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many organizations, those that were not written to are not read, unless they can't be."""
    monkeypatch.setattr(organization_healths, "MOST_DIRECT", 1)
    provisioning.create_organization(engine, "other", "o@other.example")
    healths(app, LOOK_OF_SCHEDULER)

    with locked(database_url, f"{org.schema}.alerts"):
        assert eventually(lambda: [health.lock is not None for health in healths(app, QUICK_LOOK)] == [True, False])


def test_lock_that_another_session_waits_for_is_named(app: App, database_url: str, org: Organization) -> None:
    """A report only reads, and a session that wants the table alone waits for it: all readers wait behind that."""
    table = f"{org.schema}.alerts"
    with psycopg.connect(database_url) as report, psycopg.connect(database_url) as waiting:
        report.execute(f"select * from {table}".encode())
        lock = threading.Thread(target=waiting.execute, args=(f"lock table {table} in access exclusive mode".encode(),))
        lock.start()
        assert eventually(lambda: bool(problems(app, QUICK_LOOK)))
        (problem,) = problems(app, QUICK_LOOK)
        pid = report.info.backend_pid
        report.rollback()
        lock.join()

    assert f"Session {pid} (" in problem.sentence
    assert f"uses table {table}, which another session waits to lock." in problem.sentence


def test_organization_that_can_not_be_read_is_named(app: App, database_url: str, org: Organization) -> None:
    """For any reason: here, a table is missing."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"alter table {org.schema}.alerts rename to old_alerts".encode())
        (problem,) = problems(app, QUICK_LOOK)

    assert (problem.name, problem.subject) == ("organization unreadable", "acme")
    assert 'relation "alerts" does not exist' in problem.sentence
    assert problem.command == "dcmon doctor --org acme"


def test_tables_that_are_read_can_be_named() -> None:
    assert {"alerts", "alert_rules", "notifications", "alembic_version"} <= set(organization_reading.TABLES)

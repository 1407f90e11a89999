"""Migrations bring every schema to its head, one at a time and never backwards."""

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from alembic import command
from sqlalchemy import Engine, select, text

from dcmon import db, errors
from dcmon.db import Organization, locks, migrations, sqlstate, transactions, work_queue
from dcmon.db.locks import LockSpace
from dcmon.db.tables.public import CommittedOffset, Worker
from dcmon.health import problems, scheduler_runs
from dcmon.ingestion.intake import Direct
from dcmon.tenancy import deletion, provisioning, schema_migration
from tests.helpers.command_line import dcmon
from tests.helpers.installed import Dcmon
from tests.helpers.ports import free_port
from tests.helpers.statements import recorded_statements
from tests.helpers.waiting import PATIENCE, eventually, is_waiting_for_a_lock
from tests.integration.conftest import Target, new_target, rows


def set_revision(engine: Engine, schema: str, revision: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"update {schema}.alembic_version set version_num = :revision"), {"revision": revision})


def states(engine: Engine) -> list[str]:
    return [state.state for state in schema_migration.states(engine)]


def test_empty_database_is_migrated_to_the_head_once(empty_url: str) -> None:
    engine = db.engine(empty_url)
    assert states(engine) == ["absent"]

    assert [step.state for step in schema_migration.migrate(engine, dry_run=True)] == ["to migrate"]
    assert states(engine) == ["absent"]
    assert [step.state for step in schema_migration.migrate(engine)] == ["migrated"]
    assert [step.state for step in schema_migration.migrate(engine)] == ["current"]

    provisioning.create_organization(engine, "acme", "a@acme.example")
    assert states(engine) == ["current", "current"]
    engine.dispose()


def test_concurrent_migrations_run_one_after_the_other(empty_url: str) -> None:
    engine, failed = db.engine(empty_url), list[BaseException]()

    def migrate() -> None:
        try:
            schema_migration.migrate(engine)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert states(engine) == ["current"]
    engine.dispose()


def test_database_of_revision_0005_keeps_its_rows(empty_url: str) -> None:
    """Rows written under the old names are found and used under the new names."""
    engine = db.engine(empty_url)
    with migrations._locked(engine, "public", "public") as config:
        command.upgrade(config, "0005")
    written = [
        "insert into organizations (name, schema_name) values ('acme', 'org_1')",
        "insert into wake (org_id, kind, wake_at, seq) values (1, 0, now() - interval '1 minute', 7)",
        "insert into wake (org_id, kind, wake_at, seq) values (1, 1, null, 3)",
        "insert into workers (id, kind, host, pid, turned_at) values"
        " (gen_random_uuid(), 'notify', 'box', 17, now() - interval '1 hour')",
        "insert into rounds (name, began_at, said) values ('lead', now(), 'box/17'), ('watch', now(), '3 problems'),"
        " ('heartbeat', now(), null), ('fold spans', now(), '7'), ('fold lines', now(), '8'), ('clock', now(), null)",
        "insert into conditions (name, subject, severity, sentence, command, since, told_at) values"
        " ('no worker', 'notify', 'high', 'No notifier runs.', 'dcmon worker start notify', now(), now())",
        "insert into ingest_floor (topic_id, partition, next_offset) values"
        " ('00000000-0000-0000-0000-000000000001', 2, 41)",
    ]
    with engine.begin() as connection:
        for statement in written:
            connection.execute(text(statement))

    assert [step.state for step in schema_migration.migrate(engine)] == ["migrated", "migrated"]

    assert states(engine) == ["current", "current"]
    org = Organization(1, "acme", "org_1")
    with db.public_session(engine) as session:
        assert work_queue.claim(session, work_queue.Work.notify, timedelta(minutes=1)) is None
        assert work_queue.claim(session, work_queue.Work.evaluate, timedelta(minutes=1)) == (1, 7)
        work_queue.enqueue(session, 1, work_queue.Work.notify)
        assert [problem.name for problem in problems.notified(session)] == ["no worker"]
        problems.mark_notified(session, problems.entries(session), datetime.now(UTC))
        jobs = scheduler_runs.entries(session)
        assert set(jobs) == {"lead", "check health", "ping", "compact read ranges", "fold ledger", "clock"}
        assert jobs["check health"].message == "3 problems"
        run = jobs["lead"]
        assert (run.message, run.succeeded_at) == ("box/17", None)
        scheduler_runs.record_success(session, "lead", "box/18")
        worker = session.scalars(select(Worker)).one()
        assert worker.seen_at - worker.polled_at > timedelta(minutes=59)
        assert session.scalars(select(CommittedOffset.next_offset)).all() == [41]
    work_queue.enqueue_now(engine, 1, work_queue.Work.notify)
    with db.public_session(engine) as session:
        assert work_queue.claim(session, work_queue.Work.notify, timedelta(minutes=1)) == (1, 5)
    new_target(engine, org)
    with db.public_session(engine) as session:  # as a leader of the previous revision does that has not stopped yet
        scheduler_runs.record_start(session, "watch", "no problems")
    with migrations._locked(engine, "public", "public") as config:
        command.downgrade(config, "0005")
    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from wake where wake_at is not null")) == 2
        assert connection.scalar(text("select said from rounds where name = 'watch'")) == "3 problems"
    engine.dispose()


@pytest.mark.parametrize("lineage", migrations.LINEAGES)
def test_migrated_schema_equals_the_declared_tables(
    engine: Engine, target: Target, lineage: migrations.Lineage
) -> None:
    Direct(engine).ingest_samples(target.org, target.version_id, rows(0, 10))  # tables made at run time do not count

    assert migrations.check(engine, lineage) is None
    assert migrations.check(engine, lineage) is None


def test_table_without_a_revision_is_reported(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy import Column, Integer, MetaData, Table

    wider = MetaData(naming_convention=migrations.METADATA["org"].naming_convention)
    for table in migrations.METADATA["org"].tables.values():
        table.to_metadata(wider)
    Table("novelties", wider, Column("id", Integer, primary_key=True))
    monkeypatch.setitem(migrations.METADATA, "org", wider)

    assert "novelties" in (migrations.check(engine, "org") or "")


def test_schema_that_is_behind_is_not_opened(engine: Engine, org: Organization) -> None:
    set_revision(engine, org.schema, "0000")
    with pytest.raises(errors.SchemaOutOfDate, match="dcmon migrate"), db.org_session(engine, org):
        pass
    assert states(engine) == ["current", "behind"]
    set_revision(engine, "public", "0000")
    with pytest.raises(errors.SchemaOutOfDate), db.public_session(engine):
        pass


def test_states_take_as_many_statements_for_many_schemas(engine: Engine, org: Organization) -> None:
    assert states(engine) == ["current"] * 2  # a first connection asks PostgreSQL for its version
    with recorded_statements() as for_one:
        states(engine)
    with engine.begin() as connection:
        for number in range(1_000, 1_030):
            row = {"id": number, "name": f"o{number}", "schema": f"org_{number}"}
            connection.execute(
                text("insert into organizations (id, name, schema_name) values (:id, :name, :schema)"), row
            )
            connection.execute(text(f"create schema org_{number}"))
            connection.execute(text(f"create table org_{number}.alembic_version as select '0001' as version_num"))
        connection.execute(text("drop table org_1007.alembic_version"))
        connection.execute(text("drop schema org_1008 cascade"))
    with recorded_statements() as for_many:
        assert Counter(states(engine)) == {"current": 2, "behind": 28, "absent": 2}
    assert len(for_many) == len(for_one), for_many


def test_schema_that_is_ahead_is_not_opened_or_migrated(engine: Engine, org: Organization) -> None:
    set_revision(engine, org.schema, "9999")
    with pytest.raises(errors.SchemaTooNew), db.org_session(engine, org):
        pass
    with pytest.raises(errors.SchemaTooNew, match="9999"):
        migrations.upgrade_org(engine, org)
    assert [step.state for step in schema_migration.migrate(engine)] == ["current", "ahead"]
    set_revision(engine, "public", "9999")
    with pytest.raises(errors.SchemaTooNew), db.public_session(engine):
        pass
    with pytest.raises(errors.SchemaTooNew, match="9999"):
        schema_migration.migrate(engine)


@pytest.fixture
def three(engine: Engine, org: Organization) -> list[Organization]:
    """Return three organizations: one ahead of this code, one that can't be migrated, and one that is behind."""
    broken, behind = (provisioning.create_organization(engine, name, "o@a.example").organization for name in "bc")
    with engine.begin() as connection:
        for other in (broken, behind):
            connection.execute(text(f"drop schema {other.schema} cascade"))
        connection.execute(text(f"create schema {broken.schema}"))
        connection.execute(text(f"create table {broken.schema}.models (id int)"))
    set_revision(engine, org.schema, "9999")
    return [org, broken, behind]


def test_organization_that_fails_delays_no_other(engine: Engine, three: list[Organization]) -> None:
    expected = [("public", "current"), ("acme", "ahead"), ("b", "failed"), ("c", "migrated")]
    steps = schema_migration.migrate(engine)
    assert [(step.org or "public", step.state) for step in steps] == expected
    assert "newer dcmon" in str(steps[1].detail)
    assert "models" in str(steps[2].detail)
    assert states(engine) == ["current", "ahead", "absent", "current"]
    with db.org_session(engine, three[2]):
        pass


def test_organization_that_is_deleted_meanwhile_stays_so(
    engine: Engine, three: list[Organization], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is deleted after the migration has listed it: its schema is not created again, as an orphan."""
    upgrade = migrations.upgrade_org

    def delete_the_last_and_upgrade(engine: Engine, org: Organization) -> None:
        if org.id == three[1].id:
            deletion.delete(engine, three[2])
        upgrade(engine, org)

    monkeypatch.setattr(migrations, "upgrade_org", delete_the_last_and_upgrade)
    steps = schema_migration.migrate(engine)

    assert [step.org for step in steps] == [None, "acme", "b"]
    with pytest.raises(errors.OrganizationNotFound):
        migrations.create_role(engine, three[2])
    with engine.connect() as connection:
        assert connection.scalar(text("select to_regnamespace(:schema)"), {"schema": three[2].schema}) is None


def test_only_one_organization_is_migrated_if_wanted(engine: Engine, three: list[Organization]) -> None:
    steps = schema_migration.migrate(engine, only="c", dry_run=True)
    assert [(step.org, step.state) for step in steps] == [(None, "current"), ("c", "to migrate")]
    assert [step.state for step in schema_migration.migrate(engine, only="c")] == ["current", "migrated"]
    assert states(engine) == ["current", "ahead", "absent", "current"]
    with pytest.raises(errors.OrganizationNotFound):
        schema_migration.migrate(engine, only="d")


def test_command_that_is_partly_done_exits_8(engine: Engine, three: list[Organization], data_dir: Path) -> None:
    url = engine.url.render_as_string(hide_password=False)
    done = dcmon("migrate", "-o", "json", data_dir=data_dir, url=url)
    assert (done.returncode, "2 of 4 schemas are not current" in done.stderr) == (8, True)
    assert [row["state"] for row in json.loads(done.stdout)] == ["current", "ahead", "failed", "migrated"]
    assert dcmon("migrate", "--org", "c", data_dir=data_dir, url=url, DCMON_ORG="acme").returncode == 0
    assert dcmon("migrate", data_dir=data_dir, url=url, DCMON_ORG="c").returncode == 8


def test_failed_migration_is_rolled_back(engine: Engine, org: Organization) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"drop schema {org.schema} cascade"))
        connection.execute(text(f"create schema {org.schema}"))
        connection.execute(text(f"create table {org.schema}.results (there_already int)"))
    with pytest.raises(Exception, match="already exists"):
        migrations.upgrade_org(engine, org)
    with engine.connect() as connection:
        tables = connection.scalars(text("select tablename from pg_tables where schemaname = :s"), {"s": org.schema})
        assert tables.all() == ["results"]


def test_migration_waits_for_transactions_in_the_schema(
    engine: Engine, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_revision(engine, org.schema, db.head("org"))
    done = threading.Event()
    with db.org_session(engine, org):
        thread = threading.Thread(target=lambda: (migrations.upgrade_org(engine, org), done.set()))
        thread.start()
        assert eventually(lambda: is_waiting_for_a_lock(engine))
        assert not done.is_set()
    assert done.wait(300)
    thread.join()


def test_migrated_quarantine_recognizes_rows_by_their_bytes(engine: Engine, target: Target) -> None:
    """Before, quarantined rows were identified by their position in a source."""
    bad = [b'{"_dc_sample_id": "x\xc3\xa9"}', b"null"]
    Direct(engine).ingest_samples(target.org, target.version_id, bad)
    Direct(engine).ingest_labels(target.org, target.model_id, bad)
    with migrations._locked(engine, "org", target.org.schema) as config:
        command.downgrade(config, "0004")
    with engine.begin() as connection:
        connection.execute(text(f"set local search_path to {target.org.schema}"))
        copied = "model_id, version_id, kind, reason, detail, row, position, logged_at"
        connection.execute(text(f"insert into quarantine ({copied}, source) select {copied}, kind from quarantine"))
    migrations.upgrade_org(engine, target.org)

    Direct(engine).ingest_samples(target.org, target.version_id, bad)
    Direct(engine).ingest_labels(target.org, target.model_id, bad)
    assert target.scalar("select count(*) || ' ' || count(digest) from quarantine") == "8 4"


def set_behind(engine: Engine, orgs: list[Organization]) -> None:
    """Set schemas back by four revisions, which create the tables and the index that are dropped here."""
    for org in orgs:
        set_revision(engine, org.schema, "0025")
        with engine.begin() as connection:
            tables = (f"{org.schema}.{name}" for name in ("chosen_levels", "store_keys", "receiver_probes"))
            connection.execute(text(f"drop table {', '.join(tables)}"))
            connection.execute(text(f"alter table {org.schema}.sources drop column is_of_path cascade"))
            connection.execute(text(f"drop index {org.schema}.ix_batches_labels"))


def test_migration_lets_writers_pass_while_it_waits(
    engine: Engine, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long reader stops a migration, but no writer: with one long wait they would wait behind the migration."""
    monkeypatch.setattr(migrations, "MAX_TRIES", 10_000)
    monkeypatch.setattr(migrations, "PAUSE_SECONDS", 0.01)
    done = threading.Event()
    with db.org_session(engine, target.org):
        thread = threading.Thread(target=lambda: (migrations.upgrade_org(engine, target.org), done.set()))
        thread.start()
        assert eventually(lambda: is_waiting_for_a_lock(engine))
        for number in range(5):
            Direct(engine).ingest_samples(target.org, target.version_id, [*rows(10 * number, 10)])
        assert not done.is_set()
    assert done.wait(300)
    thread.join()
    assert target.samples == 50


def test_revision_that_waits_for_a_table_is_repeated(
    engine: Engine, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that is no process of dcmon, such as pg_dump, holds a table that the triggers are attached to."""
    monkeypatch.setattr(migrations, "MAX_TRIES", 10_000)
    monkeypatch.setattr(migrations, "PAUSE_SECONDS", 0.01)
    set_behind(engine, [org])
    tries = list[object]()
    monkeypatch.setattr(transactions, "sqlstate", lambda error: tries.append(error) or sqlstate(error))
    with engine.connect() as reader, reader.begin():
        reader.execute(text(f"lock table {org.schema}.models in access share mode"))
        thread = threading.Thread(target=lambda: migrations.upgrade_org(engine, org))
        thread.start()
        assert eventually(lambda: len(tries) > 1)
        assert "behind" in states(engine)
    thread.join()
    assert states(engine) == ["current", "current"]


def test_parallel_migration_goes_on_after_it_was_killed(engine: Engine, org: Organization, data_dir: Path) -> None:
    """Organizations that are done stay so, and no process is left; the others follow when it is typed again."""
    orgs = [org, *(provisioning.create_organization(engine, name, "o@a.example").organization for name in "bcd")]
    set_behind(engine, orgs)
    url = engine.url.render_as_string(hide_password=False)
    installed = Dcmon(data_dir, free_port(), {"DCMON_DATABASE_URL": url})
    with db_lock(engine, orgs[-1]):
        process = installed.start("migrate", "--parallel", "2")
        assert eventually(lambda: states(engine).count("current") == 4)
        children = psutil.Process(process.pid).children()
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert children
        assert psutil.wait_procs(children, timeout=PATIENCE)[1] == []
    assert sorted(states(engine)) == ["behind", *["current"] * 4]

    done = installed("migrate", "--parallel", "2", "-o", "json")

    assert done.returncode == 0
    assert [row["state"] for row in json.loads(done.stdout)] == [*["current"] * 4, "migrated"]


@contextmanager
def db_lock(engine: Engine, org: Organization) -> Iterator[None]:
    """Hold the lock of an organization, as a long reader does."""
    with engine.connect() as connection, connection.begin():
        locks.acquire(connection, LockSpace.ORGANIZATION, org.id, shared=True)
        yield


def test_sql_of_a_migration_is_shown_and_not_run(engine: Engine, org: Organization) -> None:
    other = provisioning.create_organization(engine, "other", "o@a.example").organization
    set_behind(engine, [org, other])
    pending = schema_migration.pending_sql(engine)
    assert [(part.lineage, part.before, part.schemas) for part in pending] == [
        ("org", "0025", [org.schema, other.schema])
    ]
    assert "CREATE TABLE chosen_levels" in pending[0].sql
    assert states(engine) == ["current", "behind", "behind"]
    assert "CREATE TABLE models" in migrations.upgrade_sql("org", None)
    assert "CREATE TABLE organizations" in migrations.upgrade_sql("public", None)

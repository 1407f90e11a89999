"""Migrations bring every schema to its head, one at a time and never backwards."""

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine, select, text

from dcmon import db, errors
from dcmon.db import Organization, migrations, work_queue
from dcmon.db.tables.public import CommittedOffset, Worker
from dcmon.health import problems, scheduler_runs
from dcmon.tenancy import provisioning, schema_migration
from tests.helpers.command_line import dcmon
from tests.helpers.waiting import eventually, is_waiting_for_a_lock
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
    from dcmon.ingestion.intake import Direct

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
            provisioning.delete_organization(engine, three[2])
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
    from dcmon.ingestion.intake import Direct

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

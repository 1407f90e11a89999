"""Organizations: each has its own schema, is created and deleted completely, and has its own tokens."""

import json
import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.app import App
from dcmon.db import Organization, migrations
from dcmon.jobs import prune
from dcmon.states import RowKind
from dcmon.storage import sample_tables, versions
from dcmon.storage.sample_tables import Month
from dcmon.tenancy import deletion, organizations, provisioning, schema_migration, tokens
from tests.conftest import Acme
from tests.helpers.command_line import dcmon
from tests.helpers.waiting import eventually, is_waiting_for_a_lock
from tests.integration.conftest import Target, new_target, rows


def create(engine: Engine, name: str, owner: str = "ann@acme.example") -> provisioning.Provisioned:
    return provisioning.create_organization(engine, name, owner)


def schemas(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.scalars(text("select nspname from pg_namespace where nspname like 'org%'")))


def test_created_organization_has_an_owner_token_and_schema(engine: Engine) -> None:
    created = create(engine, "acme")

    with db.public_session(engine) as session:
        assert organizations.choose(session, None) == organizations.find(session, "acme") == created.organization
        assert organizations.owner(session, created.organization.id).email == "ann@acme.example"
        assert tokens.authenticate(session, created.token).organization == created.organization
    with db.org_session(engine, created.organization) as session:
        assert session.scalar(text("select count(*) from models")) == 0


def test_concurrent_creations_with_one_name_create_one(engine: Engine) -> None:
    created, refused = list[object](), list[errors.Conflict]()

    def create_or_fail() -> None:
        try:
            created.append(create(engine, "acme"))
        except errors.Conflict as error:
            refused.append(error)

    threads = [threading.Thread(target=create_or_fail) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(created), len(refused)) == (1, 2)
    assert len(schemas(engine)) == 1


def test_invalid_organization_name_is_refused(engine: Engine) -> None:
    for name in ("", " a", "-a", "a/b", "a\n", "ä", "x" * 64, "a'b", 'a"b', "a\0"):
        with pytest.raises(errors.InvalidInput, match="can't name"):
            create(engine, name)
    assert schemas(engine) == set()


@pytest.mark.parametrize(
    "email", ["@", "acme", "a b@acme.org", "a@b@c", "ann@acme.org\nbcc: eve@evil.org", "Ann <ann@acme.org>"]
)
def test_owner_with_no_email_address_is_refused(engine: Engine, email: str) -> None:
    with pytest.raises(errors.InvalidInput, match="is not an e-mail address"):
        provisioning.create_organization(engine, "acme", email)
    with db.public_session(engine) as session:
        assert organizations.entries(session) == []


def test_migration_completes_a_creation_that_crashed(engine: Engine) -> None:
    with db.public_session(engine) as session:
        org, _ = organizations.create(session, "half", "ann@acme.example")
    with pytest.raises(errors.OrganizationNotFound), db.org_session(engine, org):
        pass
    assert [state.state for state in schema_migration.states(engine)] == ["current", "absent"]

    schema_migration.migrate(engine)

    with db.org_session(engine, org) as session:
        assert session.scalar(text("select count(*) from models")) == 0


def test_failed_creation_is_rolled_back(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise errors.DiskFull(where="here")

    monkeypatch.setattr(migrations, "upgrade_org", fail)
    with pytest.raises(errors.DiskFull):
        create(engine, "acme")

    assert schemas(engine) == set()
    with db.public_session(engine) as session:
        assert organizations.entries(session) == []


def test_public_session_has_no_access_to_tables_of_an_org(engine: Engine, org: Organization) -> None:
    for table in ("models", "results", "alerts", "quarantine"):
        with pytest.raises(ProgrammingError, match="does not exist"), db.public_session(engine) as session:
            session.execute(text(f"select 1 from {table}"))


def test_organization_sees_neither_public_nor_other_tables(engine: Engine, target: Target) -> None:
    other_org = create(engine, "other").organization
    with pytest.raises(ProgrammingError, match="does not exist"), db.org_session(engine, other_org) as session:
        session.execute(text("select 1 from tokens"))
    with db.org_session(engine, other_org) as session:
        assert session.scalar(text("select count(*) from models")) == 0
    second = new_target(engine, other_org)
    from dcmon.ingestion.intake import Direct

    Direct(engine).ingest_samples(other_org, second.version_id, rows(0, 10))
    assert (target.samples, second.samples) == (0, 10)


def test_failed_transaction_resets_the_schema_of_connection(engine: Engine, org: Organization) -> None:
    """The next user of the connection is not in the organization's schema."""
    for _ in range(12):
        with pytest.raises(RuntimeError), db.org_session(engine, org):
            raise RuntimeError
        with engine.connect() as connection:
            assert connection.scalar(text("select current_schema()")) == "public"


def test_deletion_counts_and_removes_all_contents(engine: Engine, target: Target) -> None:
    from dcmon.ingestion.intake import Direct

    Direct(engine).ingest_samples(target.org, target.version_id, rows(0, 10))
    assert provisioning.contents(engine, target.org) == {
        "models": 1, "versions": 1, "samples": 10, "reference_rows": 0, "results": 0, "monitors": 0, "rules": 0,
        "alerts": 0, "open": 0, "receivers": 0, "members": 1, "tokens": 1,
    }  # fmt: skip

    deletion.delete(engine, target.org)

    assert schemas(engine) == set()
    with pytest.raises(errors.OrganizationNotFound), db.org_session(engine, target.org):
        pass
    with db.public_session(engine) as session:
        assert session.scalar(text("select count(*) from work_queue")) == 0


def test_deletion_drops_tables_in_parts(engine: Engine, target: Target) -> None:
    """PostgreSQL's memory for locks does not suffice for all tables of an organization with years of partitions."""
    with db.org_session(engine, target.org) as session:
        relation = versions.get(session, target.version_id)[1].relation
    months = [Month(year, number) for year in range(2000, 2020) for number in range(1, 13)]
    sample_tables.create_partitions(engine, target.org, RowKind.SAMPLES, relation, months)
    held = list[int]()

    @event.listens_for(engine, "commit")
    def count_locks(connection: Connection) -> None:
        statement = "select count(*) from pg_locks where pid = pg_backend_pid() and locktype in ('relation', 'object')"
        held.append(connection.exec_driver_sql(statement).scalar_one())

    deletion.delete(engine, target.org)

    event.remove(engine, "commit", count_locks)
    assert max(held) < 1000 < 12 * len(months), "a partition takes 12 locks"
    assert schemas(engine) == set()


def test_organization_is_not_entered_between_parts(engine: Engine, target: Target) -> None:
    """Who comes between two parts of a deletion learns that the organization is deleted, also a migration."""
    with db.public_session(engine) as session:
        deletion.mark(session, target.org)
    assert deletion._drop_some(engine, target.org)
    with pytest.raises(errors.OrganizationNotFound), db.org_session(engine, target.org):
        pass
    with pytest.raises(errors.OrganizationNotFound):
        migrations.upgrade_org(engine, target.org)

    assert deletion.finish_all(engine) == ["acme"]
    assert schemas(engine) == set()


def test_deletion_waits_for_running_transactions(engine: Engine, org: Organization) -> None:
    deleting = threading.Thread(target=deletion.delete, args=(engine, org))
    with db.org_session(engine, org) as session:
        deleting.start()
        assert eventually(lambda: is_waiting_for_a_lock(engine))
        assert deleting.is_alive()
        assert session.scalar(text("select count(*) from models")) == 0
    deleting.join(300)
    assert schemas(engine) == set()


def test_killed_deletion_is_shown_and_finished(engine: Engine, acme: Acme, database_url: str, tmp_path: Path) -> None:
    """A kill between the two transactions leaves a row that says what is left to do."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return dcmon("-o", "json", *arguments, data_dir=tmp_path, url=database_url)

    settings = {"DCMON_DATABASE_URL": database_url, "DCMON_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "dcmon", "org", "delete", "acme", "--yes"]
    with db.org_session(engine, acme.org):  # the schema can't be dropped meanwhile
        deleting = subprocess.Popen(command, env={**os.environ, **settings})
        assert eventually(lambda: is_waiting_for_a_lock(engine))
        deleting.kill()
        deleting.wait()
    assert schemas(engine) == {acme.org.schema}
    with db.public_session(engine) as session:
        assert organizations.entries(session) == []
        with pytest.raises(errors.NotAuthenticated):
            tokens.authenticate(session, acme.token)
        with pytest.raises(errors.OrganizationNotFound, match="is being deleted"):
            organizations.create(session, "acme", "ann@acme.example")
    assert [row["state"] for row in json.loads(run("org", "list").stdout)] == ["being deleted"]
    assert "dcmon org delete acme" in run("org", "show", "acme").stderr
    assert json.loads(run("org", "delete", "acme", "--dry-run").stdout) == {"dry_run": True, "deleted": "acme"}

    assert run("migrate").returncode == 0
    assert schemas(engine) == set()
    assert run("org", "list").stdout.strip() in ("", "[]")
    assert run("org", "delete", "acme").returncode == 5


@pytest.mark.parametrize("finish", ["delete", "prune"])
def test_interrupted_deletion_is_finished(app: App, engine: Engine, acme: Acme, finish: str) -> None:
    with db.public_session(engine) as session:
        deletion.mark(session, acme.org)
    if finish == "prune":
        assert prune.prune(app, [], "scheduler") == []
    else:
        deletion.delete(engine, acme.org)
    assert schemas(engine) == set()
    with db.public_session(engine) as session:
        assert deletion.unfinished(session) == []
        assert session.scalar(text("select count(*) from organizations")) == 0


def test_deletion_that_fails_stops_no_other(engine: Engine, acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that PostgreSQL refuses, for example for lack of a privilege, is left for the next call."""
    other = create(engine, "other")
    with db.public_session(engine) as session:
        deletion.mark(session, acme.org)
        deletion.mark(session, other.organization)
    drop = deletion.drop

    def refused(session: Session, org: Organization) -> None:
        if org.id == acme.org.id:
            session.execute(text("do $$ begin raise insufficient_privilege; end $$"))
        drop(session, org)

    with monkeypatch.context() as patched:
        patched.setattr(deletion, "drop", refused)
        assert deletion.finish_all(engine) == ["other"]
    assert schemas(engine) == {acme.org.schema}
    assert deletion.finish_all(engine) == ["acme"]


def test_organization_name_is_required_if_there_are_two(engine: Engine, acme: Acme) -> None:
    create(engine, "other")
    with db.public_session(engine) as session:
        with pytest.raises(errors.InvalidInput, match="--org"):
            organizations.choose(session, None)
        with pytest.raises(errors.OrganizationNotFound, match="'nobody'"):
            organizations.choose(session, "nobody")
        assert organizations.choose(session, "other").name == "other"


def test_missing_organization_has_an_error_with_the_command(engine: Engine) -> None:
    with db.public_session(engine) as session, pytest.raises(errors.OrganizationNotFound, match="org create"):
        organizations.choose(session, None)


# Tokens.


def invalid_tokens(token: str) -> list[str]:
    last = "a" if token[-2] != "a" else "b"
    return [
        "",
        "x",
        token[:-1],
        token + "x",
        token[:-2] + last + token[-1],
        token.upper(),
        "dcm_" + "a" * 54,
        token[:14],
        "\0",
    ]


def test_only_the_complete_token_is_accepted(engine: Engine, acme: Acme) -> None:
    with db.public_session(engine) as session:
        for attempt in invalid_tokens(acme.token):
            with pytest.raises(errors.NotAuthenticated):
                tokens.authenticate(session, attempt)
        assert tokens.authenticate(session, f" {acme.token}\n").organization == acme.org


def test_token_is_stored_only_as_a_digest(engine: Engine, acme: Acme) -> None:
    secret = acme.token.split("_", 2)[2]
    with db.public_session(engine) as session:
        assert secret not in str(session.execute(text("select t::text from tokens t".replace(":", "\\:"))).all())
        assert secret not in str(tokens.entries(session, acme.org.id))


def test_revoked_or_expired_token_is_refused(engine: Engine, acme: Acme) -> None:
    with db.public_session(engine) as session:
        user = organizations.owner(session, acme.org.id)
        expired = tokens.create(session, acme.org.id, user.id, "short", timedelta(microseconds=1))
        tokens.revoke(session, acme.org.id, acme.token)
        for token in (expired, acme.token):
            with pytest.raises(errors.NotAuthenticated):
                tokens.authenticate(session, token)
        assert [entry["state"] for entry in tokens.entries(session, acme.org.id)] == ["expired", "revoked"]


def test_token_of_a_deleted_organization_is_refused(engine: Engine, acme: Acme) -> None:
    deletion.delete(engine, acme.org)
    with db.public_session(engine) as session, pytest.raises(errors.NotAuthenticated):
        tokens.authenticate(session, acme.token)


def test_token_of_another_organization_is_not_revoked(engine: Engine, acme: Acme) -> None:
    other_org = create(engine, "other")
    with db.public_session(engine) as session, pytest.raises(errors.NotFound):
        tokens.revoke(session, acme.org.id, other_org.token)

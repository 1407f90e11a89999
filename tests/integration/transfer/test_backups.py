"""All organizations are backed up and restored: nothing is lost, and ingestion goes on where it was."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.app import App
from dcmon.commands.operations import transfer as operation
from dcmon.db import encryption, locks
from dcmon.db.locks import LockSpace
from dcmon.file_errors import ArchiveDamaged, KeyWrong
from dcmon.ingestion import audit_reader
from dcmon.ingestion.intake import Direct
from dcmon.output import Output
from dcmon.settings import Settings
from dcmon.tenancy import deletion, organizations, provisioning, tokens
from dcmon.transfer import backups, organization_files, publication, unfinished
from dcmon.transfer.organization_files import FileOptions, SecretOptions
from dcmon.transfer.writer import Writer
from tests.conftest import Acme
from tests.helpers.ingestion import worker
from tests.helpers.waiting import is_waiting_for_a_lock
from tests.integration.conftest import Target, eventually, labels, rows
from tests.integration.transfer.test_organization_files import names, schemas

NO_SECRETS = SecretOptions(are_left_out=True)


def findings(engine: Engine) -> list[object]:
    with db.public_session(engine) as session:
        orgs = organizations.entries(session)
    return [finding for result in audit_reader.run_audit(engine, orgs) for finding in result.findings]


def public_count(engine: Engine, rows_of: str) -> int:
    with db.public_session(engine) as session:
        return int(session.execute(text(f"select count(*) from {rows_of}")).scalar_one())


def test_restored_backup_has_all_organizations(
    filled: Target, second_engine: Engine, tmp_path: Path, acme: Acme
) -> None:
    """Ids of organizations, users and tokens are the same, also those that come next."""
    path = str(tmp_path / "backup.tar.gz")
    doomed = provisioning.create_organization(filled.engine, "doomed", "d@doomed.example").organization
    other = provisioning.create_organization(filled.engine, "other", "o@other.example").organization
    deletion.delete(filled.engine, doomed)
    backups.create(filled.engine, path, SecretOptions())
    assert organization_files.check(path)[1].organizations == 2

    restored = backups.restore(second_engine, path, None, SecretOptions())

    assert restored.names == ["acme", "other"]
    with db.public_session(second_engine) as session:
        assert organizations.find(session, "other").id == other.id
        assert tokens.authenticate(session, acme.token).organization.id == acme.org.id
        copied = session.scalar(text("select count(*) from audit_log where name = 'doomed'"))
    assert copied == public_count(filled.engine, "audit_log where name = 'doomed'")
    assert findings(second_engine) == []
    new = provisioning.create_organization(second_engine, "new", "n@new.example").organization
    assert new.id == other.id + 1


def test_backup_is_refused_where_organizations_are(filled: Target, tmp_path: Path) -> None:
    path = str(tmp_path / "backup.tar.gz")
    backups.create(filled.engine, path, NO_SECRETS)
    with pytest.raises(errors.Conflict, match=r"has organizations already \(acme\)"):
        backups.restore(filled.engine, path, None, NO_SECRETS)
    with pytest.raises(errors.Conflict, match="exists"):
        backups.restore(filled.engine, path, "acme", NO_SECRETS)
    with pytest.raises(errors.OrganizationNotFound):
        backups.restore(filled.engine, path, "acne", NO_SECRETS)


def test_organization_of_another_revision_is_left_out_and_named(
    filled: Target, second_engine: Engine, tmp_path: Path
) -> None:
    path = str(tmp_path / "backup.tar.gz")
    behind = provisioning.create_organization(filled.engine, "behind", "b@behind.example").organization
    ahead = provisioning.create_organization(filled.engine, "ahead", "a@ahead.example").organization
    with filled.engine.begin() as connection:
        for org, revision in ((behind, "0001"), (ahead, "9999")):
            connection.execute(text(f"update {org.schema}.alembic_version set version_num = '{revision}'"))

    missing = backups.create(filled.engine, path, SecretOptions()).missing

    assert ("dcmon migrate" in missing["behind"], "does not know" in missing["ahead"]) == (True, True)
    assert operation.check(path)["missing"] == ["behind", "ahead"]
    assert backups.restore(second_engine, path, None, SecretOptions()).names == ["acme"]
    with pytest.raises(errors.SchemaTooNew):
        backups.create(filled.engine, path, NO_SECRETS, only="ahead", file=FileOptions(is_replaced=True))
    with App(Settings(database_url=SecretStr(filled.engine.url.render_as_string(False))), Output(quiet=True)) as app:
        row = operation.back_up(app, path, NO_SECRETS, FileOptions(is_replaced=True))
    assert (row["organizations"], row["missing"]) == (1, ["behind", "ahead"])


def test_killed_restore_is_repeated(
    filled: Target, second_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "backup.tar.gz")
    backups.create(filled.engine, path, NO_SECRETS)
    with monkeypatch.context() as patched:
        patched.setattr(publication, "publish", lambda *_: 1 / 0)
        patched.setattr(unfinished, "remove", lambda _: 0)  # a killed process removes nothing
        with pytest.raises(ZeroDivisionError):
            backups.restore(second_engine, path, None, NO_SECRETS)
    assert (names(second_engine), len(schemas(second_engine))) == ([], 2)

    backups.restore(second_engine, path, None, NO_SECRETS)

    assert (names(second_engine), schemas(second_engine)) == (["acme"], [filled.org.schema])


def test_organization_of_another_installation_is_refused(filled: Target, second_engine: Engine, tmp_path: Path) -> None:
    path = str(tmp_path / "backup.tar.gz")
    backups.create(filled.engine, path, NO_SECRETS)
    with pytest.raises(errors.Conflict, match="another installation"):
        backups.restore(second_engine, path, "acme", NO_SECRETS)


def test_deleted_organization_is_restored_with_its_id(filled: Target, tmp_path: Path, acme: Acme) -> None:
    path, samples = str(tmp_path / "backup.tar.gz"), filled.samples
    backups.create(filled.engine, path, NO_SECRETS, only="acme")
    provisioning.create_organization(filled.engine, "other", "o@other.example")
    deletion.delete(filled.engine, acme.org)
    backups.restore(filled.engine, path, "acme", NO_SECRETS)

    assert filled.samples == samples
    with db.public_session(filled.engine) as session:
        assert tokens.authenticate(session, acme.token).organization.id == acme.org.id
    assert findings(filled.engine) == []


def test_backup_is_restored_over_what_deletions_left(filled: Target, tmp_path: Path, acme: Acme) -> None:
    """Users, positions and the log of changes are left: the backup's take their place, the log keeps both."""
    path, samples, engine = str(tmp_path / "backup.tar.gz"), filled.samples, filled.engine
    backups.create(engine, path, NO_SECRETS)
    users = public_count(engine, "users")
    later = provisioning.create_organization(engine, "later", "l@later.example").organization
    deletion.delete(engine, later)
    with db.public_session(engine) as session:
        deletion.mark(session, acme.org)  # its deletion was interrupted
    of_later = public_count(engine, "audit_log where name = 'later'")

    assert backups.restore(engine, path, None, NO_SECRETS).names == ["acme"]

    assert (filled.samples, public_count(engine, "users")) == (samples, users)
    assert public_count(engine, "audit_log where name = 'later'") == of_later > 0
    assert public_count(engine, "(select distinct kind, object_id, action, at from audit_log) a") == public_count(
        engine, "audit_log"
    )
    with db.public_session(engine) as session:
        assert tokens.authenticate(session, acme.token).organization.id == acme.org.id
    assert findings(engine) == []
    new = provisioning.create_organization(engine, "new", "n@new.example").organization
    assert new.id == later.id + 1


def test_backup_is_restored_over_another_installation(filled: Target, second_engine: Engine, tmp_path: Path) -> None:
    """Where no message of Kafka was ever read, an id means nothing to others."""
    path = str(tmp_path / "backup.tar.gz")
    backups.create(filled.engine, path, NO_SECRETS)
    first = provisioning.create_organization(second_engine, "first", "ann@acme.example").organization
    assert first.id == filled.org.id
    deletion.delete(second_engine, first)
    entries = public_count(second_engine, "audit_log")
    with db.public_session(second_engine) as session:
        session.execute(text("insert into ingest_topics (name, topic_id) values ('t', gen_random_uuid())"))
    with pytest.raises(errors.Conflict, match="has id 1, and so had first here"):
        backups.restore(second_engine, path, None, NO_SECRETS)
    with db.public_session(second_engine) as session:
        session.execute(text("delete from ingest_topics"))

    backups.restore(second_engine, path, None, NO_SECRETS)

    assert names(second_engine) == ["acme"]
    assert public_count(second_engine, "audit_log") >= entries + public_count(filled.engine, "audit_log")
    assert findings(second_engine) == []


def test_organization_that_was_renamed_is_restored(filled: Target, tmp_path: Path, acme: Acme) -> None:
    path = str(tmp_path / "backup.tar.gz")
    backups.create(filled.engine, path, NO_SECRETS)
    with db.public_session(filled.engine) as session:
        organizations.rename(session, acme.org, "later")
    with pytest.raises(errors.Conflict, match="'later' exists, with id 1"):
        backups.restore(filled.engine, path, "acme", NO_SECRETS)
    deletion.delete(filled.engine, acme.org)
    backups.restore(filled.engine, path, "acme", NO_SECRETS)
    assert names(filled.engine) == ["acme"]


def test_dry_run_of_a_restore_counts_and_changes_nothing(filled: Target, second_engine: Engine, tmp_path: Path) -> None:
    path = str(tmp_path / "backup.tar.gz")
    provisioning.create_organization(filled.engine, "other", "o@other.example")
    backups.create(filled.engine, path, NO_SECRETS)
    tried = backups.check_restore(second_engine, path, None, NO_SECRETS)
    assert (names(second_engine), schemas(second_engine)) == ([], [])
    assert backups.restore(second_engine, path, None, NO_SECRETS) == tried
    with pytest.raises(errors.Conflict, match="has organizations already \\(acme, other\\)"):
        backups.check_restore(second_engine, path, None, NO_SECRETS)

    deletion.delete(second_engine, filled.org)
    alone = backups.check_restore(second_engine, path, "acme", NO_SECRETS)
    assert backups.restore(second_engine, path, "acme", NO_SECRETS) == alone
    assert 0 < alone.summary.rows < tried.summary.rows


def test_rows_that_come_in_meanwhile_are_not_in_a_backup(
    filled: Target, second_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has the state of one moment: all that was logged before it, and nothing else."""
    path, samples, write_shared = str(tmp_path / "backup.tar.gz"), filled.samples, Writer.shared

    def log_rows_first(writer: Writer) -> None:
        Direct(filled.engine).ingest_samples(filled.org, filled.version_id, rows(1000, 50))
        write_shared(writer)

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "shared", log_rows_first)
        backups.create(filled.engine, path, NO_SECRETS)
    assert filled.samples == samples + 50

    backups.restore(second_engine, path, None, NO_SECRETS)

    assert Target(second_engine, filled.org, filled.model_id, filled.version_id).samples == samples
    assert findings(second_engine) == []


def test_organization_deleted_meanwhile_is_in_a_backup(
    filled: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup of thousands takes long: the deletion of one of them must not end it. The tables are dropped later."""
    path, write_shared = str(tmp_path / "backup.tar.gz"), Writer.shared
    doomed = provisioning.create_organization(filled.engine, "doomed", "d@doomed.example").organization

    def delete_first(writer: Writer) -> None:
        deletion.delete(filled.engine, doomed)
        write_shared(writer)

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "shared", delete_first)
        assert backups.create(filled.engine, path, NO_SECRETS).organizations == 2
    with db.public_session(filled.engine) as session:
        assert [org.name for org in organizations.entries(session)] == ["acme"]
    assert deletion.finish_all(filled.engine) == ["doomed"]
    assert doomed.schema not in schemas(filled.engine)


def test_restore_that_was_killed_is_repeated(filled: Target, second_engine: Engine, tmp_path: Path) -> None:
    """A real kill -9, before the organizations become visible."""
    path, url = str(tmp_path / "backup.tar.gz"), second_engine.url.render_as_string(False)
    backups.create(filled.engine, path, NO_SECRETS)
    command = [sys.executable, "-m", "dcmon", "backup", "restore", path]
    own = {"DCMON_DATABASE_URL": url, "DCMON_DATA_DIR": str(tmp_path)}
    with db.public_session(second_engine) as session:
        locks.acquire(session, LockSpace.ORGANIZATION_NAMES, 0)
        restoring = subprocess.Popen(command, env={**os.environ, **own})
        assert eventually(lambda: is_waiting_for_a_lock(second_engine))
        restoring.kill()
        restoring.wait()
    assert (names(second_engine), len(schemas(second_engine))) == ([], 2)

    assert eventually(lambda: backups.restore(second_engine, path, None, NO_SECRETS).names == ["acme"])
    assert findings(second_engine) == []


@pytest.mark.kafka
def test_rows_after_a_backup_are_read_again_from_kafka(
    buffered: App, target: Target, server_url: str, template: str, second_engine: Engine, tmp_path: Path
) -> None:
    """Fill, back up, log more, lose the database, restore: the rows since the backup come from Kafka, none twice."""
    path = str(tmp_path / "backup.tar.gz")

    def send(first: int) -> None:
        buffered.ingestion.ingest_samples(target.org, target.version_id, [*rows(first, 300)])
        buffered.ingestion.ingest_labels(target.org, target.model_id, [*labels(first, 300)])

    send(0)
    with worker(buffered):
        assert eventually(lambda: (target.samples, target.labels) == (300, 300))
    backups.create(target.engine, path, NO_SECRETS)
    send(300)
    with worker(buffered):
        assert eventually(lambda: (target.samples, target.labels) == (600, 600))

    backups.restore(second_engine, path, None, NO_SECRETS)

    restored = Target(second_engine, target.org, target.model_id, target.version_id)
    assert restored.samples == 300
    url = SecretStr(second_engine.url.render_as_string(False))
    settings = buffered.settings.model_copy(update={"database_url": url})
    with App(settings, Output(quiet=True)) as second, worker(second):
        assert eventually(lambda: (restored.samples, restored.labels) == (600, 600))
    assert restored.scalar("select sum(duplicates) from batches") == 0
    assert findings(second_engine) == []


def test_backup_whose_key_is_lost_comes_back_without_secrets(
    filled: Target, second_engine: Engine, tmp_path: Path
) -> None:
    """The dry run says that the key is missing, before anybody relies on the file."""
    path = str(tmp_path / "backup.tar.gz")
    with db.org_session(filled.engine, filled.org) as session:
        session.execute(text("update webhooks set url = 'https://hooks.example/canary-4711', is_active = true"))
        receivers = session.scalar(text("select count(*) from webhooks"))
    backups.create(filled.engine, path, SecretOptions())
    encryption.use_keys([encryption.new_key()])
    for restore in (backups.check_restore, backups.restore):
        with pytest.raises(KeyWrong, match=r"secret\.key"):
            restore(second_engine, path, None, SecretOptions())
    assert backups.check_restore(second_engine, path, None, NO_SECRETS).names == ["acme"]

    backups.restore(second_engine, path, None, NO_SECRETS)

    with db.org_session(second_engine, filled.org) as session:
        rows = session.execute(text("select url, is_active, count(*) from webhooks group by 1, 2")).all()
    assert rows == [("", False, receivers)]
    assert findings(second_engine) == []


def test_backup_with_another_shared_table_is_refused(filled: Target, second_engine: Engine, tmp_path: Path) -> None:
    """The name of a shared table is a part of SQL."""
    path, wrong = tmp_path / "backup.tar.gz", tmp_path / "wrong.tar.gz"
    backups.create(filled.engine, str(path), SecretOptions())
    with tarfile.open(path) as old, tarfile.open(wrong, "w:gz") as new:
        for info in old:
            content = old.extractfile(info).read()  # type: ignore[union-attr]
            if info.name == "public/users/table.json":
                content = json.dumps(
                    {**json.loads(content), "table": "users (like users); drop table users --"}
                ).encode()
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    with pytest.raises(ArchiveDamaged, match="does not belong"):
        backups.restore(second_engine, str(wrong), None, SecretOptions())

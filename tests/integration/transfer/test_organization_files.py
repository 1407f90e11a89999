"""An organization is exported to a file and imported again: nothing is lost, or nothing is visible."""

import gzip
import io
import json
import re
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.app import App
from dcmon.commands.operations import notification, source, transfer
from dcmon.db import Organization, encryption, migrations
from dcmon.file_errors import ArchiveDamaged, ArchiveTooNew, ArchiveUnknown, KeyWrong, PassphraseWrong
from dcmon.ingestion import audit_reader
from dcmon.tenancy import organizations, tokens
from dcmon.transfer import archive, loader, organization_files, publication, unfinished
from dcmon.transfer.organization_files import SecretOptions
from tests.conftest import Acme
from tests.integration.conftest import Target, rows

NO_SECRETS = SecretOptions(are_left_out=True)
KEYS = SecretOptions()


def contents(path: Path) -> dict[str, bytes]:
    """Return the parts of a file that do not depend on the time, the organization's id or its log of changes."""
    with path.open("rb") as stream:
        parts = {part.name.partition("/")[2] or part.name: part.content for part in archive.read(stream, str(path))}
    left_out = ("manifest.json", "organization.json")
    return {name: part for name, part in parts.items() if name not in left_out and "public_audit_log" not in name}


def schemas(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        statement = "select nspname from pg_namespace where nspname ~ '^(org_|dcmon_import)' order by 1"
        return list(connection.scalars(text(statement)))


def names(engine: Engine) -> list[str]:
    with db.public_session(engine) as session:
        return [org.name for org in organizations.entries(session)]


def imported(engine: Engine, name: str = "acme") -> Organization:
    with db.public_session(engine) as session:
        return organizations.find(session, name)


def test_export_of_an_import_is_identical(filled: Target, second: App, tmp_path: Path, acme: Acme) -> None:
    """All tables have the same rows in both databases, with the secrets of receivers, the tokens and the ids."""
    first, again = tmp_path / "first.tar.gz", tmp_path / "again.tar.gz"
    organization_files.export(filled.engine, filled.org, str(first), KEYS)
    with db.public_session(second.engine) as session:
        session.execute(text("select nextval('organizations_id_seq'), nextval('users_id_seq')"))
    done = organization_files.import_(second.engine, str(first), None, KEYS)
    org = imported(second.engine)
    organization_files.export(second.engine, org, str(again), KEYS)

    assert contents(first) == contents(again)
    assert done.summary.samples > 100
    assert org.id != filled.org.id
    with db.public_session(second.engine) as session:
        assert tokens.authenticate(session, acme.token).organization.name == "acme"
    findings = [finding for result in audit_reader.run_audit(second.engine, [org]) for finding in result.findings]
    assert findings == []


def test_imported_organization_takes_rows_once(filled: Target, second: App, tmp_path: Path) -> None:
    path = str(tmp_path / "acme.tar.gz")
    organization_files.export(filled.engine, filled.org, path, NO_SECRETS)
    organization_files.import_(second.engine, path, "copy", NO_SECRETS)
    target = Target(second.engine, imported(second.engine, "copy"), filled.model_id, filled.version_id)
    before = target.samples

    for _ in range(2):
        second.ingestion.ingest_samples(target.org, target.version_id, [*rows(0, 40)])

    assert target.samples == before + 40
    assert [f for r in audit_reader.run_audit(second.engine, [target.org]) for f in r.findings] == []


def test_copy_in_the_same_database_leaves_tokens_out(filled: Target, tmp_path: Path) -> None:
    path = str(tmp_path / "acme.tar.gz")
    organization_files.export(filled.engine, filled.org, path, KEYS)
    done = organization_files.import_(filled.engine, path, "copy", KEYS)

    assert done.tokens_left_out > 0
    assert names(filled.engine) == ["acme", "copy"]
    with db.org_session(filled.engine, imported(filled.engine, "copy")) as session:
        assert set(session.scalars(text("select relation from versions"))).isdisjoint({1, 2})


def test_taken_name_is_refused_before_anything_is_loaded(filled: Target, tmp_path: Path) -> None:
    path = str(tmp_path / "acme.tar.gz")
    organization_files.export(filled.engine, filled.org, path, NO_SECRETS)
    with pytest.raises(errors.Conflict, match="already exists"):
        organization_files.import_(filled.engine, path, None, NO_SECRETS)
    assert schemas(filled.engine) == [filled.org.schema]


def _edited(path: Path, edit: Callable[[str, bytes], bytes]) -> Path:
    """Write a copy of a file with its sums as they were, and other contents."""
    edited = path.with_name("edited.tar.gz")
    with tarfile.open(path) as old, tarfile.open(edited, "w:gz") as new:
        for info in old:
            opened = old.extractfile(info)
            content = edit(info.name, opened.read() if opened else b"")
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    return edited


@pytest.mark.parametrize("damage", ["cut off", "another row", "another byte", "another sum", "no end"])
def test_damaged_file_is_refused_and_leaves_nothing(
    filled: Target, second_engine: Engine, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "acme.tar.gz"
    organization_files.export(filled.engine, filled.org, str(path), NO_SECRETS)
    whole = path.read_bytes()
    if damage == "cut off":
        path.write_bytes(whole[: len(whole) * 3 // 4])
    elif damage == "another byte":
        path.write_bytes(bytes([*whole[:5_000], whole[5_000] ^ 1, *whole[5_001:]]))
    elif damage == "another sum":
        path.write_bytes(bytes([*whole[:-8], whole[-8] ^ 1, *whole[-7:]]))
    elif damage == "another row":
        path = _edited(path, lambda name, part: part.replace(b"owner", b"other") if "audit_log/" in name else part)
    else:
        path.write_bytes(gzip.compress(gzip.decompress(whole)[:-20_000]))

    with pytest.raises(ArchiveDamaged):
        organization_files.import_(second_engine, str(path), None, NO_SECRETS)

    assert (names(second_engine), schemas(second_engine)) == ([], [])


DAMAGED_PARTS = {
    "a manifest": ("manifest.json", b'"organization"', b'"organizatiom"'),
    "a field of the manifest": ("manifest.json", b'"revisions"', b'"revisiont"'),
    "a document": ("org-1/models/table.json", b"{", b"["),
    "a name in a document": ("org-1/models/table.json", b'"columns"', b'"columnt"'),
    "a name of a column": ("org-1/models/table.json", b'"name"', b'"nane"'),
    "rows": ("org-1/organization.json", b'"members"', b'"nembers"'),
    "a sum": ("org-1/models/end.json", b'"checksum": "', b'"checksum": "7'),
    "a number of a row": ("org-1/models/000001.copy", b"1\t", b"x\t"),
    "a separator": ("org-1/models/000001.copy", b"\t", b" "),
    "the end": ("end.json", b"{", b"["),
}


def test_change_that_can_be_read_is_damage(filled: Target, second_engine: Engine, tmp_path: Path) -> None:
    """What uses a changed byte fails before the checksum is compared: the file is the reason."""
    path = tmp_path / "acme.tar.gz"
    organization_files.export(filled.engine, filled.org, str(path), NO_SECRETS)
    for damage, (part, old, new) in DAMAGED_PARTS.items():
        edited = str(_edited(path, partial(_replaced, (part, old, new))))
        with pytest.raises(ArchiveDamaged):
            organization_files.check(edited)
        with pytest.raises(ArchiveDamaged):
            organization_files.import_(second_engine, edited, None, NO_SECRETS)
        assert (names(second_engine), schemas(second_engine)) == ([], []), damage


def _replaced(damage: tuple[str, bytes, bytes], name: str, content: bytes) -> bytes:
    part, old, new = damage
    if name != part:
        return content
    assert old in content
    return content.replace(old, new, 1)


def test_row_that_is_there_twice_is_damage(filled: Target, second_engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "acme.tar.gz"
    organization_files.export(filled.engine, filled.org, str(path), NO_SECRETS)
    edited = _edited(path, lambda name, part: part * 2 if name == "org-1/models/000001.copy" else part)
    with pytest.raises(ArchiveDamaged):
        organization_files.import_(second_engine, str(edited), None, NO_SECRETS)
    assert (names(second_engine), schemas(second_engine)) == ([], [])


def test_other_file_is_refused(second_engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ArchiveUnknown):
        organization_files.import_(second_engine, str(path), None, NO_SECRETS)


def test_file_of_a_newer_revision_is_refused(filled: Target, second_engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "acme.tar.gz"
    organization_files.export(filled.engine, filled.org, str(path), NO_SECRETS)

    def newer(name: str, part: bytes) -> bytes:
        if name != "manifest.json":
            return part
        document: dict[str, Any] = json.loads(part)
        document["revisions"]["org"] = "9999"
        return json.dumps(document).encode()

    with pytest.raises(ArchiveTooNew, match="9999"):
        organization_files.import_(second_engine, str(_edited(path, newer)), None, NO_SECRETS)


def without_last_revision(parts: dict[str, bytes]) -> dict[str, bytes]:
    """Return the parts of a file without the tables and columns (of empty tables) that the last migration adds."""
    (migration,) = (db.MIGRATIONS / "org").glob(f"{db.head('org')}_*.py")
    upgrade = migration.read_text(encoding="utf-8").partition("def downgrade")[0]
    tables = set(re.findall(r'create_table\(\s*"(\w+)"', upgrade))
    columns = set(re.findall(r'add_column\(\s*"(\w+)",\s*sa\.Column\("(\w+)"', upgrade))

    def older(name: str, part: bytes) -> bytes:
        if not name.endswith("/table.json"):
            return part
        head = json.loads(part)
        for kind in ("columns", "checked"):
            head[kind] = [column for column in head[kind] if (head["table"], column) not in columns]
        return json.dumps(head).encode()

    return {name: older(name, part) for name, part in parts.items() if name.split("/")[-2:][0] not in tables}


def test_file_of_an_older_revision_is_migrated(
    filled: Target, second_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schema is created at the revision of the file, loaded, and then migrated."""
    path = tmp_path / "acme.tar.gz"
    head, older = db.head("org"), f"{int(db.head('org')) - 1:04d}"
    organization_files.export(filled.engine, filled.org, str(path), NO_SECRETS)
    created = list[str]()
    original = migrations.create_unlisted

    def create(engine: Engine, org: Organization, at: str) -> None:
        created.append(at)
        original(engine, org, at)

    monkeypatch.setattr(migrations, "create_unlisted", create)
    with tarfile.open(path) as tar:
        parts = {info.name: opened.read() for info in tar if (opened := tar.extractfile(info))}
    revised = tmp_path / "older.tar.gz"
    with revised.open("wb") as stream:
        writer = archive.ArchiveWriter(stream)
        for name, part in without_last_revision(parts).items():
            if name == "manifest.json":
                part = part.replace(f'"org": "{head}"'.encode(), f'"org": "{older}"'.encode())
            if name != "end.json":
                writer.add(name, part)
        writer.close()

    organization_files.import_(second_engine, str(revised), None, NO_SECRETS)

    assert created == [older]
    with db.org_session(second_engine, imported(second_engine)) as session:
        assert db.revision(session.connection(), imported(second_engine).schema) == head


def test_killed_import_leaves_nothing_visible(
    filled: Target, second_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a kill -9 leaves is not visible, and the next import removes it."""
    path = str(tmp_path / "acme.tar.gz")
    organization_files.export(filled.engine, filled.org, path, NO_SECRETS)
    with monkeypatch.context() as patched:
        patched.setattr(publication, "publish", lambda *_: 1 / 0)
        patched.setattr(unfinished, "remove", lambda _: 0)  # a killed process removes nothing
        with pytest.raises(ZeroDivisionError):
            organization_files.import_(second_engine, path, None, NO_SECRETS)
    assert names(second_engine) == []
    assert len(schemas(second_engine)) == 2

    organization_files.import_(second_engine, path, None, NO_SECRETS)

    assert names(second_engine) == ["acme"]
    assert schemas(second_engine) == [imported(second_engine).schema]


def test_row_that_gets_lost_is_noticed(
    filled: Target, second_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "acme.tar.gz")
    organization_files.export(filled.engine, filled.org, path, NO_SECRETS)
    original = loader._load

    def load(session: Any, table: str, *rest: Any) -> Any:
        totals = original(session, table, *rest)
        return totals._replace(rows=totals.rows - 1) if table.startswith("samples_") else totals

    monkeypatch.setattr(loader, "_load", load)
    with pytest.raises(errors.DcmonError, match="after it was loaded"):
        organization_files.import_(second_engine, path, None, NO_SECRETS)
    assert (names(second_engine), schemas(second_engine)) == ([], [])


def test_secret_is_never_in_clear(filled: Target, second_engine: Engine, tmp_path: Path) -> None:
    """Not with the keys, not with a passphrase, not without either; a wrong passphrase is refused."""
    secret = b"canary-4711"
    with db.org_session(filled.engine, filled.org) as session:
        session.execute(text("update webhooks set url = 'https://hooks.example/canary-4711', secret = 'canary-4711'"))
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    ways = {"keys": KEYS, "none": NO_SECRETS, "phrase": SecretOptions(str(passphrase))}
    for name, secrets in ways.items():
        path = tmp_path / name
        organization_files.export(filled.engine, filled.org, str(path), secrets)
        unpacked = gzip.decompress(path.read_bytes())
        assert (secret in unpacked, secret.hex().encode() in unpacked) == (False, False)
    encryption.use_keys([])
    with pytest.raises(errors.InvalidInput, match="passphrase-file"):
        organization_files.import_(second_engine, str(tmp_path / "phrase"), None, KEYS)
    wrong = tmp_path / "wrong"
    wrong.write_text("battery staple\n")
    with pytest.raises(PassphraseWrong):
        organization_files.import_(second_engine, str(tmp_path / "phrase"), None, SecretOptions(str(wrong)))
    with pytest.raises(KeyWrong, match="--without-secrets"):
        organization_files.preview(second_engine, str(tmp_path / "keys"), None, KEYS)
    with pytest.raises(KeyWrong, match="--without-secrets"):
        organization_files.import_(second_engine, str(tmp_path / "keys"), None, KEYS)
    assert schemas(second_engine) == []

    organization_files.import_(second_engine, str(tmp_path / "phrase"), None, SecretOptions(str(passphrase)))

    with db.org_session(second_engine, imported(second_engine)) as session:
        urls = set(session.scalars(text("select url from webhooks")))
    assert urls == {"https://hooks.example/canary-4711"}


def test_export_without_a_key_asks_for_a_passphrase(filled: Target, tmp_path: Path) -> None:
    encryption.use_keys([])
    with pytest.raises(errors.InvalidInput, match="--without-secrets"):
        organization_files.export(filled.engine, filled.org, str(tmp_path / "acme"), KEYS)
    assert list(tmp_path.glob("acme*")) == []


def test_parked_message_stops_an_export(filled: Target, tmp_path: Path) -> None:
    with db.public_session(filled.engine) as session:
        session.execute(
            text(
                "insert into parked_messages (topic_id, partition, at_offset, org_id, body, reason)"
                " values (gen_random_uuid(), 0, 1, :id, 'x', 'locked')"
            ),
            {"id": filled.org.id},
        )
    with pytest.raises(errors.Conflict, match="parked"):
        organization_files.export(filled.engine, filled.org, str(tmp_path / "acme"), KEYS)


def _add_command_and_source(target: Target, directory: Path) -> None:
    """Add a receiver that runs a command, with a notification that is due, and a source of a directory."""
    with db.org_session(target.engine, target.org) as session:
        added = (
            "insert into webhooks (name, kind, url, secret, severities, options) values ('pager', 'command', '', '',"
        )
        session.execute(text(f'{added} \'[]\', \'{{"command": ["touch", "{directory}/ran"]}}\')'))
        session.execute(
            text(
                "insert into sources (name, url, kind, model_id, version_id, mapping)"
                " values ('lake', :url, 'samples', :model, :version, '{}')"
            ),
            {"url": str(directory), "model": target.model_id, "version": target.version_id},
        )


def _active(engine: Engine, name: str) -> tuple[bool, bool]:
    """Return whether the command receiver and the source are active."""
    with db.org_session(engine, imported(engine, name)) as session:
        runs = session.scalar(text("select is_active and paused_at is null from webhooks where name = 'pager'"))
        scans = session.scalar(text("select is_active from sources where name = 'lake'"))
    return bool(runs), bool(scans)


def test_import_leaves_commands_and_sources_inactive(filled: Target, second: App, tmp_path: Path) -> None:
    path = str(tmp_path / "acme.tar.gz")
    _add_command_and_source(filled, tmp_path)
    organization_files.export(filled.engine, filled.org, path, KEYS)
    commands = [
        "dcmon --org copy receiver resume pager",
        "dcmon --org copy source resume lake",
    ]
    tried = transfer.import_(second, path, KEYS, transfer.ImportOptions("copy", dry_run=True))
    assert set(commands) <= set(tried["left_inactive"])
    done = transfer.import_(second, path, KEYS, transfer.ImportOptions("copy"))
    assert done["left_inactive"] == tried["left_inactive"]
    assert _active(second.engine, "copy") == (False, False)
    notification.resume(second, "pager")
    source.resume(second, "lake")
    assert _active(second.engine, "copy") == (True, True)

    trusted = transfer.import_(second, path, KEYS, transfer.ImportOptions("trusted", is_trusted=True))
    assert "left_inactive" not in trusted
    assert _active(second.engine, "trusted") == (True, True)


@pytest.mark.parametrize("table", ["receiver_tests", "idempotency_keys"])
def test_tables_that_are_never_exported_are_refused(
    filled: Target, second_engine: Engine, tmp_path: Path, table: str
) -> None:
    """A request for a test would let a worker run a command."""
    path = tmp_path / "acme.tar.gz"
    organization_files.export(filled.engine, filled.org, str(path), NO_SECRETS)

    def renamed(name: str, part: bytes) -> bytes:
        is_head = name.endswith("/silences/table.json")
        return json.dumps({**json.loads(part), "table": table}).encode() if is_head else part

    with pytest.raises(ArchiveDamaged, match=table):
        organization_files.import_(second_engine, str(_edited(path, renamed)), None, NO_SECRETS)
    assert (names(second_engine), schemas(second_engine)) == ([], [])


def test_ids_in_a_file_are_numbers_of_its_manifest(filled: Target, second_engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "acme.tar.gz"
    organization_files.export(filled.engine, filled.org, str(path), NO_SECRETS)
    for wrong in ("1 cascade; drop schema public", filled.org.id + 1):

        def other(name: str, part: bytes, wrong: object = wrong) -> bytes:
            is_document = name.endswith("/organization.json")
            return json.dumps({**json.loads(part), "id": wrong}).encode() if is_document else part

        with pytest.raises(ArchiveDamaged, match="not in its manifest"):
            organization_files.import_(second_engine, str(_edited(path, other)), None, NO_SECRETS)

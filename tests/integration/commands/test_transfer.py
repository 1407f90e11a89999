"""Organizations and backups in files, as an operator types the commands."""

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from dcmon.app import App
from tests.conftest import Acme
from tests.helpers.installed import COMMAND, Dcmon
from tests.helpers.waiting import eventually, is_waiting_for_a_lock
from tests.integration.conftest import Target, rows


@pytest.fixture
def dcmon(with_url: Callable[[str], Dcmon], database_url: str, app: App, target: Target) -> Dcmon:
    """Return dcmon on a database with organization acme, which has 50 samples."""
    app.ingestion.ingest_samples(target.org, target.version_id, [*rows(0, 50)])
    return with_url(database_url)


def orgs(dcmon: Dcmon) -> list[str]:
    return [row["name"] for row in dcmon.json("org", "list")]


def test_organization_is_exported_checked_and_imported(dcmon: Dcmon, acme: Acme, tmp_path: Path) -> None:
    path = str(tmp_path / "acme.tar.gz")
    to_stdout = dcmon("org", "export", "acme", "-", "--without-secrets", "--dry-run")
    assert (to_stdout.returncode, " to stdout." in to_stdout.stderr) == (0, True), to_stdout.stderr
    refused = dcmon("org", "export", "acme", path)
    assert (refused.returncode, "--without-secrets" in refused.stderr) == (2, True)
    tried = dcmon.json("org", "export", "acme", path, "--without-secrets", "--dry-run")
    assert (tried.pop("dry_run"), Path(path).exists()) == (True, False)
    exported = dcmon.json("org", "export", "acme", path, "--without-secrets")
    assert (exported["name"], exported["samples"]) == ("acme", 50)
    assert (exported.pop("bytes"), tried.pop("bytes") > 0) == (Path(path).stat().st_size, True)
    assert tried == exported
    assert Path(path).stat().st_mode & 0o777 == 0o600
    again = dcmon("org", "export", "acme", path, "--without-secrets")
    assert (again.returncode, "--replace" in again.stderr) == (6, True)
    assert dcmon("org", "import", path, "--dry-run").returncode == dcmon("org", "import", path).returncode == 6
    expected = dcmon.json("org", "import", path, "--name", "copy", "--dry-run")
    assert (expected.pop("dry_run"), expected.pop("new_users"), orgs(dcmon)) == (True, 0, ["acme"])
    imported = dcmon.json("org", "import", path, "--name", "copy")
    assert expected == imported
    assert (imported["samples"], imported["rows"]) == (50, exported["rows"])
    assert orgs(dcmon) == ["acme", "copy"]
    assert dcmon("audit").returncode == 0
    wrong = dcmon("backup", "restore", path)
    assert (wrong.returncode, "dcmon org import" in wrong.stderr) == (2, True)


def test_file_that_is_none_is_refused_with_a_reason(dcmon: Dcmon, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n")
    for arguments in (["org", "import"], ["backup", "verify"], ["backup", "restore"]):
        done = dcmon(*arguments, str(path))
        assert (done.returncode, "is no file of dcmon" in done.stderr) == (3, True), done.stderr
        assert dcmon(*arguments, "/no/such/file").returncode == 5
    done = dcmon("backup", "create", "/no/such/directory/b.tar.gz", "--without-secrets")
    assert (done.returncode, "can't be written" in done.stderr) == (3, True)
    done = dcmon("backup", "create", "/no/such/directory/b.tar.gz", "--without-secrets", "--dry-run")
    assert (done.returncode, "can't be written: No such directory" in done.stderr) == (3, True)


def test_backup_is_counted_before_it_is_written(dcmon: Dcmon, tmp_path: Path) -> None:
    path = tmp_path / "backup.tar.gz"
    tried = dcmon("backup", "create", str(path), "--without-secrets", "--dry-run")
    assert (tried.returncode, path.exists()) == (0, False)
    assert re.search(
        r"^Dry run: this would write 1 organization with \d+ tables, \d+ rows and [\d.]+ kB to ", tried.stderr
    )


def test_organization_goes_through_a_pipe(dcmon: Dcmon, tmp_path: Path) -> None:
    """Data is on stdout, talk on stderr; the import reads it from stdin."""
    export = subprocess.run(
        [COMMAND, "org", "export", "acme", "-", "--without-secrets"],
        env=dcmon.environment, capture_output=True, check=True,
    )  # fmt: skip
    assert b"samples: 50" in export.stderr
    import_ = [COMMAND, "-o", "json", "org", "import", "-", "--name", "copy"]
    done = subprocess.run(import_, env=dcmon.environment, input=export.stdout, capture_output=True, check=True)
    assert json.loads(done.stdout)["name"] == "copy"


def test_import_that_is_killed_leaves_no_organization(dcmon: Dcmon, engine: Engine, tmp_path: Path) -> None:
    """It is killed when all rows are loaded, in the transaction that makes them visible."""
    path = str(tmp_path / "acme.tar.gz")
    dcmon.json("org", "export", "acme", path, "--without-secrets")
    with engine.connect() as holder, holder.begin():
        holder.execute(text("lock table tokens in share row exclusive mode"))
        process = Dcmon(dcmon.data_dir, dcmon.port, dcmon.settings).start("org", "import", path, "--name", "copy")
        assert eventually(lambda: is_waiting_for_a_lock(engine))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert orgs(dcmon) == ["acme"]

    dcmon.json("org", "import", path, "--name", "copy")

    assert orgs(dcmon) == ["acme", "copy"]
    with engine.connect() as connection:
        schemas = connection.scalars(text("select nspname from pg_namespace where nspname ~ '^(org_|dcmon_import)'"))
        assert len(schemas.all()) == 2


def test_backup_is_created_and_verified(dcmon: Dcmon, tmp_path: Path) -> None:
    path = str(tmp_path / "backup.tar.gz")
    assert dcmon.json("backup", "create", path, "--without-secrets")["organizations"] == 1
    assert dcmon.json("backup", "verify", path)["kind"] == "backup"
    refused = dcmon("backup", "restore", path)
    assert (refused.returncode, "has organizations already" in refused.stderr) == (6, True)
    content = bytearray(Path(path).read_bytes())
    content[len(content) // 2] ^= 1
    Path(path).write_bytes(content)
    assert dcmon("backup", "verify", path).returncode == 3

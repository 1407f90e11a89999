"""Each error has a sentence with the next command and a documented exit code."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from tests.conftest import Acme
from tests.helpers.installed import Dcmon

Make = Callable[[str], Dcmon]


def require_refused(dcmon: Dcmon, code: int, sentence: str, *arguments: str) -> None:
    done = dcmon(*arguments)
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_command_without_a_running_dcmon_is_refused(installation: Dcmon) -> None:
    require_refused(installation, 7, 'Type "dcmon up"', "org", "list")
    require_refused(installation, 7, 'Type "dcmon up"', "status")


def test_missing_database_at_the_url_is_refused(with_url: Make) -> None:
    dcmon = with_url("postgresql://dcmon:x@127.0.0.1:1/dcmon")
    require_refused(dcmon, 7, "PostgreSQL can't be reached at 127.0.0.1:1", "org", "list")


def test_missing_database_is_refused(with_url: Make, server_url: str) -> None:
    url = make_url(server_url).set(database="nowhere").render_as_string(hide_password=False)
    require_refused(with_url(url), 7, "nowhere", "org", "list")


def test_wrong_password_is_refused(with_url: Make, server_url: str) -> None:
    url = make_url(server_url).set(password="wrong").render_as_string(hide_password=False)
    require_refused(with_url(url), 4, "check the user and the password", "org", "list")


@pytest.mark.parametrize("url", ["nonsense", "mysql://a@b/c"])
def test_invalid_database_url_is_refused(with_url: Make, url: str) -> None:
    require_refused(with_url(url), 2, "DCMON_DATABASE_URL", "org", "list")


def test_unmigrated_database_is_refused(with_url: Make, empty_url: str) -> None:
    for arguments in (["org", "list"], ["serve"], ["worker", "start", "evaluate"]):
        require_refused(with_url(empty_url), 3, 'Type "dcmon migrate"', *arguments)


def test_newer_schema_is_refused(with_url: Make, database_url: str, engine: Engine, acme: Acme) -> None:
    with engine.begin() as connection:
        connection.execute(text("update public.alembic_version set version_num = '9999'"))
    for arguments in (["org", "list"], ["migrate"]):
        require_refused(with_url(database_url), 3, "9999", *arguments)


def test_older_organization_schema_is_refused(with_url: Make, database_url: str, engine: Engine, acme: Acme) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"update {acme.org.schema}.alembic_version set version_num = '0000'"))
    require_refused(with_url(database_url), 3, 'Type "dcmon migrate"', "model", "list")


def test_unknown_organization_is_refused(with_url: Make, database_url: str, acme: Acme) -> None:
    require_refused(with_url(database_url), 5, "'nobody'", "--org", "nobody", "model", "list")


def test_command_without_org_among_two_is_refused(with_url: Make, database_url: str, acme: Acme) -> None:
    dcmon = with_url(database_url)
    assert dcmon("org", "create", "second").returncode == 0
    require_refused(dcmon, 2, "--org", "model", "list")
    assert dcmon("model", "list", "--org", "second").returncode == 0


def test_used_organization_name_is_refused(with_url: Make, database_url: str, acme: Acme) -> None:
    require_refused(with_url(database_url), 6, "'acme'", "org", "create", "acme")


def test_invalid_setting_is_refused(with_url: Make, database_url: str) -> None:
    dcmon = with_url(database_url)
    dcmon.settings["DCMON_HTTP__PORT"] = "many"
    require_refused(dcmon, 2, "DCMON_HTTP__PORT", "org", "list")


def test_data_directory_that_is_a_file_is_refused(installation: Dcmon, data_dir: Path) -> None:
    (data_dir / "file").write_text("")
    require_refused(replace(installation, data_dir=data_dir / "file"), 3, "can't be used", "up")


def test_deletion_requires_a_confirmation(with_url: Make, database_url: str, acme: Acme) -> None:
    dcmon = with_url(database_url)
    require_refused(dcmon, 2, "--yes", "org", "delete", "acme")
    assert dcmon("org", "delete", "acme", "--yes").returncode == 0
    require_refused(dcmon, 5, "no organization", "model", "list")

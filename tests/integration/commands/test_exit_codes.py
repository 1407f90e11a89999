"""The real command line reports each error on stderr with its exit code."""

import socket
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from dcmon import db
from dcmon.db import Organization
from tests.helpers.command_line import dcmon

TWICE = ("--feature", "a:numeric", "--feature", "a:text")
BOTH = ("--feature", "a:numeric", "--additional", "a:text")


def require_refused(done: "subprocess.CompletedProcess[str]", code: int, sentence: str) -> None:
    """Check for one sentence on stderr, nothing on stdout and no traceback."""
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(("dcmon: ", "Usage: "))


@pytest.mark.parametrize(
    "arguments",
    [["--nonsense"], ["nonsense"], ["org", "nonsense"], ["org", "list", "--nonsense"], ["-o", "xml", "org", "list"],
     ["org", "create"], ["worker", "start", "nothing"], ["token", "create", "--days", "0"]],
)  # fmt: skip
def test_wrong_usage_exits_2(data_dir: Path, arguments: list[str]) -> None:
    done = dcmon(*arguments, data_dir=data_dir)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "Value error" not in done.stderr


@pytest.mark.parametrize("url", ["nonsense", "mysql://a/b", "postgresql://h:port/d"])
def test_invalid_database_url_exits_2(data_dir: Path, url: str) -> None:
    require_refused(dcmon("org", "list", data_dir=data_dir, url=url), 2, "DCMON_DATABASE_URL")


def test_invalid_setting_is_named_and_exits_2(data_dir: Path) -> None:
    require_refused(dcmon("org", "list", data_dir=data_dir, DCMON_HTTP__PORT="x"), 2, "DCMON_HTTP__PORT")


def test_arguments_that_are_not_utf8_exit_2(data_dir: Path, database_url: str, org: Organization) -> None:
    """A terminal with another encoding sends such bytes; Python has them as halves of surrogate pairs."""
    named = ("model", "create", "m", "--task", "binary", "--version", "v1", "--feature")
    for arguments in (("model", "show", "\udcff"), ("--org", "\udcff", "model", "list"), (*named, "\udcff:numeric")):
        require_refused(dcmon(*arguments, data_dir=data_dir, url=database_url), 2, "not UTF-8: '\\udcff'")


def test_unusable_input_exits_2(data_dir: Path, database_url: str, org: Organization) -> None:
    for arguments, sentence in (
        (("org", "create", "a/b"), "can't name"),
        (("model", "create", "m", "--task", "guessing"), "no task 'guessing'"),
        (("model", "create", "m", "--task", "binary", "--label-delay", "soon"), "duration"),
        (("model", "create", "m", "--task", "binary", "--time-zone", "Mars"), "time zone"),
        (("receiver", "create", "w", "http://hooks.example.org/"), "https"),
        (("org", "set-limits", "acme", "--samples-per-minute", "-5"), "a number above 0 or none, not -5"),
        (("org", "set-limits", "acme", "--samples-per-minute", "many"), "neither a whole number nor none"),
        (("model", "create", "m", "--task", "binary", "--feature", "a:numeric"), "--version"),
        (("model", "create", "m", "--task", "binary", "--class", "a"), "--version"),
        (("model", "create", "m", "--task", "binary", "--version", "v1"), "no column"),
        (("model", "create", "m", "--task", "binary", "--version", "v1", *TWICE), "'a' is given twice"),
        (("model", "create", "m", "--task", "binary", "--version", "v1", *BOTH), "'a' is given twice"),
    ):
        require_refused(dcmon(*arguments, data_dir=data_dir, url=database_url), 2, sentence)


def test_older_or_newer_schema_exits_3(data_dir: Path, database_url: str, engine: Engine, org: Organization) -> None:
    for revision, sentence in (("0000", "dcmon migrate"), ("9999", "Install the version")):
        with engine.begin() as connection:
            connection.execute(text(f"update {org.schema}.alembic_version set version_num = '{revision}'"))
        require_refused(dcmon("model", "list", data_dir=data_dir, url=database_url), 3, sentence)
    done = dcmon("migrate", data_dir=data_dir, url=database_url)
    assert (done.returncode, "1 of 2 schemas is not current (acme: a newer dcmon" in done.stderr) == (8, True)
    assert dcmon("migrate", "status", data_dir=data_dir, url=database_url).returncode == 1


def test_unmigrated_database_exits_3(data_dir: Path, empty_url: str) -> None:
    require_refused(dcmon("org", "list", data_dir=data_dir, url=empty_url), 3, "dcmon migrate")
    assert dcmon("migrate", data_dir=data_dir, url=empty_url).returncode == 0
    assert dcmon("migrate", "check", data_dir=data_dir, url=empty_url).returncode == 0


def test_wrong_password_or_user_exits_4(data_dir: Path, database_url: str) -> None:
    for change in ({"password": "wrong"}, {"username": "nobody_here"}):
        url = make_url(database_url).set(**change).render_as_string(hide_password=False)
        done = dcmon("org", "list", data_dir=data_dir, url=url)
        require_refused(done, 4, "refused user")
        assert "wrong" not in done.stderr


def test_unknown_object_exits_5(data_dir: Path, database_url: str, org: Organization) -> None:
    for arguments, sentence in (
        (("--org", "nobody", "model", "list"), "'nobody'"),
        (("org", "show", "nobody"), "'nobody'"),
        (("model", "show", "nothing"), "There is no model 'nothing'. \"dcmon model list\" lists"),
        (("source", "show", "nothing"), "There is no source 'nothing'. \"dcmon source list\" lists"),
        (("quarantine", "show", "9"), 'There is no quarantined row 9. "dcmon quarantine list --rows" lists'),
        (("token", "delete", "dcm_nothing"), "dcm_nothing"),
        (("alert", "show", "99"), "99"),
        (("receiver", "test", "nothing"), "'nothing'"),
    ):
        require_refused(dcmon(*arguments, data_dir=data_dir, url=database_url), 5, sentence)
    require_refused(dcmon("model", "list", data_dir=data_dir, url=database_url, DCMON_ORG="nobody"), 5, "'nobody'")


def test_existing_object_exits_6(data_dir: Path, database_url: str, org: Organization) -> None:
    require_refused(dcmon("org", "create", org.name, data_dir=data_dir, url=database_url), 6, "already")


def test_used_port_exits_6(data_dir: Path, database_url: str, org: Organization) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        require_refused(dcmon("serve", "--port", port, data_dir=data_dir, url=database_url), 6, port)


def test_unreachable_server_exits_7(data_dir: Path, database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for change in ({"port": port}, {"host": "nowhere.invalid"}, {"database": "nothing_here"}):
        url = make_url(database_url).set(**change).render_as_string(hide_password=False)
        require_refused(dcmon("org", "list", data_dir=data_dir, url=url), 7, "can't be reached")


@pytest.mark.parametrize(
    "command", [["org", "list"], ["model", "list"], ["worker", "start"], ["serve"], ["migrate"], ["status"]]
)
def test_command_without_a_running_dcmon_exits_7(data_dir: Path, command: list[str]) -> None:
    done = dcmon(*command, data_dir=data_dir)
    assert (done.returncode, "dcmon up" in done.stderr + done.stdout) == (7, True), done.stderr
    assert list(data_dir.iterdir()) == []


def test_json_output_is_alone_on_stdout(data_dir: Path, database_url: str, org: Organization) -> None:
    import json

    done = dcmon("org", "list", "-o", "json", data_dir=data_dir, url=database_url)
    (listed,) = json.loads(done.stdout)
    assert listed.items() >= {"id": org.id, "name": "acme", "schema": org.schema, "retention": None}.items()
    created = dcmon("-q", "-o", "json", "org", "create", "second", data_dir=data_dir, url=database_url)
    assert set(json.loads(created.stdout)) == {"name", "owner", "token"}
    assert created.stderr == ""
    assert db.head("org")


def test_deleting_asks_and_a_dry_run_counts(data_dir: Path, database_url: str, org: Organization) -> None:
    require_refused(dcmon("org", "delete", "acme", data_dir=data_dir, url=database_url), 2, "--yes")
    counted = dcmon("org", "delete", "acme", "--dry-run", data_dir=data_dir, url=database_url)
    assert (counted.returncode, counted.stdout.split()[:7]) == (
        0,
        ["dry", "run", "yes", "would", "be", "deleted", "acme"],
    )
    assert dcmon("org", "delete", "acme", "--yes", data_dir=data_dir, url=database_url).returncode == 0
    require_refused(dcmon("org", "show", "acme", data_dir=data_dir, url=database_url), 5, "'acme'")

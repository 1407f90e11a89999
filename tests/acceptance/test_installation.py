"""Requirements of an installation, also tested against the built wheel."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.helpers.installed import COMMAND, Dcmon


def test_version_option_prints_the_version(dcmon: Dcmon) -> None:
    assert dcmon("--version").stdout == f"dcmon {version('dcmon')}\n"


def test_help_lists_every_command_and_loads_no_large_module(dcmon: Dcmon) -> None:
    shown = dcmon("--help").stdout
    for command in ("alert", "demo", "down", "migrate", "model", "monitor", "org", "rule", "serve", "status", "token"):
        assert f"\n  {command} " in shown
    code = (
        "import sys; sys.argv = ['dcmon', '--help']\n"
        "from dcmon.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'deepchecks', 'plotly', 'pandas', 'numpy', 'sqlalchemy', 'fastapi', 'confluent_kafka', 'alembic'}\n"
        "print(heavy & set(sys.modules), file=sys.stderr)"
    )
    python = str(Path(COMMAND).parent / "python")
    done = subprocess.run([python, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"


def test_pages_come_with_the_installation(dcmon: Dcmon) -> None:
    assert "alerts" in [row["page"] for row in dcmon.json("docs")]
    assert dcmon("docs", "alerts#conditions").stdout.startswith("## Conditions\n")


def test_revisions_come_with_the_installation(with_url: Callable[[str], Dcmon], empty_url: str) -> None:
    dcmon = with_url(empty_url)

    assert dcmon("migrate").returncode == 0
    assert dcmon("migrate", "check").returncode == 0
    assert dcmon.json("org", "create", "acme")["name"] == "acme"
    assert {state["state"] for state in dcmon.json("migrate", "status")} == {"current"}


def test_migrate_dry_run_changes_nothing(with_url: Callable[[str], Dcmon], empty_url: str) -> None:
    dcmon = with_url(empty_url)

    assert dcmon.json("migrate", "--dry-run")[0]["state"] == "to migrate"
    assert dcmon("migrate", "status").returncode == 1


@pytest.mark.skipif(sys.platform != "linux", reason="limits are Linux's")
def test_full_disk_is_reported_without_traceback(dcmon: Dcmon) -> None:
    done = subprocess.run(
        [COMMAND, "up"], env=dcmon.environment, capture_output=True, text=True, check=False, cwd="/", timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("output", ["table", "json"])
def test_reader_that_has_seen_enough_is_no_failure(dcmon: Dcmon, output: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [COMMAND, "-o", output, "config", "show"], env=dcmon.environment, stdout=writer, stderr=subprocess.PIPE,
            text=True, check=False, cwd="/", timeout=300,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_result_that_can_not_be_written_is_named(dcmon: Dcmon) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, "config", "show"], env=dcmon.environment, stdout=full, stderr=subprocess.PIPE, text=True,
            check=False, cwd="/", timeout=300,
        )  # fmt: skip
    assert done.returncode == 3
    assert "The result can't be written: No space left on device." in done.stderr

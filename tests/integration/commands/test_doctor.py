"""`dcmon doctor` and `dcmon status` as an operator types them."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import yaml

from tests.helpers.installed import Dcmon


def test_findings_have_code_evidence_and_command(installation: Dcmon) -> None:
    installation.data_dir.chmod(0o700)

    done = installation("doctor")

    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "[critical] nothing-runs: dcmon does not run here."
    assert lines[1].startswith(f"    No PostgreSQL runs in {installation.data_dir}")
    assert lines[2] == "    dcmon up"
    assert '1 finding. "dcmon docs doctor" explains the codes.' in done.stderr


def test_findings_are_written_in_every_format(installation: Dcmon) -> None:
    installation.data_dir.chmod(0o700)

    (finding,) = json.loads(installation("-o", "json", "doctor").stdout)

    assert finding["code"] == "nothing-runs"
    assert list(finding) == ["code", "severity", "title", "organization", "evidence", "command", "since"]
    assert yaml.safe_load(installation("-o", "yaml", "doctor").stdout) == [finding]
    assert installation("-o", "name", "doctor").stdout == "nothing-runs\n"
    assert installation("doctor", "--fields", "code,command").stdout.split() == [
        "code",
        "command",
        "nothing-runs",
        "dcmon",
        "up",
    ]


def test_only_findings_with_the_code_are_shown(installation: Dcmon) -> None:
    assert installation("doctor", "--code", "disk-full").returncode == 0
    assert installation("doctor", "--code", "disk-full", "--code", "nothing-runs").returncode == 1

    refused = installation("doctor", "--code", "disk-ful")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "disk-full" in refused.stderr


def test_unusable_settings_are_a_finding(installation: Dcmon) -> None:
    done = replace(installation, settings={"DCMON_HTP__PORT": "80"})("-o", "json", "doctor")

    (finding,) = json.loads(done.stdout)
    assert (done.returncode, finding["code"]) == (1, "setting-unusable")
    assert "DCMON_HTTP__PORT" in finding["evidence"]
    assert finding["command"] == "dcmon config show DCMON_HTP__PORT --origin"


@pytest.mark.parametrize(("name", "value"), [("DCMON_HTTP__PORT", "abc"), ("DCMON_DATABSE_URL", "postgresql://x")])
def test_unusable_setting_is_shown_with_its_origin(installation: Dcmon, name: str, value: str) -> None:
    broken = replace(installation, settings={**installation.settings, name: value})

    done = broken("-o", "json", "config", "show", name, "--origin")

    row = json.loads(done.stdout)
    assert (done.returncode, row["name"], row["value"], row["origin"]) == (2, name, None, "environment")
    assert name in json.loads(done.stderr)["error"]["message"]
    assert broken("config", "show").returncode == 2
    assert broken("config", "show", "DCMON_HTTP__PRT").returncode == 5


def test_catalogue_lists_every_code(installation: Dcmon) -> None:
    done = installation("-o", "json", "doctor", "--list")

    assert done.returncode == 0
    assert len(json.loads(done.stdout)) > 80


def test_quiet_status_names_the_part_that_is_down(with_url: Callable[[str], Dcmon], database_url: str) -> None:
    dcmon = with_url(database_url)
    broken = replace(dcmon, settings={**dcmon.settings, "DCMON_REDIS_URL": "redis://127.0.0.1:1/0"})

    done = broken("status", "--quiet")

    assert done.returncode == 7  # no process runs
    assert "redis does not answer" in done.stdout

"""Files are exported, planned and applied on the command line, with exit codes for scripts."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, text

from dcmon import db
from dcmon.health import problems
from dcmon.health.problem import Problem
from dcmon.severity import Severity
from tests.helpers.installed import COMMAND, Dcmon
from tests.helpers.judged_results import create_rule
from tests.helpers.waiting import eventually, is_waiting_for_a_lock
from tests.integration.conftest import Target


def test_file_is_exported_planned_and_applied(
    with_url: Callable[[str], Dcmon], database_url: str, target: Target, tmp_path: Path
) -> None:
    dcmon, file, stored = with_url(database_url), tmp_path / "a.yaml", tmp_path / "change.plan"
    create_rule(target, "> 0.2")
    file.write_text(dcmon("export", "credit").stdout)
    assert dcmon("plan", "-f", str(file)).returncode == 0
    assert dcmon("validate", str(file)).returncode == 0
    assert dcmon("validate", str(file), "-o", "csv").stdout == "file,line,column,level,message\n"

    file.write_text(file.read_text().replace("> 0.2", "> 0.3"))
    planned = dcmon("-o", "json", "plan", "-f", str(file), "--out", str(stored))
    assert planned.returncode == 1
    assert json.loads(planned.stdout)["changes"] == [
        {
            "action": "change", "kind": "rule", "name": "credit/Drift/> 0.3",
            "fields": {"condition": {"before": "> 0.2", "after": "> 0.3"}}, "effects": {},
        }
    ]  # fmt: skip
    again = dcmon("plan", "-f", str(file), "--out", str(stored))
    assert (again.returncode, "replace it with --replace" in again.stderr) == (6, True)
    assert dcmon("plan", "-f", str(file), "--out", str(stored), "--replace").returncode == 1
    refused = dcmon("apply", "-f", str(file))
    assert (refused.returncode, "add --yes to confirm" in refused.stderr) == (2, True)
    assert target.scalar("select threshold from alert_rules") == 0.2
    for more in (["--prune"], ["-f", str(file)]):
        both = dcmon("apply", "--plan", str(stored), *more, "--yes")
        assert (both.returncode, "leave out --file and --prune" in both.stderr) == (2, True)
    full = dcmon("plan", "-f", str(file), "--out", "/dev/full")
    assert (full.returncode, "/dev/full can't be written: No space left" in full.stderr) == (3, True)
    assert dcmon("apply", "--plan", str(stored), "--yes").returncode == 0
    assert target.scalar("select threshold from alert_rules") == 0.3
    assert dcmon("plan", "-f", str(file)).returncode == 0
    overtaken = dcmon("apply", "--plan", str(stored), "--yes")
    assert (overtaken.returncode, "changed after this plan was stored" in overtaken.stderr) == (6, True)

    address = "url: 'https://${FIRST}.example/${SECOND}'"
    file.write_text(f"receivers: {{a: {{{address}}}, b: {{kind: slack, url: '${{THIRD}}'}}}}")
    missing = dcmon("apply", "-f", str(file), "--yes")
    assert missing.returncode == 2
    assert "'a' needs the variables FIRST and SECOND; receiver 'b' needs the variable THIRD." in missing.stderr

    file.write_text("models: {credit: {monitrs: {}}}")
    assert (dcmon("validate", str(file)).returncode, dcmon("plan", "-f", str(file)).returncode) == (2, 2)
    assert dcmon("plan", "-f", str(tmp_path / "missing.yaml")).returncode == 5


def _until_asked(dcmon: Dcmon, *arguments: str) -> "tuple[subprocess.Popen[bytes], int]":
    """Start a command on a terminal, and return it with the terminal when it asks its question."""
    ours, terminal = os.openpty()
    command = [COMMAND, *arguments]
    process = subprocess.Popen(command, env=dcmon.environment, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    printed = b""
    while b"[y/N]" not in printed:
        printed += os.read(ours, 1000)
    return process, ours


def test_of_two_operators_one_wins_and_one_is_told(
    with_url: Callable[[str], Dcmon], database_url: str, target: Target, tmp_path: Path
) -> None:
    """Two processes: the first has shown its plan and asks, when the second applies another one."""
    dcmon, first, second = with_url(database_url), tmp_path / "first.yaml", tmp_path / "second.yaml"
    create_rule(target, "> 0.2")
    exported = dcmon("export", "credit").stdout
    first.write_text(exported.replace("> 0.2", "> 0.3").replace("binary", "binary\n    description: mine"))
    second.write_text(exported.replace("> 0.2", "> 0.4"))

    process, terminal = _until_asked(dcmon, "apply", "-f", str(first))
    assert dcmon("apply", "-f", str(second), "--yes").returncode == 0
    os.write(terminal, b"y\n")

    assert process.wait() == 6
    assert b"changed after this plan was made, so nothing was applied" in os.read(terminal, 10_000)
    os.close(terminal)
    assert target.scalar("select threshold from alert_rules") == 0.4
    assert target.scalar("select coalesce(description, '') from models") == ""


def test_killed_apply_changes_nothing_and_is_repeated(
    with_url: Callable[[str], Dcmon], database_url: str, engine: Engine, target: Target, tmp_path: Path
) -> None:
    """A kill -9 when the model is changed, and the rule not yet."""
    dcmon, file = with_url(database_url), tmp_path / "a.yaml"
    create_rule(target, "> 0.2")
    before = dcmon("export", "credit").stdout
    file.write_text(before.replace("> 0.2", "> 0.3").replace("binary", "binary\n    description: mine"))
    process, terminal = _until_asked(dcmon, "apply", "-f", str(file))
    with engine.connect() as holder, holder.begin():
        holder.execute(text(f"lock table {target.org.schema}.alert_rules in share row exclusive mode"))
        os.write(terminal, b"y\n")
        assert eventually(lambda: is_waiting_for_a_lock(engine))
        process.send_signal(signal.SIGKILL)
        process.wait()
    os.close(terminal)
    assert dcmon("export", "credit").stdout == before

    assert dcmon("apply", "-f", str(file), "--yes").returncode == 0
    assert dcmon("plan", "-f", str(file)).returncode == 0


def test_applied_receiver_is_notified_of_problems_of_dcmon(
    with_url: Callable[[str], Dcmon], database_url: str, engine: Engine, target: Target, tmp_path: Path
) -> None:
    """As one that a command adds, in the organization that watches dcmon."""
    dcmon, file = with_url(database_url), tmp_path / "a.yaml"
    dcmon.settings["DCMON_HEALTH__ORG"] = target.org.name
    problem = Problem("parked", Severity.HIGH, "3 messages are parked.", "dcmon status", datetime.now(UTC))
    with db.public_session(engine) as session:
        problems.store(session, [problem], datetime.now(UTC), timedelta())
        problems.mark_notified(session, [problem], datetime.now(UTC))
    file.write_text("receivers: {team: {url: https://hooks.example.org/x}}")
    applied = dcmon("apply", "-f", str(file), "--yes")
    assert applied.returncode == 0
    assert target.scalar("select body->>'type' from notifications") == "dcmon.firing"

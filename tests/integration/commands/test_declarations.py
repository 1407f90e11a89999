"""Files are exported, planned and applied on the command line, with exit codes for scripts."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.helpers.installed import Dcmon
from tests.helpers.judged_results import create_rule
from tests.integration.conftest import Target


def test_file_is_exported_planned_and_applied(
    with_url: Callable[[str], Dcmon], database_url: str, target: Target, tmp_path: Path
) -> None:
    dcmon, file, stored = with_url(database_url), tmp_path / "a.yaml", tmp_path / "change.plan"
    create_rule(target, "> 0.2")
    file.write_text(dcmon("export", "credit").stdout)
    assert dcmon("plan", "-f", str(file)).returncode == 0
    assert dcmon("validate", str(file)).returncode == 0

    file.write_text(file.read_text().replace("> 0.2", "> 0.3"))
    planned = dcmon("-o", "json", "plan", "-f", str(file), "--out", str(stored))
    assert planned.returncode == 1
    assert json.loads(planned.stdout)["changes"] == [
        {
            "action": "change", "kind": "rule", "name": "credit/Drift/> 0.3",
            "fields": {"condition": {"before": "> 0.2", "after": "> 0.3"}}, "effects": {},
        }
    ]  # fmt: skip
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

    file.write_text("models: {credit: {monitrs: {}}}")
    assert (dcmon("validate", str(file)).returncode, dcmon("plan", "-f", str(file)).returncode) == (2, 2)
    assert dcmon("plan", "-f", str(tmp_path / "missing.yaml")).returncode == 5

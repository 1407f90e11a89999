"""The program of docs/first-model.md runs as it stands there."""

import re
import subprocess
from pathlib import Path

from tests.acceptance.test_sdk import SDK, served
from tests.conftest import Acme
from tests.helpers.installed import Dcmon
from tests.helpers.paths import ROOT

__all__ = ["served"]
CREATE = [
    "model", "create", "credit", "--task", "binary", "--version", "v1", "--feature", "age:numeric",
    "--feature", "job:categorical", "--class", "0", "--class", "1",
]  # fmt: skip


def test_program_of_the_page_logs_rows_labels_and_reference(served: Dcmon, acme: Acme, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "first-model.md").read_text()
    [program] = re.findall(r"```python\n(.+?)```", page, flags=re.DOTALL)
    assert " ".join(CREATE) in page
    assert served(*CREATE).returncode == 0
    path = tmp_path / "first_model.py"
    path.write_text(program.replace("http://127.0.0.1:8000", served.url).replace("dcm_…", acme.token))
    done = subprocess.run([str(SDK), str(path)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    [version] = served.json("version", "list", "credit")
    assert (version["samples"], version["reference"]) == (500, 500)
    assert served.json("model", "show", "credit")["quarantined"] == {}

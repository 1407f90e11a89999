"""Scripts that dcmon writes run as they are, with the unmodified SDK, and give the values that dcmon gives."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import urllib3

from dcmon.monitoring.notebooks import TOKEN
from tests.acceptance.test_sdk import SDK, served, session
from tests.conftest import Acme
from tests.helpers.installed import Dcmon

__all__ = ["served"]  # a fixture
SPAN = {"start_time": "2026-03-01T00:00:00Z", "end_time": "2026-03-06T00:00:00Z"}
REPORT = "\nimport json\nprint(json.dumps(result.reduce_output()))\n"


def post(served: Dcmon, token: str, path: str, **body: Any) -> bytes:
    response = urllib3.request(
        "POST", f"{served.url}/api/v1/{path}", json={**SPAN, **body}, headers={"authorization": f"Basic {token}"},
        retries=False, timeout=300,
    )  # fmt: skip
    assert response.status == 200, response.data
    return response.data


def check_id(served: Dcmon, token: str, task: str, name: str) -> int:
    response = urllib3.request(
        "GET", f"{served.url}/api/v1/models/sdk-{task}/checks?identifier_kind=name",
        headers={"authorization": f"Basic {token}"}, retries=False, timeout=300,
    )  # fmt: skip
    (number,) = [check["id"] for check in response.json() if check["name"] == name]
    return int(number)


@pytest.mark.thorough  # its quick sibling is tests/integration/http/test_notebooks.py
@pytest.mark.parametrize(
    ("task", "name"), [("binary", "Performance"), ("multiclass", "Drift of age"), ("regression", "Feature Drift")]
)
def test_script_runs_and_gives_the_values_of_dcmon(
    served: Dcmon, acme: Acme, tmp_path: Path, task: str, name: str
) -> None:
    session(served, acme.token, task)
    check = check_id(served, acme.token, task, name)
    filters = {"filters": [{"column": "age", "operator": "greater_than", "value": 30}]}
    script = post(served, acme.token, f"checks/{check}/get-notebook", as_script=True, filter=filters).decode()
    file = tmp_path / "notebook.py"
    file.write_text(script.replace(TOKEN, acme.token) + REPORT)
    done = subprocess.run([str(SDK), str(file)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-4000:]
    assert (tmp_path / "check.html").stat().st_size > 1000
    assert (tmp_path / "suite.html").stat().st_size > 1000
    values = json.loads(done.stdout.splitlines()[-1])
    expected = json.loads(post(served, acme.token, f"checks/{check}/run/window", filter=filters))["v1"]
    assert values == pytest.approx(expected, abs=1e-9)

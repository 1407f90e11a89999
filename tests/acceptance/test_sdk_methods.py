"""Every public method of the unmodified SDK on the real endpoint: the cases are in tests/helpers/sdk_conformance.

One process of the SDK runs all cases, once for all workers of pytest; each test here reads what became of one method.
"""

import fcntl
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_sdk import SDK, answers
from tests.conftest import TemplateWithAcme, copied_database
from tests.helpers.directories import server_directory
from tests.helpers.installed import Dcmon
from tests.helpers.paths import ROOT
from tests.helpers.ports import free_port
from tests.helpers.waiting import eventually

NAMES = {
    "DeepchecksClient": """
        add_alert_rule add_monitor create_tabular_model_version delete_model delete_model_version
        get_model_version get_or_create_model
    """,
    "DeepchecksModelClient": """
        add_alert_rule add_alert_rule_on_existing_monitor add_alert_webhook add_checks add_monitor add_notes
        add_pager_duty_alert_webhook create_from_id create_from_name delete_checks delete_note get_checks
        get_notes get_versions log_batch_labels log_label send set_schedule_time version
    """,
    "DeepchecksModelVersionClient": """
        get_feature_importance get_production_data get_reference_data log_batch log_sample send
        set_feature_importance time_window_statistics upload_reference validate
    """,
    "API": """
        create_alert_rule create_alert_webhook create_checks create_model create_model_notes
        create_model_version create_monitor create_pager_duty_alert_webhook delete_check_by_name
        delete_model_by_id delete_model_by_name delete_model_checks_by_name delete_model_note
        delete_model_version_by_id delete_model_version_by_name fetch_alert_rule fetch_all_model_checks_by_id
        fetch_all_model_checks_by_name fetch_all_model_versions fetch_dashboard fetch_model_by_id
        fetch_model_by_name fetch_model_notes fetch_model_version fetch_model_version_by_id
        fetch_model_version_by_name fetch_model_version_schema fetch_model_version_time_window_statistics
        fetch_monitor get_model_version_production_data get_model_version_reference_data get_samples_count
        instantiate log_labels retrieve_backend_version say_hello set_schedule_time update_model_version
        upload_reference upload_samples
    """,
}
METHODS = [f"{kind}.{name}" for kind, names in NAMES.items() for name in names.split()]
TASKS = ["binary", "multiclass", "regression"]
pytestmark = pytest.mark.timeout(1800)  # the first test runs all cases, which takes half a minute on an idle machine


@pytest.fixture(scope="session")
def cases(
    server_url: str, template_with_acme: TemplateWithAcme, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Run all cases, or read what another worker of pytest has seen."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "sdk-methods.json"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            shared.write_text(run_cases(SDK, server_url, template_with_acme))
    seen: dict[str, Any] = json.loads(shared.read_text())
    return seen


def run_cases(sdk: Path, server_url: str, template: TemplateWithAcme, *tasks: str) -> str:
    """Return what the process of an SDK's Python prints: its methods, and the problem of each case."""
    assert sdk.exists(), f"{sdk} is missing: `make test` makes the SDK's environment"
    script = ROOT / "tests" / "helpers" / "sdk_conformance"
    with (
        copied_database(server_url, template.name) as url, server_directory() as data,
        tempfile.TemporaryFile("w+") as log,
    ):  # fmt: skip
        served = Dcmon(data, free_port(), {"DCMON_DATABASE_URL": url})
        process = served.start("serve", output=log)
        try:
            assert eventually(lambda: answers(served.port)), log.seek(0) or log.read()
            done = subprocess.run(
                [str(sdk), str(script), served.url, template.acme.token, *tasks],
                cwd="/", capture_output=True, text=True, check=False, timeout=1500,
            )  # fmt: skip
        finally:
            process.terminate()
            process.wait(300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_sdk_has_no_public_method_without_a_case(cases: dict[str, Any]) -> None:
    assert set(cases["methods"]) == set(METHODS)
    assert sorted(cases["tasks"]) == TASKS
    assert all(set(results) == set(METHODS) for results in cases["tasks"].values())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", METHODS)
def test_sdk_method_works_as_documented(cases: dict[str, Any], method: str, task: str) -> None:
    problem: str | None = cases["tasks"][task][method]

    assert problem is None, problem

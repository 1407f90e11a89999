"""The oldest release of the SDK that works: the cases of tests/helpers/sdk_conformance for the methods that it has."""

import json
import os
from pathlib import Path

import pytest

from tests.acceptance.test_sdk_methods import run_cases
from tests.conftest import TemplateWithAcme
from tests.helpers.paths import ROOT

DIRECTORY = ROOT / ".venv-sdk-oldest"
SDK = Path(os.environ.get("DCMON_TEST_OLDEST_SDK_PYTHON") or DIRECTORY / "bin" / "python")
LATER = {"add_alert_webhook", "add_pager_duty_alert_webhook", "create_alert_webhook", "create_pager_duty_alert_webhook"}
INSTALLED = "DCMON_TEST_OLDEST_SDK_PYTHON" in os.environ or (DIRECTORY / ".ready").exists()
pytestmark = [pytest.mark.thorough, pytest.mark.timeout(1800)]


@pytest.mark.skipif(not INSTALLED, reason="`make sdk-oldest` could not install the oldest release of the SDK here")
def test_oldest_sdk_works_in_each_method_it_has(server_url: str, template_with_acme: TemplateWithAcme) -> None:
    seen = json.loads(run_cases(SDK, server_url, template_with_acme, "binary"))
    methods = {method.split(".")[1] for method in seen["methods"]}

    assert not LATER & methods
    assert {"get_or_create_model", "log_batch", "log_batch_labels", "upload_reference", "add_checks"} <= methods
    assert {method: problem for method, problem in seen["tasks"]["binary"].items() if problem} == {}

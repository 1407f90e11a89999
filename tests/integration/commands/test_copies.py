"""Copies of models, versions and monitors, and names that are taken already."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from dcmon.app import App
from tests.helpers import valued_model
from tests.helpers.installed import Dcmon
from tests.helpers.judged_results import create_rule
from tests.integration.conftest import Target


@pytest.fixture
def dcmon(with_url: Callable[[str], Dcmon], database_url: str, app: App, target: Target) -> Dcmon:
    """Return dcmon with model credit, which has a reference, and a monitor with a rule."""
    create_rule(target, "> 0.2")
    valued_model.load_reference(app, target, count=20)
    return with_url(database_url)


def read(dcmon: Dcmon, *words: str) -> Any:
    done = dcmon("-o", "json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_copy_of_a_model_has_versions_monitors_and_rules(dcmon: Dcmon) -> None:
    copied = read(dcmon, "model", "copy", "credit", "loans", "--with-reference")
    assert copied == {
        "name": "loans", "copied_from": "credit", "id": 2, "versions": 1, "monitors": 1, "rules": 1,
        "reference_rows": 20,
    }  # fmt: skip
    shown = {name: read(dcmon, "version", "show", name, "v1") for name in ("credit", "loans")}
    assert shown["loans"]["columns"] == shown["credit"]["columns"]
    rules = read(dcmon, "rule", "list")
    assert [(rule["monitor"], rule["condition"]) for rule in rules] == [
        ("credit/Drift", "> 0.2"), ("loans/Drift", "> 0.2"),
    ]  # fmt: skip
    assert read(dcmon, "reference", "show", "--model", "loans", "--version", "v1")["rows"] == 20
    assert dcmon("model", "copy", "credit", "loans").returncode == 6


def test_copy_of_a_version_has_no_rows_unless_asked(dcmon: Dcmon) -> None:
    assert read(dcmon, "version", "copy", "credit", "v1", "v2")["reference_rows"] == 0
    assert read(dcmon, "version", "copy", "credit", "v1", "v3", "--with-reference")["reference_rows"] == 20
    assert dcmon("version", "copy", "credit", "v1", "v3").returncode == 6
    assert dcmon("version", "copy", "credit", "v9", "v4").returncode == 5


def test_copy_of_a_monitor_has_its_rules(dcmon: Dcmon) -> None:
    read(dcmon, "model", "create", "fraud", "--task", "binary", "--no-defaults")
    assert read(dcmon, "monitor", "copy", "Drift", "Drift", "--model", "fraud")["name"] == "fraud/Drift"
    assert read(dcmon, "monitor", "copy", "credit/Drift", "Again")["rules"] == 1
    refused = dcmon("monitor", "copy", "credit/Drift", "Again")
    assert (refused.returncode, "has a monitor 'Again' already" in refused.stderr) == (6, True)


def test_monitor_of_a_name_that_is_taken_is_refused(dcmon: Dcmon) -> None:
    refused = dcmon("monitor", "create", "Drift", "--model", "credit", "--check", "FeatureDrift")
    assert (refused.returncode, '"dcmon monitor set" changes it' in refused.stderr) == (6, True)


def test_new_version_of_an_existing_model_is_asked_for(dcmon: Dcmon) -> None:
    typed = ["model", "create", "credit", "--task", "binary", "--version", "v2", "--feature", "age:integer"]
    refused = dcmon(*typed, "--feature", "tenure:numeric")
    assert refused.returncode == 2
    assert "Model 'credit' exists already, with 1 version." in refused.stderr
    assert "version 'v2' lacks job and adds tenure and changes the type of age (numeric, now integer)" in refused.stderr
    assert len(read(dcmon, "version", "list")) == 1
    assert read(dcmon, *typed, "--dry-run")["effects"]["versions"] == {"added": 1}
    assert read(dcmon, *typed, "--yes")["version"] == "v2"


def test_existing_model_is_changed_only_after_a_question(dcmon: Dcmon) -> None:
    typed = ["model", "create", "credit", "--task", "binary"]
    refused = dcmon(*typed)
    assert refused.returncode == 2
    assert "Model 'credit' exists already. This would add" in refused.stderr
    assert len(read(dcmon, "monitor", "list")) == 1
    created = read(dcmon, *typed, "--yes")
    assert (created["name"], created["created"], created["monitors"] > 10) == ("credit", False, True)
    again = dcmon(*typed)
    assert (again.returncode, "Model credit existed already, and keeps its settings" in again.stderr) == (0, True)
    without = dcmon(*typed, "--no-defaults")
    assert (without.returncode, "change" in without.stderr) == (2, True)

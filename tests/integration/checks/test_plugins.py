"""A user's own check, from a package that is built and installed to a stored value."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from dcmon import errors, privileges
from dcmon.app import App
from dcmon.checks import catalogue, plugins
from dcmon.db.tables.org import Check, Result
from dcmon.jobs import evaluate
from dcmon.monitoring import model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.settings import Evaluate
from dcmon.storage import versions
from dcmon.windows import ComparedWith, Frequency
from tests.helpers.evaluation import log_day, rows
from tests.helpers.paths import ROOT
from tests.integration.conftest import Target, eventually, running

# Each process that reads the properties of a check loads deepchecks, which takes seconds on a busy machine.
SOURCE = ROOT / "tests" / "helpers" / "own_checks"


@pytest.fixture(scope="module")
def wheel_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build and install the package with pip; return the directory."""
    target = tmp_path_factory.mktemp("installed")
    target.chmod(0o755)  # root's checks run as another user
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *offline, str(SOURCE)], check=True, capture_output=True)
    return target


@pytest.fixture
def installed(wheel_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make the package importable in this process and in its child processes."""
    monkeypatch.syspath_prepend(str(wheel_dir))
    monkeypatch.setenv("PYTHONPATH", str(wheel_dir))
    importlib.invalidate_caches()
    restart()
    yield wheel_dir
    restart()
    sys.modules.pop("drift_checks", None)


def restart() -> None:
    """Clear all cached lookups of checks, as a restart does."""
    from dcmon.checks.worker_pool import FORK_SERVER

    plugins.clear_cache()
    FORK_SERVER.stop()


def create_monitor(app: App, target: Target, check: str, **more: object) -> int:
    with app.org(target.org) as session:
        model, _ = versions.get(session, target.version_id)
        on = model_checks.get_or_create_check(session, model, check, more.pop("params", None), f"my {check}")  # type: ignore[arg-type]
        return monitors.create(session, on, MonitorSpec(f"m {check}", Frequency.DAY, **more)).id  # type: ignore[arg-type]


def stored(app: App, target: Target) -> dict[int, list[Result]]:
    collected: dict[int, list[Result]] = {}
    with app.org(target.org) as session:
        for result in session.scalars(select(Result).order_by(Result.window_end)):
            collected.setdefault(result.monitor_id, []).append(result)
    return collected


def span(number: int) -> float:
    ages = [json.loads(row)["age"] for row in rows(number)]
    return float(max(ages) - min(ages))


def test_own_check_runs_on_windows_and_alone_with_parameters(app: App, target: Target, installed: Path) -> None:
    spans = create_monitor(app, target, "span", params={"column": "age"})
    wider = create_monitor(app, target, "wider", compared_with=ComparedWith.PREVIOUS)
    shares = create_monitor(app, target, "share of ones")
    with app.org(target.org) as session:
        model, _ = versions.get(session, target.version_id)
        model.label_ratio = 0
        needs = {
            check.class_name: (check.needs_labels, check.needs_reference) for check in session.scalars(select(Check))
        }
    assert needs == {"span": (False, False), "wider": (False, True), "share of ones": (True, False)}
    for number in range(3):
        log_day(app, target, number)
    labels = [{"_dc_sample_id": f"0/{index}", "_dc_label": str(int(index < 30))} for index in range(120)]
    labels += [{"_dc_sample_id": "1/1", "_dc_label": "1"}]
    app.ingestion.ingest_labels(target.org, target.model_id, [json.dumps(label).encode() for label in labels])
    with running(evaluate.run, app):
        assert eventually(lambda: sum(map(len, stored(app, target).values())) == 6)
    results = stored(app, target)
    assert [result.metrics for result in results[spans]] == [{"Span": span(0)}, {"Span": span(1)}]
    assert [stored_result.state for stored_result in results[wider]] == ["NO_DATA", "OK"]
    assert results[wider][1].metrics == {"Wider": pytest.approx(span(1) / span(0), rel=0, abs=1e-12)}
    assert results[shares][0].metrics == {"Share": 0.25}
    message = 'share of ones failed: ValueError: so few labels. "dcmon check show share of ones" shows its parameters.'
    assert (results[shares][1].state, results[shares][1].reason) == ("ERROR", message)


def test_own_check_gets_no_secrets_and_no_rights_of_root(
    app: App, target: Target, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its own environment nor that of another process which it can read has a secret of dcmon."""
    text = f"canary{os.getpid()}"
    for name in ("DCMON_SMTP__PASSWORD", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "OTHER_TOKEN"):
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("MODEL_DIR", "/models")
    own_app = App(app.settings.model_copy(update={"evaluate": Evaluate(variables=["MODEL_DIR"])}))
    surroundings = create_monitor(own_app, target, "surroundings", params={"text": text})
    log_day(own_app, target, 0)
    with running(evaluate.run, own_app):
        assert eventually(lambda: len(stored(own_app, target)) == 1)
    user = privileges.account(None)
    uid = os.getuid() if user is None else user.uid
    assert stored(own_app, target)[surroundings][0].metrics == {"User": uid, "Own": 0, "All": 0, "Named": 1}
    own_app.close()


def test_own_check_is_listed_and_described(installed: Path) -> None:
    def dcmon(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dcmon", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)

    listed = {check["check"]: check for check in json.loads(dcmon("-o", "json", "check", "list").stdout)}
    assert listed["span"]["group"] == "own, of drift-checks 1.2"
    shown = json.loads(dcmon("-o", "json", "check", "show", "share of ones").stdout)
    assert (shown["needs"], shown["class"]) == (["labels"], "drift_checks:ShareOfOnes")
    shown = json.loads(dcmon("-o", "json", "check", "show", "span").stdout)
    assert shown["parameters"] == {"column": "age"}
    for name, says in (("function", "The class must derive"), ("gone", "raised AttributeError")):
        refused = dcmon("check", "show", name)
        assert refused.returncode == 2
        assert f"The check {name!r} of drift-checks 1.2 can't be used." in refused.stderr
        assert says in refused.stderr


def test_sdk_config_names_own_check_and_imports_nothing_else(installed: Path) -> None:
    """The config has the class of the check; other classes are never imported."""
    assert catalogue.for_config("drift_checks", "Span").class_name in ("span", "FeatureDrift")
    assert catalogue.for_config("dcmon.checks", "span").implementation == "drift_checks:Span"
    assert catalogue.for_config("deepchecks.tabular.checks", "FeatureDrift").is_own is False
    for module, name in (("antigravity", "Span"), ("drift_checks", "no_class"), ("os", "system")):
        with pytest.raises(errors.InvalidInput):
            catalogue.for_config(module, name)
    assert "antigravity" not in sys.modules


def test_missing_package_of_a_check_is_an_error_result(app: App, target: Target, installed: Path) -> None:
    create_monitor(app, target, "span")
    restart()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [path for path in sys.path if path != str(installed)])
        patch.delenv("PYTHONPATH")
        plugins.clear_cache()
        for number in range(2):
            log_day(app, target, number)
        with running(evaluate.run, app):
            assert eventually(lambda: len(stored(app, target)) == 1)
    [[result]] = stored(app, target).values()
    assert result.state == "ERROR"
    assert result.reason is not None
    assert result.reason.startswith("The package that registers the check 'span' is not installed here.")

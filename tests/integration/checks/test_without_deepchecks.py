"""Without the extra `deepchecks` the catalogue works, and users' own checks have an error that says what to install."""

import shutil
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from dcmon import errors
from dcmon.app import App
from dcmon.checks import catalogue, plugins
from dcmon.db.tables.org import Monitor, Result
from dcmon.jobs import evaluate
from dcmon.monitoring import model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.storage import versions
from dcmon.windows import Frequency
from tests.helpers.evaluation import log_day, monitor_drift_of_age
from tests.helpers.paths import ROOT
from tests.integration.conftest import Target, eventually, running

REASON = (
    "The check 'span' of drift-checks 1.2 needs deepchecks, which is not installed here."
    ' Install dcmon\'s wheel again with the extra [deepchecks] (Python 3.11 or 3.12): see "dcmon docs install".'
)


@pytest.fixture(autouse=True)
def _without_deepchecks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package of checks, as pip lays it out, where deepchecks can't be imported."""
    site = tmp_path / "site"
    shutil.copytree(ROOT / "tests/helpers/own_checks/drift_checks", site / "drift_checks")
    metadata = site / "drift_checks-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: drift-checks\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text("[dcmon.checks]\nspan = drift_checks:Span\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setitem(sys.modules, "deepchecks", None)  # an import of it fails, as if it was not installed
    plugins.clear_cache()


def test_new_own_check_without_deepchecks_is_refused(app: App, target: Target) -> None:
    assert "span" in plugins.registered()
    with app.org(target.org) as session:
        model, _ = versions.get(session, target.version_id)
        with pytest.raises(errors.DeepchecksMissing) as refused:
            model_checks.get_or_create_check(session, model, "span", {"column": "age"}, "my span")
    assert (str(refused.value), refused.value.exit_code, refused.value.status) == (REASON, 2, 400)


def test_window_without_deepchecks_has_all_other_values(app: App, target: Target) -> None:
    """A monitor of an own check, made where deepchecks was installed, has an error; the other monitor has its value."""
    monitor_drift_of_age(app, target)
    with app.org(target.org) as session:
        model, _ = versions.get(session, target.version_id)
        check = model_checks.get_or_create_check(session, model, "PercentOfNulls")
        monitors.create(session, check, MonitorSpec("Span of age", Frequency.DAY))
        check.module_name, check.class_name, check.params = "dcmon.checks", "span", {"column": "age"}
    for number in range(2):
        log_day(app, target, number)

    def results() -> dict[str, Result]:
        with app.org(target.org) as session:
            joined = select(Monitor.name, Result).join(Monitor, Monitor.id == Result.monitor_id)
            return {row.name: row.Result for row in session.execute(joined)}

    with running(evaluate.run, app):
        assert eventually(lambda: len(results()) == 2)
    own_result, drift = results()["Span of age"], results()["Age"]
    assert (own_result.state, own_result.reason, own_result.metrics) == ("ERROR", REASON, {})
    assert (drift.state, list(drift.entries)) == ("OK", ["age"])


def test_catalogue_without_deepchecks_is_complete() -> None:
    for kind in catalogue.KINDS:
        assert catalogue.find(kind.class_name).class_name == kind.class_name

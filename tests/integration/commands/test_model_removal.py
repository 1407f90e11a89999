"""Models and versions are renamed and deleted on the command line."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dcmon import db, errors
from dcmon.app import App
from dcmon.commands.operations import model_removal
from dcmon.db.tables.org import Model, Version
from dcmon.storage import models
from tests.helpers.installed import Dcmon
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.helpers.waiting import eventually, is_waiting_for_a_lock
from tests.integration.conftest import Target, rows

COUNTS = {"samples": 10, "results": 1, "alerts": 1, "open": 1}


@pytest.fixture
def dcmon(with_url: Callable[[str], Dcmon], database_url: str) -> Dcmon:
    """Return dcmon on a database with organization acme."""
    return with_url(database_url)


@pytest.fixture
def names(app: App, target: Target) -> tuple[str, str]:
    """Return the names of a model and its version, which has samples, a result and an alert."""
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    app.ingestion.ingest_samples(target.org, target.version_id, rows(0, 10))
    with db.org_session(target.engine, target.org) as session:
        version = session.get_one(Version, target.version_id)
        return session.get_one(Model, version.model_id).name, version.name


def run(dcmon: Dcmon, *arguments: str) -> dict[str, Any]:
    done = dcmon("-o", "json", *arguments)
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def test_version_is_shown_renamed_and_deleted(dcmon: Dcmon, target: Target, names: tuple[str, str]) -> None:
    model, version = names
    listed = dcmon("version", "list", model, "-o", "name")
    assert listed.stdout.split() == [f"{model}/{version}"]
    assert {column["column"] for column in run(dcmon, "version", "show", model, version)["columns"]} >= {"age", "job"}
    assert run(dcmon, "version", "rename", model, version, "old one")["id"] == target.version_id
    counted = run(dcmon, "version", "delete", model, "old one", "--dry-run")
    assert counted == {"dry_run": True, "deleted": f"{model}/old one", **COUNTS}
    refused = dcmon("version", "delete", model, "old one")
    assert (refused.returncode, "10 samples, 1 result and 1 alert, 1 of them open. There is no" in refused.stderr) == (
        2,
        True,
    )
    assert target.scalar("select count(*) from versions") == 1
    assert run(dcmon, "version", "delete", model, "old one", "--yes") == {
        "deleted": f"{model}/old one",
        **COUNTS,
    }
    assert target.scalar("select count(*) from versions") == target.scalar("select count(*) from alerts") == 0
    assert dcmon("version", "delete", model, "old one", "--yes").returncode == 5


def test_model_is_renamed_and_deleted(dcmon: Dcmon, target: Target, names: tuple[str, str]) -> None:
    model, _ = names
    renamed = run(dcmon, "model", "rename", model, "credit retail")
    assert renamed == {"name": "credit retail", "old_name": model, "id": target.model_id}
    assert dcmon("model", "show", model).returncode == 5
    expected = {"deleted": "credit retail", "versions": 1, **COUNTS, "monitors": 1, "rules": 1}
    assert run(dcmon, "model", "delete", "credit retail", "--dry-run") == {"dry_run": True, **expected}
    assert target.scalar("select count(*) from models") == 1
    assert run(dcmon, "model", "delete", "credit retail", "--yes") == expected
    assert target.scalar("select count(*) from models") == 0


def test_name_of_another_model_is_refused(dcmon: Dcmon, names: tuple[str, str]) -> None:
    run(dcmon, "model", "create", "fraud", "--task", "binary")
    refused = dcmon("model", "rename", "fraud", names[0])
    assert (refused.returncode, "Another model has the name" in refused.stderr) == (6, True)
    assert dcmon("model", "rename", "fraud", " ").returncode == 2


def test_deletion_on_a_terminal_needs_the_name(dcmon: Dcmon, target: Target, names: tuple[str, str]) -> None:
    refused = dcmon.type("yes\n", "model", "delete", names[0])
    assert "Type the name to confirm" in refused.stderr
    assert (refused.returncode, "Not confirmed: nothing was changed." in refused.stderr) == (2, True)
    assert target.scalar("select count(*) from models") == 1
    assert dcmon.type(f"{names[0]}\n", "model", "delete", names[0]).returncode == 0
    assert target.scalar("select count(*) from models") == 0


def test_second_of_two_renames_finds_no_such_model(app: App, target: Target) -> None:
    """Two operators rename a model at once: the second one is told, in place of taking back what the first one did."""
    with ThreadPoolExecutor(1) as pool:
        with app.org(target.org) as session:
            model = models.get(session, target.model_id)
            old = model.name
            models.rename(session, model, "first")
            renamed = pool.submit(model_removal.rename_model, app, old, "second")
            assert eventually(lambda: is_waiting_for_a_lock(app.engine))
        with pytest.raises(errors.ModelNotFound):
            renamed.result()
    with app.org(target.org) as session:
        assert models.get(session, target.model_id).name == "first"

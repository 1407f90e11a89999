"""Stored values equal the values of deepchecks for each check, parameter and scorer, through PostgreSQL."""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import SecretStr
from sqlalchemy import select, text

from dcmon.app import App
from dcmon.checks.catalogue import KINDS, by_class, scorers
from dcmon.db import Organization
from dcmon.db.tables.org import Result
from dcmon.jobs import evaluate
from dcmon.monitoring import lifecycle, model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.output import Output
from dcmon.settings import Evaluate, Settings
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from dcmon.tenancy import provisioning
from dcmon.windows import Frequency
from tests.conftest import _administer, _database, drop_database
from tests.helpers.check_cases import cases_of_task
from tests.helpers.check_inputs import WORLDS
from tests.helpers.deepchecks_library import LABEL, PREDICTION, PROBABILITIES, Case, World
from tests.helpers.expected_values import expected_value
from tests.integration.conftest import eventually, running

START = datetime(2026, 3, 2, tzinfo=UTC)
Place = tuple[str, str]


def cases(task_type: str, name: str) -> list[Case]:
    """Return all cases for plain rows; for unusual rows each check without parameters and each scorer."""
    task_cases = cases_of_task(task_type)
    if name == "plain":
        return task_cases
    plain_ones = {kind.class_name for kind in KINDS if not kind.is_alias}
    alone = [case for case in task_cases if not case.params and not case.conf and case.class_name in plain_ones]
    scored = [case for case in task_cases if list(case.params) == ["scorers"]]
    return alone + (scored if "class" in name or "probabilities" in name else scored[:3])


CASES_BY_WORLD = [(place, case) for place in WORLDS for case in cases(*place)]


def plain_value(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if isinstance(value, list):
        return value
    return None if pd.isna(value) else getattr(value, "item", lambda: value)()


def rows_of(world: World, rows: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    return [{name: plain_value(row[name]) for name in names} for row in rows[names].to_dict("records")]


def log(app: App, org: Organization, model_id: int, version_id: int, world: World) -> None:
    """Log the rows of the window, their labels, and a row of the next day that completes the window."""
    names = [*world.columns, PREDICTION, *([PROBABILITIES] if world.classes else [])]
    sent_rows = rows_of(world, world.current, names)
    samples = [
        {"_dc_sample_id": f"s{number}", "_dc_time": (START + timedelta(minutes=4 * number)).isoformat(), **row}
        for number, row in enumerate(sent_rows)
    ]
    samples.append({**samples[0], "_dc_sample_id": "next", "_dc_time": (START + timedelta(days=1)).isoformat()})
    app.ingestion.ingest_samples(org, version_id, [json.dumps(sample).encode() for sample in samples])
    labels = [
        {"_dc_sample_id": f"s{number}", LABEL: plain_value(label)}
        for number, label in enumerate(world.current[LABEL])
        if plain_value(label) is not None
    ]
    app.ingestion.ingest_labels(org, model_id, [json.dumps(label).encode() for label in labels])


def build(app: App, org: Organization, place: Place, world: World) -> dict[int, Case]:
    """Create a model with a reference and a monitor for each case; return cases by monitor id."""
    task_type, name = place
    names = [*world.columns, PREDICTION, LABEL, *([PROBABILITIES] if world.classes else [])]
    table = [list(row.values()) for row in rows_of(world, world.reference, names)]
    created: dict[int, Case] = {}
    with app.org(org) as session:
        model = models.create(session, NewModel(f"{task_type} {name}", task_type, label_delay=timedelta()))
        importance = dict(world.importance) if world.importance else None
        columns = NewVersion("v1", dict(world.columns), feature_importance=importance, classes=world.classes)
        version = versions.create(session, model, columns)
        lifecycle.append_reference(session, model, version, json.dumps({"columns": names, "data": table}).encode())
        for number, case in enumerate(cases(*place)):
            kind = by_class(case.class_name)
            assert kind is not None
            called = f"{number} {case.name}"[:100]
            check = model_checks.create_check(session, model, called, kind.module_name, kind.class_name, case.params)
            kwargs = {"check_conf": dict(case.conf), "res_conf": case.res_conf}
            new = MonitorSpec(called, Frequency.DAY, additional_kwargs=kwargs)
            created[monitors.create(session, check, new).id] = case
        model_id, version_id = model.id, version.id
    log(app, org, model_id, version_id, world)
    return created


@pytest.fixture(scope="module")
def stored(
    server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[Place, str], Result]]:
    """Return the stored values by world and case."""
    name = "dcmon_test_values"
    _administer(server_url, f"create database {name} template {template}")
    directory: Path = tmp_path_factory.mktemp("values")
    at_once = Evaluate(backfill_quiet=timedelta(), last_window_quiet=timedelta(hours=1), check_processes=1)
    url = SecretStr(_database(server_url, name))
    with App(Settings(database_url=url, data_dir=directory, evaluate=at_once), Output(quiet=True)) as app:
        org = provisioning.create_organization(app.engine, "acme", "owner@acme.example").organization
        created = {place: build(app, org, place, world) for place, world in WORLDS.items()}

        def count(relation: str) -> int:
            with app.org(org) as session:
                return int(session.scalar(text(f"select count(*) from {relation}")) or 0)

        assert count("quarantine") == 0
        with running(evaluate.run, app):
            while (n_before := count("results")) < len(CASES_BY_WORLD):
                assert eventually(lambda n=n_before: count("results") > n), n_before  # type: ignore[misc]
            assert count("results") == len(CASES_BY_WORLD)
        with app.org(org) as session:
            stored_results = {result.monitor_id: result for result in session.scalars(select(Result))}
        yield {
            (place, case.name): stored_results[number]
            for place, by_id in created.items()
            for number, case in by_id.items()
        }
    drop_database(server_url, name)


def difference(case: Case, world: World, result: Result) -> str | None:
    """Return how a result differs from the expected value; None if it does not."""
    try:
        expected, reason = expected_value(case, world), "nothing finite"
    except Exception as error:
        expected, reason = {}, f"{type(error).__name__}: {error}"
    description = f"{case.name}: {result.state} {result.metrics} {result.reason!r}"
    if expected:
        is_equal = result.metrics == pytest.approx(expected, rel=0, abs=1e-12)
        return None if result.state == "OK" and is_equal else f"{description}, and not {expected}"
    is_said = result.reason is not None and result.reason[0].isupper() and result.reason.endswith((".", "?"))
    is_named = result.state in ("NO_DATA", "INSUFFICIENT", "ERROR") and result.metrics == {}
    return None if is_said and is_named else f"{description}, where the library gives {reason}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("place", WORLDS, ids=" ".join)
def test_stored_value_is_the_librarys_or_has_a_reason(stored: dict[tuple[Place, str], Result], place: Place) -> None:
    differences = [difference(case, WORLDS[place], stored[place, case.name]) for case in cases(*place)]
    assert [text for text in differences if text] == []


@pytest.mark.parametrize("task_type", ["binary", "multiclass", "regression"])
def test_plain_rows_give_every_check_and_scorer_a_value(
    stored: dict[tuple[Place, str], Result], task_type: str
) -> None:
    results_by_case = {case.name: stored[(task_type, "plain"), case.name] for case in cases_of_task(task_type)}
    assert {name: result.reason for name, result in results_by_case.items() if result.state != "OK"} == {}


def test_every_check_and_scorer_has_a_case_with_a_value() -> None:
    for task_type in ("binary", "multiclass", "regression"):
        cases = cases_of_task(task_type)
        missing = {kind.class_name for kind in KINDS} - {case.class_name for case in cases}
        assert missing <= ({"NewLabelTrainTest"} if task_type == "regression" else set())
        alone = {params["scorers"][0] for case in cases if len((params := case.params).get("scorers", [])) == 1}
        assert alone == set(scorers(task_type))


def test_stored_value_is_a_finite_number(stored: dict[tuple[Place, str], Result]) -> None:
    for result in stored.values():
        assert all(math.isfinite(number) for number in [*result.metrics.values(), *result.entries.values()])
        assert (result.state == "OK") == bool(result.metrics)
        assert result.state == "OK" or result.reason

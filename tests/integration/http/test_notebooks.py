"""Notebooks over HTTP: every name is a literal, the version is the chosen or the newest one."""

import ast
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import nbformat
import pytest

from dcmon.app import App
from dcmon.db.tables.org import Check
from dcmon.storage import models, versions
from dcmon.storage.versions import NewVersion
from tests.conftest import Acme
from tests.helpers import valued_model
from tests.helpers.endpoint import Endpoint, error_message, serving
from tests.helpers.valued_model import START
from tests.integration.conftest import Target
from tests.integration.http.test_rules import send_request

END = START + timedelta(days=1)
RANGE = {"start_time": START.isoformat(), "end_time": END.isoformat()}
EVIL = "x'\"\"\"\n'''\r\\\u2028\u202e{HOST}%s\nimport os; os.system('id') #"
COMPARING = ["FeatureDrift", "LabelDrift", "PredictionDrift", "NewCategoryTrainTest", "NewLabelTrainTest"]
SINGLE = ["SingleDatasetPerformance", "PercentOfNulls", "MixedNulls", "StringMismatch"]


@pytest.fixture
def endpoint(app: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    """Serve a model with two versions; "v2" has the newest samples."""
    valued_model.fill(app, target, days=1)
    valued_model.add_second_version(app, target)
    with serving(app, acme.token) as client:
        yield client


def notebook(endpoint: Endpoint, path: str, status: int = 200, **body: Any) -> str:
    content = json.dumps({**RANGE, **body}).encode()
    response = endpoint.request("POST", f"{path}/get-notebook", content, **{"content-type": "application/json"})
    assert response.status == status, response.data
    if status != 200:
        return error_message(response)
    assert response.headers["content-type"].startswith("text/plain")
    return response.data.decode()


def assigned(script: str) -> dict[str, Any]:
    """Return the constants that a script assigns at its top level."""
    values = {}
    for statement in ast.parse(script).body:
        match statement:
            case ast.Assign(targets=[ast.Name(name)]) if name.isupper():
                values[name] = ast.literal_eval(statement.value)
    return values


def statements_without_constants(script: str) -> list[str]:
    return [
        ast.unparse(statement)
        for statement in ast.parse(script).body
        if not (isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]).isupper())
    ]


@pytest.mark.parametrize("class_name", [*COMPARING, *SINGLE, "DataFlow", "ScoreFall"])
def test_script_compiles_and_has_the_values_as_sent(
    app: App, target: Target, endpoint: Endpoint, class_name: str
) -> None:
    check = valued_model.create_check(app, target, class_name)
    script = notebook(endpoint, f"checks/{check}", as_script=True, model_version_id=target.version_id)
    values = assigned(script)
    assert values["HOST"] == app.settings.url
    assert (values["VERSION"], values["TASK_TYPE"], values["FILTERS"]) == ("v1", "binary", [])
    assert (values["START_TIME"], values["END_TIME"]) == (RANGE["start_time"], RANGE["end_time"])
    assert ("get_reference_data" in script) == (class_name in [*COMPARING, "ScoreFall"])
    assert (f"{class_name} as Check" in script) == (class_name in [*COMPARING, *SINGLE])


def test_names_with_quotes_and_newlines_stay_literals(app: App, target: Target, endpoint: Endpoint) -> None:
    """The code of the script is the same with harmless names: no name became a statement."""
    check = valued_model.create_check(app, target, "FeatureDrift", columns=["age"])
    plain = notebook(endpoint, f"checks/{check}", as_script=True)
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        versions.create(session, model, NewVersion(EVIL[:100], {EVIL: "numeric"}, {EVIL + "2": "categorical"}))
        model.name = EVIL
        session.get_one(Check, check).params = {"columns": [EVIL], "ignore_columns": None, EVIL: {EVIL: [EVIL, 1.5]}}
        version_id = versions.find(session, model, EVIL[:100]).id
    filters = [{"column": EVIL + "2", "operator": "in", "value": [EVIL, None]}]
    body = {"model_version_id": version_id, "filter": {"filters": filters}}
    body["additional_kwargs"] = {"check_conf": {"feature": [EVIL], "aggregation method": ["max"]}}
    script = notebook(endpoint, f"checks/{check}", as_script=True, **body)
    values = assigned(script)
    assert (values["MODEL"], values["VERSION"], values["FILTERS"]) == (EVIL, EVIL[:100], filters)
    assert values["PARAMETERS"] == {"columns": [EVIL], "aggregation_method": "max", EVIL: {EVIL: [EVIL, 1.5]}}
    assert statements_without_constants(script) == statements_without_constants(plain)
    document = nbformat.reads(notebook(endpoint, f"checks/{check}", **body), as_version=4)
    nbformat.validate(document)
    code = "\n".join(cell.source for cell in document.cells if cell.cell_type == "code")
    assert assigned(code) == values


def test_notebook_is_of_the_version_with_newest_samples(app: App, target: Target, endpoint: Endpoint) -> None:
    check = valued_model.create_check(app, target, "PercentOfNulls")
    assert assigned(notebook(endpoint, f"checks/{check}", as_script=True))["VERSION"] == "v2"


def test_notebook_of_a_monitor_has_its_filters_and_rows(app: App, target: Target, endpoint: Endpoint) -> None:
    check = valued_model.create_check(app, target, "SingleDatasetPerformance", n_samples=1_000_000, random_state=42)
    filters = [{"column": "age", "operator": "less_than", "value": 60}]
    choices = {"check_conf": {"scorer": ["Roc Auc", "F1"]}}
    monitor = valued_model.create_monitor(
        app, target, check, data_filters={"filters": filters}, additional_kwargs=choices, rows=700
    )
    values = assigned(notebook(endpoint, f"monitors/{monitor}", as_script=True, model_version_id=target.version_id))
    assert (values["FILTERS"], values["ROWS"]) == (filters, 700)
    assert values["PARAMETERS"] == {"scorers": ["roc_auc", "f1"]}


def test_notebook_without_a_fitting_version_is_refused(app: App, target: Target, endpoint: Endpoint) -> None:
    """The statuses of the old system: 400 for a version of another model, 404 without any version."""
    check = valued_model.create_check(app, target, "PercentOfNulls")
    message = notebook(endpoint, f"checks/{check}", 400, model_version_id=999)
    assert "has no version 999" in message
    empty = send_request(endpoint, "POST", "models", {"name": "empty", "task_type": "regression"})["id"]
    config = {"module_name": "deepchecks.tabular.checks", "class_name": "PercentOfNulls", "params": {}}
    [created] = send_request(endpoint, "POST", f"models/{empty}/checks", {"config": config})
    assert "has no version" in notebook(endpoint, f"checks/{created['id']}", 404)
    notebook(endpoint, "checks/999", 404)
    notebook(endpoint, "monitors/999", 404)
    notebook(endpoint, f"checks/{check}", 422, end_time="2020-01-01T00:00:00Z")

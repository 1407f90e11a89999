"""What a client sent comes back with the same keys, so that scripts can compare whole objects."""

from collections.abc import Iterator
from typing import Any

import pytest

from dcmon.app import App
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.integration.conftest import Target
from tests.integration.http.test_rules import send_request

VALIDATION = "deepchecks.tabular.checks.train_test_validation"
EVALUATION = "deepchecks.tabular.checks.model_evaluation"
ALIASES = {
    "CategoryMismatchTrainTest": f"{VALIDATION}.category_mismatch_train_test",
    "TrainTestFeatureDrift": f"{VALIDATION}.train_test_feature_drift",
    "TrainTestPredictionDrift": f"{EVALUATION}.train_test_prediction_drift",
    "TrainTestLabelDrift": f"{VALIDATION}.train_test_label_drift",
}
MONITOR = {"name": "age", "lookback": 86_400, "aggregation_window": 1, "frequency": "DAY"}


@pytest.fixture
def endpoint(app: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    """Serve a model with one version."""
    with serving(app, acme.token) as client:
        yield client


def add_check(endpoint: Endpoint, config: Any, status: int = 200, **more: Any) -> Any:
    return send_request(endpoint, "POST", "models/1/checks", {"config": config, **more}, status)


@pytest.mark.parametrize("class_name", ALIASES)
def test_alias_check_with_args_comes_back_as_sent(endpoint: Endpoint, class_name: str) -> None:
    """The SDK sends {"args": []} for a class that takes any arguments, and creates it again from the same config."""
    config = {"module_name": ALIASES[class_name], "class_name": class_name, "params": {"args": []}}
    (created,) = add_check(endpoint, {**config, "version": "0.19.1"}, name="mine")
    (listed,) = send_request(endpoint, "GET", "models/1/checks")
    assert (created, listed["config"]) == ({"id": listed["id"], "name": "mine"}, config)
    assert listed["library_version"] == "0.19.1"


@pytest.mark.parametrize(
    ("class_name", "params"),
    [("TrainTestFeatureDrift", {"args": [1]}), ("FeatureDrift", {"args": []}), ("FeatureDrift", {"min_smaples": 5})],
)
def test_check_with_unusable_params_is_refused(endpoint: Endpoint, class_name: str, params: Any) -> None:
    """A parameter that would be ignored is refused; nothing is stored."""
    config = {"module_name": "deepchecks.tabular.checks", "class_name": class_name, "params": params}
    assert "has no parameter" in add_check(endpoint, config, 400)["error_message"]
    assert send_request(endpoint, "GET", "models/1/checks") == []


@pytest.mark.parametrize("module_name", ["os", "antigravity", "dcmon.http.server", "../x"])
def test_check_of_a_foreign_module_is_never_imported(endpoint: Endpoint, module_name: str) -> None:
    """A module that a client names is looked up in a table."""
    config = {"module_name": module_name, "class_name": "FeatureDrift", "params": {"command": "true"}}
    add_check(endpoint, config, 400)
    assert send_request(endpoint, "GET", "models/1/checks") == []


@pytest.mark.parametrize(
    "chosen",
    [
        {"data_filters": {"filters": [{"column": "age", "operator": "greater_than", "value": 3}]}},
        {"data_filters": {"filters": []}},
        {"data_filters": {"filters": [{"column": "job", "operator": "equals", "value": None}]}},
        {"additional_kwargs": {"check_conf": {"feature": ["age"]}}},
        {"additional_kwargs": {"check_conf": {"aggregation method": ["max"], "feature": None}, "res_conf": None}},
        {"additional_kwargs": None, "data_filters": None},
    ],
)
def test_monitor_comes_back_with_the_keys_that_were_sent(endpoint: Endpoint, chosen: Any) -> None:
    """No key is added to filters and choices; sending them again, with or without null keys, changes nothing."""
    config = {"module_name": "deepchecks.tabular.checks", "class_name": "FeatureDrift", "params": {"min_samples": 20}}
    (check,) = add_check(endpoint, config)
    created = send_request(endpoint, "POST", f"checks/{check['id']}/monitors", {**MONITOR, **chosen})["id"]
    shown = send_request(endpoint, "GET", f"monitors/{created}")
    assert {name: shown[name] for name in chosen} == chosen
    assert shown["check"]["config"] == config
    send_request(endpoint, "PUT", f"monitors/{created}", chosen)
    if (kwargs := chosen.get("additional_kwargs")) is not None:
        send_request(endpoint, "PUT", f"monitors/{created}", {"additional_kwargs": {"res_conf": None, **kwargs}})
    assert send_request(endpoint, "GET", f"monitors/{created}")["revision"] == shown["revision"]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"name": "n" * 50}, 200),
        ({"name": "n" * 51}, 422),
        ({"description": "d" * 200}, 200),
        ({"description": "d" * 201}, 422),
        ({"dashboard_id": 99}, 404),
        ({"dashboard_id": 2**40}, 422),
        ({"frequency": "YEAR"}, 422),
        ({"lookback": -1}, 422),
        ({"additional_kwargs": {"res_conf": None}}, 422),
    ],
)
def test_monitor_has_the_old_bounds(endpoint: Endpoint, changed: Any, status: int) -> None:
    """Names have at most 50 characters, descriptions 200; an unknown dashboard is 404."""
    config = {"module_name": "deepchecks.tabular.checks", "class_name": "FeatureDrift", "params": {}}
    (check,) = add_check(endpoint, config)
    send_request(endpoint, "POST", f"checks/{check['id']}/monitors", {**MONITOR, **changed}, status)
    add_check(endpoint, config, 422, name="n" * 51)


@pytest.mark.parametrize("operator", ["in", "not in", "outside", "", "zz", None, 7])
def test_rule_with_an_unknown_operator_is_unprocessable(endpoint: Endpoint, operator: Any) -> None:
    """A rule that could never be judged is not stored."""
    create_rule(endpoint, {"condition": {"operator": operator, "value": 1}}, 422)
    create_rule(endpoint, {"condition": {"operator": "less_than", "value": 1}, "alert_severity": "zz"}, 422)
    assert send_request(endpoint, "GET", "monitors/1/alert-rules?all=true") == []


@pytest.mark.parametrize("operator", ["equals", "not_equals", "greater_than_equals", "less_than"])
def test_condition_comes_back_as_sent(endpoint: Endpoint, operator: str) -> None:
    condition = {"operator": operator, "value": 0.25}
    created = create_rule(endpoint, {"condition": condition})["id"]
    assert send_request(endpoint, "GET", f"alert-rules/{created}")["condition"] == condition


def create_rule(endpoint: Endpoint, body: Any, status: int = 200) -> Any:
    """Send a rule for a monitor, which the first call creates."""
    if endpoint.request("GET", "monitors/1").status == 404:
        config = {"module_name": "deepchecks.tabular.checks", "class_name": "FeatureDrift", "params": {}}
        (check,) = add_check(endpoint, config)
        send_request(endpoint, "POST", f"checks/{check['id']}/monitors", MONITOR)
    return send_request(endpoint, "POST", "monitors/1/alert-rules", body, status)

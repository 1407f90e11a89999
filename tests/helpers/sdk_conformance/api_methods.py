"""Cases of API, which users also call directly."""

import json
import time

from cases import case, raising, same
from httpx import HTTPStatusError
from worlds import ADDITIONAL, END, FEATURES, IDS, LABELLED, ROWS, START, VALUES, World

MODEL_KEYS = {
    "id", "name", "description", "task_type", "alerts_delay_labels_ratio", "alerts_delay_seconds", "obj_store_path",
}  # fmt: skip
VERSION_KEYS = {
    "id", "model_id", "name", "start_time", "end_time", "features_columns", "additional_data_columns", "model_columns",
    "meta_columns", "feature_importance", "statistics", "classes", "label_map", "balance_classes",
}  # fmt: skip
SCHEMA_KEYS = {
    "monitor_schema", "reference_schema", "features", "additional_data", "classes", "label_map", "feature_importance",
}  # fmt: skip
NEW = {
    "name": "by api", "task_type": "binary", "description": None, "alerts_delay_labels_ratio": 1.0,
    "alerts_delay_seconds": 0, "notes": None, "obj_store_path": None,
}  # fmt: skip
ABSENT = 2**31 - 1


@case(
    "API.create_model", "API.fetch_model_by_id", "API.fetch_model_by_name", "API.delete_model_by_id",
    "API.delete_model_by_name",
)  # fmt: skip
def models(world: World) -> None:
    api = world.client.api
    made = api.create_model(NEW)["id"]
    same(api.create_model(NEW)["id"], made, "an existing model")
    got = api.fetch_model_by_id(made)
    assert set(got) >= MODEL_KEYS, got
    same({key: got[key] for key in NEW if key != "notes"}, {key: NEW[key] for key in NEW if key != "notes"})
    same(api.fetch_model_by_name("by api"), got)
    with raising(HTTPStatusError, "400"):
        api.create_model({**NEW, "task_type": "regression"})
    for change in ({"task_type": "zz"}, {"name": "n" * 51}, {"description": "d" * 201}):
        same(api.create_model({**NEW, "name": "other", **change}, raise_on_status=False).status_code, 422, str(change))
    api.delete_model_by_id(made)
    same(api.fetch_model_by_id(made, raise_on_status=False).status_code, 404)
    api.create_model(NEW)
    api.delete_model_by_name("by api")
    response = api.delete_model_by_name("by api", raise_on_status=False)
    same((response.status_code, set(response.json())), (404, {"error_message", "additional_information"}))


@case(
    "API.create_model_version", "API.fetch_all_model_versions", "API.fetch_model_version",
    "API.fetch_model_version_by_id", "API.fetch_model_version_by_name", "API.fetch_model_version_schema",
    "API.update_model_version", "API.delete_model_version_by_id", "API.delete_model_version_by_name",
)  # fmt: skip
def versions(world: World) -> None:
    api, model = world.client.api, world.model.model
    new = {"name": "by api", "features": {"a": "numeric"}, "additional_data": {}, "feature_importance": None,
           "classes": None}  # fmt: skip
    made = api.create_model_version(model["id"], new)["id"]
    assert {"id": made, "name": "by api"} in api.fetch_all_model_versions(model["id"])
    api.update_model_version(made, {"feature_importance": {"a": 2.0}})
    got = api.fetch_model_version(made)
    assert set(got) >= VERSION_KEYS, got
    same((got["feature_importance"], got["features_columns"]), ({"a": 2.0}, {"a": "numeric"}))
    same(api.fetch_model_version_by_id(made), got)
    same(api.fetch_model_version_by_name(model["name"], "by api"), got)
    schema = api.fetch_model_version_schema(made)
    assert set(schema) >= SCHEMA_KEYS, schema
    api.delete_model_version_by_id(made)
    api.create_model_version(model["id"], new)
    api.delete_model_version_by_name(model["name"], "by api")
    same(api.fetch_model_version_by_name(model["name"], "by api", raise_on_status=False).status_code, 404)
    same(api.create_model_version(model["id"], {**new, "features": {"a": "zz"}}, False).status_code, 422)
    _statistics(world)


def _statistics(world: World) -> None:
    """The statistics of the version with all rows: the range or the values of each column."""
    version = world.client.api.fetch_model_version(world.version.model_version_id)
    same((version["features_columns"], version["additional_data_columns"]), (FEATURES, ADDITIONAL), "columns")
    numbers = [value for value in VALUES["numeric"] if value is not None]
    same(version["statistics"]["numeric"], {"min": min(numbers), "max": max(numbers)}, "numeric")
    integers = [value for value in VALUES["integer"] if value is not None]
    same(version["statistics"]["integer_2"], {"min": min(integers), "max": max(integers)}, "integer")
    wanted = {value for value in VALUES["categorical"] if value is not None}
    same(set(version["statistics"]["categorical"]["values"]), wanted, "categorical")


@case("API.upload_samples")
def upload_samples(world: World) -> None:
    """Rows that can't be stored never fail a request, and are listed as ingestion errors."""
    api, version = world.client.api, world.version.model_version_id
    sent = api.get_model_version_production_data(version, START, START + 1).to_dict(orient="records")[0]
    row = dict.fromkeys(FEATURES | ADDITIONAL)
    row |= {"_dc_time": sent["_dc_time"], "_dc_prediction": world.predictions[0]}
    future = {**row, "_dc_sample_id": "future", "_dc_time": "2199-01-01T00:00:00Z"}
    assert api.upload_samples(version, [future, {**row, "_dc_sample_id": IDS[0]}, {"_dc_sample_id": "short"}]) is None
    same(api.get_samples_count(version)["monitor_count"], ROWS, "nothing was stored")
    errors = api.session.get(f"connected-models/{world.model.model['id']}/ingestion-errors").json()
    same({error["sample_id"] for error in errors}, {"future", IDS[0], "short"}, "refused rows")
    assert all(error["error"] and error["model_version_id"] == version for error in errors), errors
    same(json.loads(next(error for error in errors if error["sample_id"] == "future")["sample"]), future, "as sent")
    for body, status in (([], 400), ({}, 422)):
        response = api.upload_samples(version, body, raise_on_status=False)
        same((response.status_code, "error_message" in response.json()), (status, True), str(body))
    same(api.upload_samples(ABSENT, [row], raise_on_status=False).status_code, 404)


@case("API.log_labels")
def log_labels(world: World) -> None:
    api, model = world.client.api, world.model.model["id"]
    label = {"_dc_sample_id": IDS[0], "_dc_label": world.labels[0]}
    assert api.log_labels(model, [label]) is None
    same(api.log_labels(model, [], raise_on_status=False).status_code, 400)
    same(api.log_labels(ABSENT, [label], raise_on_status=False).status_code, 404)


@case("API.upload_reference")
def upload_reference(world: World) -> None:
    api, version = world.client.api, world.client.get_model_version(world.name, "from a file").model_version_id
    document = json.dumps({"columns": ["a", "_dc_prediction"], "data": [[1.5, world.predictions[0]]]})
    api.upload_reference(version, document)
    same(api.get_samples_count(version), {"monitor_count": 0, "reference_count": 1})
    unknown = document.replace('"a"', '"not in the schema"')
    same(api.upload_reference(version, unknown, raise_on_status=False).status_code, 400, "an unknown column")
    with raising(HTTPStatusError, "4"):
        api.upload_reference(version, "no JSON")
    same(api.get_samples_count(version), {"monitor_count": 0, "reference_count": 1}, "all or nothing")


@case("API.get_model_version_production_data", "API.get_model_version_reference_data", "API.get_samples_count")
def rows(world: World) -> None:
    api, version = world.client.api, world.version.model_version_id
    same(len(api.get_model_version_production_data(version, START, END)), ROWS)
    same(len(api.get_model_version_production_data(version, 0, int(time.time()), 2)), 2)
    same(len(api.get_model_version_reference_data(version)), ROWS)
    same(api.get_samples_count(version), {"monitor_count": ROWS, "reference_count": ROWS})
    for call in (api.get_samples_count, api.get_model_version_reference_data):
        with raising(HTTPStatusError, "404"):
            call(ABSENT)


@case("API.fetch_model_version_time_window_statistics")
def statistics(world: World) -> None:
    got = world.client.api.fetch_model_version_time_window_statistics(
        world.version.model_version_id, "2026-03-01T00:00:00+00:00", "2026-03-02T00:00:00+00:00"
    )
    same(got, {"num_labeled_samples": LABELLED, "num_samples": ROWS})


@case("API.create_model_notes", "API.fetch_model_notes", "API.delete_model_note")
def notes(world: World) -> None:
    api, model = world.client.api, world.model.model["id"]
    made = api.create_model_notes(model, [{"title": "t", "text": "x"}])[0]
    same((type(made["id"]), made["title"], made["text"], made["model_id"]), (str, "t", "x", model))
    assert made in api.fetch_model_notes(model)
    api.delete_model_note(made["id"])
    assert made not in api.fetch_model_notes(model)
    same(api.create_model_notes(model, [], raise_on_status=False).status_code, 400)


@case("API.create_checks", "API.fetch_all_model_checks_by_id", "API.delete_model_checks_by_name")
def checks(world: World) -> None:
    api, model = world.client.api, world.model.model["id"]
    config = {"module_name": "deepchecks.tabular.checks", "class_name": "MixedNulls", "params": {"n_top_columns": 3}}
    made = api.create_checks(model, [{"name": "a & b", "config": config}, {"name": "c d", "config": config}])
    same([entry["name"] for entry in made], ["a & b", "c d"])
    kept = {entry["name"]: entry for entry in api.fetch_all_model_checks_by_id(model)}
    same(kept["a & b"]["config"], config, "whole object")
    assert {"id", "model_id", "docs_link", "name", "config"} <= set(kept["c d"]), kept["c d"]
    same(api.create_checks(model, [{"name": "a & b", "config": config}], raise_on_status=False).status_code, 400)
    same(api.delete_model_checks_by_name(model, ["a & b", "absent"], raise_on_status=False).status_code, 404)
    assert "a & b" in {entry["name"] for entry in api.fetch_all_model_checks_by_id(model)}, "nothing was deleted"
    api.delete_model_checks_by_name(model, ["a & b", "c d"])
    evil = {**config, "module_name": "os", "class_name": "system"}
    same(api.create_checks(model, [{"name": "evil", "config": evil}], raise_on_status=False).status_code // 100, 4)


@case("API.create_monitor", "API.fetch_monitor", "API.create_alert_rule", "API.fetch_alert_rule", "API.fetch_dashboard")
def monitors(world: World) -> None:
    api, model = world.client.api, world.model.model["id"]
    check = next(entry for entry in api.fetch_all_model_checks_by_id(model) if entry["name"] == "drift")["id"]
    new = {"name": "by api", "lookback": 86_400, "frequency": "DAY", "aggregation_window": 1, "description": None,
           "dashboard_id": api.fetch_dashboard()["id"], "additional_kwargs": None}  # fmt: skip
    made = api.create_monitor(check, new)["id"]
    kept = api.fetch_monitor(made)
    same({key: kept[key] for key in new}, {**new, "description": ""}, "the monitor")
    on_dashboard = {monitor["id"]: monitor["check"]["model_id"] for monitor in api.fetch_dashboard()["monitors"]}
    same(on_dashboard[made], model)
    rule = {"alert_severity": "high", "condition": {"operator": "greater_than_equals", "value": 0.5}}
    number = api.create_alert_rule(made, rule)["id"]
    got = api.fetch_alert_rule(number)
    same(({key: got[key] for key in rule}, got["monitor_id"]), (rule, made))
    same(api.create_alert_rule(made, {**rule, "alert_severity": "zz"}, raise_on_status=False).status_code, 422)
    same(api.create_monitor(check, {**new, "dashboard_id": ABSENT}, raise_on_status=False).status_code, 404)
    with raising(HTTPStatusError, "404"):
        api.fetch_monitor(ABSENT)
    with raising(HTTPStatusError, "404"):
        api.fetch_alert_rule(ABSENT)


@case("API.create_alert_webhook", "API.create_pager_duty_alert_webhook")
def webhooks(world: World) -> None:
    api, url = world.client.api, f"https://93.184.215.15/{world.task}"
    made = api.create_alert_webhook(f"api {world.task}", url, "POST", notification_levels=["low"])
    assert "id" in made, made
    response = api.create_alert_webhook(f"plain {world.task}", "http://no-tls.example/", "POST", raise_on_status=False)
    same(response.status_code // 100, 4, "an address without TLS")
    pager = api.create_pager_duty_alert_webhook(
        f"api pager {world.task}",
        "https://events.pagerduty.com/v2/enqueue",
        "POST",
        "routing-key-2",
        notification_levels=["low"],
    )
    assert pager["id"] != made["id"], pager


@case("API.set_schedule_time")
def set_schedule_time(world: World) -> None:
    api, model = world.client.api, world.model.model["id"]
    answer = api.set_schedule_time(model, START).json()
    same({entry["id"] for entry in answer} >= {world.seen["monitor"]}, True)
    same(api.set_schedule_time(ABSENT, START, raise_on_status=False).status_code, 404)


@case("API.delete_check_by_name", "API.fetch_all_model_checks_by_name")
def not_there(world: World) -> None:
    """Both do not work in the SDK itself."""
    with raising(NotImplementedError):
        world.client.api.delete_check_by_name()
    with raising(NotImplementedError):
        world.client.api.fetch_all_model_checks_by_name(world.name)

"""Cases of the model client."""

import inspect
import io
import json
from datetime import UTC, datetime

import pandas as pd
from cases import case, printed, raising, same, warned
from deepchecks.tabular import checks as library
from deepchecks_client.tabular.client import DeepchecksModelClient
from httpx import HTTPStatusError
from worlds import ADDITIONAL, FEATURES, IDS, IMPORTANCE, LABELLED, SCHEMA, START, World

ALIASES = ("CategoryMismatchTrainTest", "TrainTestFeatureDrift", "TrainTestPredictionDrift", "TrainTestLabelDrift")


@case("DeepchecksModelClient.version")
def version(world: World) -> None:
    model = world.model
    create = lambda: model.version("v1", SCHEMA, pd.Series(IMPORTANCE), world.classes)  # noqa: E731
    made, output = printed(create)
    assert "Model version v1 was successfully created." in output, output
    same(made.features, FEATURES, "features")
    same(made.additional_data, ADDITIONAL, "additional data")
    same(made.feature_importance, IMPORTANCE, "importance")
    same(made.model_classes, world.classes, "classes")
    same(create().model_version_id, made.model_version_id, "an existing version")
    with raising(ValueError, "does not match received features"):
        model.version("v1", {"features": {"other": "numeric"}, "additional_data": {}})
    with raising(ValueError, "schema must be provided"):
        model.version("absent")
    if "create_if_not_exists" in inspect.signature(model.version).parameters:  # earlier releases do not have it
        assert model.version("absent", create_if_not_exists=False) is None
    with raising(HTTPStatusError, "400", "_dc_sample_id"):
        model.version("bad", {"features": {"_dc_sample_id": "text"}, "additional_data": {}})
    text = io.StringIO("features: {a: numeric}\nadditional_data: {}\n")
    same(model.version("from a file", text).features, {"a": "numeric"}, "a schema in a file")
    with raising(HTTPStatusError, "422"):
        model.version("v" * 101, SCHEMA)


@case("DeepchecksModelClient.create_from_id", "DeepchecksModelClient.create_from_name")
def create_from(world: World) -> None:
    wanted = world.model.model
    same(DeepchecksModelClient.create_from_name(world.name, world.client.api).model, wanted)
    same(DeepchecksModelClient.create_from_id(wanted["id"], world.client.api).model, wanted)
    with raising(HTTPStatusError, "404"):
        DeepchecksModelClient.create_from_name("absent", world.client.api)
    with raising(HTTPStatusError, "404"):
        DeepchecksModelClient.create_from_id(2**31 - 1, world.client.api)


@case("DeepchecksModelClient.get_versions")
def get_versions(world: World) -> None:
    same(set(world.model.get_versions()), {"v1", "from a file"})


@case("DeepchecksModelClient.get_checks", "DeepchecksModelClient.add_checks")
def add_checks(world: World) -> None:
    model = world.model
    sent = {
        "drift": library.FeatureDrift(columns=["numeric"], min_samples=7),
        "nulls": library.PercentOfNulls(columns=["text"]),
        **{name: getattr(library, name)() for name in ALIASES},
    }
    _, warnings = warned(lambda: model.add_checks(sent))
    got = model.get_checks()
    for name, check in sent.items():
        same(type(got[name]), type(check), name)
        same(got[name].config(include_version=False), check.config(include_version=False), name)
    # The keys of a config are those that were sent; the library's version is dropped, as in the old system.
    configs = {entry["name"]: entry["config"] for entry in model.api.fetch_all_model_checks_by_id(model.model["id"])}
    same(configs["drift"], sent["drift"].config(include_version=False), "config as sent")
    _, warnings = warned(lambda: model.add_checks({"drift": library.FeatureDrift()}))
    assert "already exist" in warnings, warnings
    same(model.get_checks()["drift"].columns, ["numeric"], "unchanged")
    with raising(TypeError, "ReduceMixin"):
        model.add_checks({"not reducible": library.ConfusionMatrixReport()})
    with raising(Exception, "unsupported"):
        model.add_checks({"drift": library.FeatureDrift()}, force_replace=True)


@case("DeepchecksModelClient.delete_checks")
def delete_checks(world: World) -> None:
    names = ["nulls", *ALIASES]
    _, output = printed(lambda: world.model.delete_checks(names))
    assert f"The following checks were successfully deleted: {names}" in output, output
    assert not set(names) & set(world.model.get_checks())
    with raising(HTTPStatusError, "422"):
        warned(lambda: world.model.delete_checks(["absent"]))


@case("DeepchecksModelClient.add_monitor")
def add_monitor(world: World) -> None:
    seconds = {"HOUR": 7, "DAY": 30, "WEEK": 90, "MONTH": 365}
    for frequency, stored in (("hour", "HOUR"), ("Day", "DAY"), (604_800, "WEEK"), ("MONTH", "MONTH")):
        monitor = world.model.add_monitor("drift", frequency, add_to_dashboard=frequency == "hour")
        kept = world.client.api.fetch_monitor(monitor)
        same(
            (kept["name"], kept["frequency"], kept["lookback"], kept["aggregation_window"], kept["check"]["name"]),
            ("drift Monitor", stored, seconds[stored] * 86_400, 1, "drift"), stored,
        )  # fmt: skip
        same(kept["dashboard_id"] is not None, frequency == "hour", "on the dashboard")
    world.seen["monitor"] = monitor
    chosen = {"res_conf": None, "check_conf": {"aggregation method": ["mean"]}}
    monitor = world.model.add_monitor("drift", "day", 3, 86_400 * 9, "named", "described", False, chosen)
    kept = world.client.api.fetch_monitor(monitor)
    same(
        (kept["name"], kept["description"], kept["aggregation_window"], kept["lookback"], kept["additional_kwargs"]),
        ("named", "described", 3, 86_400 * 9, chosen),
    )  # fmt: skip
    with raising(ValueError, "does not exist"):
        world.model.add_monitor("absent", "day")
    with raising(ValueError, "minute"):
        world.model.add_monitor("drift", "minute")


@case("DeepchecksModelClient.add_alert_rule")
def add_alert_rule(world: World) -> None:
    rule = world.model.add_alert_rule("drift", 0.25, "week", "critical", 2, monitor_name="of a rule")
    kept = world.client.api.fetch_alert_rule(rule)
    same((kept["condition"], kept["alert_severity"]), ({"operator": "greater_than", "value": 0.25}, "critical"))
    monitor = world.client.api.fetch_monitor(kept["monitor_id"])
    same((monitor["name"], monitor["frequency"], monitor["aggregation_window"]), ("of a rule", "WEEK", 2))
    with raising(ValueError, "severity"):
        world.model.add_alert_rule("drift", 0.25, "week", "mid")


@case("DeepchecksModelClient.add_alert_rule_on_existing_monitor")
def add_alert_rule_on_existing_monitor(world: World) -> None:
    rule = world.model.add_alert_rule_on_existing_monitor(world.seen["monitor"], -0.5, greater_than=False)
    kept = world.client.api.fetch_alert_rule(rule)
    same((kept["monitor_id"], kept["alert_severity"]), (world.seen["monitor"], "medium"))
    same(kept["condition"], {"operator": "less_than", "value": -0.5})
    with raising(HTTPStatusError, "404"):
        world.model.add_alert_rule_on_existing_monitor(2**31 - 1, 1)


@case("DeepchecksModelClient.add_alert_webhook")
def add_alert_webhook(world: World) -> None:
    name, levels = f"hook {world.task}", ["critical", "low"]
    url = f"https://93.184.215.14/{world.task}"
    made = world.model.add_alert_webhook(name, url, "POST", "described", {"x-key": "secret value"}, levels)
    kept = world.client.api.session.get(f"alert-webhooks/{made}").json()
    same((kept["id"], kept["name"], kept["http_url"], kept["description"]), (made, name, url, "described"))
    same(sorted(kept["notification_levels"]), sorted(levels), "levels")
    assert "secret value" not in json.dumps(kept), kept
    with raising(ValueError, "http method"):
        world.model.add_alert_webhook(name, url, "PUT", notification_levels=levels)
    with raising(HTTPStatusError, "40"):
        world.model.add_alert_webhook(name, url, "POST", notification_levels=levels)
    with raising(HTTPStatusError, "4"):
        world.model.add_alert_webhook("inside", "https://127.0.0.1/", "POST", notification_levels=levels)
    with raising(TypeError):  # a fault of the SDK: it iterates None
        world.model.add_alert_webhook("no levels", url, "POST")


@case("DeepchecksModelClient.add_pager_duty_alert_webhook")
def add_pager_duty_alert_webhook(world: World) -> None:
    made = world.model.add_pager_duty_alert_webhook(
        f"pager {world.task}", "https://events.pagerduty.com/v2/enqueue", "POST", "routing-key-1", "described",
        notification_levels=["high"], event_class="class",
    )  # fmt: skip
    kept = world.client.api.session.get(f"alert-webhooks/{made}").json()
    same((kept["kind"], kept["notification_levels"]), ("PAGER_DUTY", ["high"]))
    assert "routing-key-1" not in json.dumps(kept), kept


@case("DeepchecksModelClient.add_notes", "DeepchecksModelClient.get_notes", "DeepchecksModelClient.delete_note")
def notes(world: World) -> None:
    before = world.model.get_notes()
    made = world.model.add_notes([{"title": "t 😀", "text": "x\ny"}, {"title": "no text"}])
    same([(note["title"], note["text"]) for note in made], [("t 😀", "x\ny"), ("no text", None)])
    same(len(world.model.get_notes()), len(before) + 2)
    for note in made:
        world.model.delete_note(note["id"])
    same(world.model.get_notes(), before, "after the deletion")
    with raising(HTTPStatusError, "400"):
        world.model.add_notes([])
    with raising(HTTPStatusError, "404"):
        world.model.delete_note(made[0]["id"])


@case("DeepchecksModelClient.log_batch_labels")
def log_batch_labels(world: World) -> None:
    _, output = printed(
        lambda: world.model.log_batch_labels(IDS[: LABELLED - 1], world.labels[: LABELLED - 1], samples_per_send=3)
    )
    assert "3 labels sent." in output, output
    assert "2 labels sent." in output, output
    with raising(ValueError, "empty"):
        world.model.log_batch_labels([], [])
    with raising(ValueError, "equal"):
        world.model.log_batch_labels(["a"], [])


@case("DeepchecksModelClient.log_label", "DeepchecksModelClient.send")
def log_label(world: World) -> None:
    model, number = world.model, LABELLED - 1
    _, output = printed(model.send)
    same(output, "", "nothing to send")
    model.log_label(IDS[number], world.labels[number])
    model.log_label(IDS[LABELLED], None)
    _, output = printed(model.send)
    assert "2 labels sent." in output, output


@case("DeepchecksModelClient.set_schedule_time")
def set_schedule_time(world: World) -> None:
    model = world.model
    for moment in (START, datetime.fromtimestamp(START, UTC), "2026-03-01T00:00:00Z"):
        response = model.set_schedule_time(model.model["id"], moment)
        same(response.status_code, 200)
        assert {"id", "latest_schedule"} <= set(response.json()[0]), response.text
    with raising(HTTPStatusError, "404"):
        model.set_schedule_time(2**31 - 1, START)

"""Cases of DeepchecksClient."""

from cases import case, printed, raising, same, warned
from deepchecks.tabular import Dataset
from deepchecks_client import DeepchecksClient
from httpx import ConnectError, HTTPStatusError
from worlds import World, frame

DEFAULTS = {
    "Feature Drift", "Prediction Drift", "Label Drift", "Percent Of Nulls", "New Category Train-Test", "Mixed Nulls",
    "String Mismatch", "Performance",
}  # fmt: skip


@case("DeepchecksClient.get_or_create_model")
def get_or_create_model(world: World) -> None:
    create = world.client.get_or_create_model
    model, output = printed(
        lambda: create(
            world.name, world.task, "described", alerts_delay_labels_ratio=0.5, alerts_delay_seconds=60,
            model_notes=[{"title": "first", "text": "note"}], monitoring_frequency="hour",
        )
    )  # fmt: skip
    assert f"Model {world.name} was successfully created!" in output, output
    wanted = DEFAULTS | (set() if world.task == "regression" else {"New Label Train-Test"})
    same(set(model.get_checks()), wanted, "default checks")
    same([(note["title"], note["text"]) for note in model.get_notes()], [("first", "note")], "notes")
    kept = model.api.fetch_model_by_id(model.model["id"])
    same((kept["name"], kept["task_type"], kept["description"]), (world.name, world.task, "described"), "the model")
    same((kept["alerts_delay_labels_ratio"], kept["alerts_delay_seconds"]), (0.5, 60), "the delay")
    same(create(world.name, world.task, "described").model["id"], model.model["id"], "an existing model")
    with raising(ValueError, "different task type"):
        create(world.name, "binary" if world.task != "binary" else "multiclass")
    with raising(ValueError, "different description"):
        create(world.name, description="another")
    with raising(ValueError, "task_type must be provided"):
        create("absent")
    with raising(HTTPStatusError, "422"):
        create("n" * 51, world.task)
    slashes = f"a/b c {world.task}"
    same(create(slashes, world.task, create_model_defaults=False).model["name"], slashes, "a name with a slash")
    world.client.delete_model(slashes)


@case("DeepchecksClient.get_model_version")
def get_model_version(world: World) -> None:
    got = world.client.get_model_version(world.name, "v1")
    same(got.model_version_id, world.model.get_versions()["v1"])
    with raising(ValueError, "does not"):
        world.client.get_model_version(world.name, "v9")
    with raising(ValueError, "does not"):
        world.client.get_model_version("absent", "v1")


@case("DeepchecksClient.create_tabular_model_version")
def create_tabular_model_version(world: World) -> None:
    data = frame()[["numeric", "categorical"]]
    dataset = Dataset(
        data.assign(label=world.labels), label="label", cat_features=["categorical"], label_type=world.task
    )
    schema = {"features": {"numeric": "numeric", "categorical": "categorical"}, "additional_data": {}}
    name = f"tabular {world.task}"
    version, output = printed(
        lambda: world.client.create_tabular_model_version(
            name, schema, "first", dataset, world.predictions, world.probabilities, {"numeric": 1, "categorical": 0},
            description="d", model_classes=world.classes, create_model_defaults=False,
        )
    )  # fmt: skip
    assert "Reference data uploaded." in output, output
    same(version.model["task_type"], world.task, "the inferred task")
    same(len(version.get_reference_data()), len(data), "reference rows")
    same(dict(version.get_feature_importance()), {"numeric": 1, "categorical": 0}, "importance")


@case("DeepchecksClient.delete_model_version")
def delete_model_version(world: World) -> None:
    name = f"tabular {world.task}"
    _, output = printed(lambda: world.client.delete_model_version(name, "first"))
    assert "first" in output, output
    same(world.client.get_or_create_model(name).get_versions(), {})
    with raising(Exception, "first"):
        world.client.delete_model_version(name, "first")


@case("DeepchecksClient.delete_model")
def delete_model(world: World) -> None:
    name = f"tabular {world.task}"
    _, output = printed(lambda: world.client.delete_model(name))
    assert name in output, output
    with raising(Exception, name):
        world.client.delete_model(name)


@case("DeepchecksClient.add_monitor")
def add_monitor(world: World) -> None:
    monitor = world.client.add_monitor(world.name, "Mixed Nulls", 86_400, name="by client", lookback=7 * 86_400)
    kept = world.client.api.fetch_monitor(monitor)
    same((kept["name"], kept["frequency"], kept["lookback"]), ("by client", "DAY", 7 * 86_400))
    with raising(ValueError, "does not exist"):
        world.client.add_monitor(world.name, "absent", 86_400)


@case("DeepchecksClient.add_alert_rule")
def add_alert_rule(world: World) -> None:
    rule = world.client.add_alert_rule(world.name, "Mixed Nulls", 0.5, 3_600, "low", greater_than=False)
    kept = world.client.api.fetch_alert_rule(rule)
    same((kept["condition"], kept["alert_severity"]), ({"operator": "less_than", "value": 0.5}, "low"))


@case("API.instantiate")
def instantiate(world: World) -> None:
    api = type(world.client.api).instantiate(f"{world.host}/a/prefix/", world.token)
    same(api.retrieve_backend_version(), world.client.api.retrieve_backend_version(), "a prefix in the host is dropped")
    for token in ("dcm_wrong", "two words", None):
        with raising(HTTPStatusError, "Server not available", "401", "error_message"):
            DeepchecksClient(world.host, token)
    with raising(ConnectError):
        DeepchecksClient("http://127.0.0.1:9", world.token)
    with raising(ValueError, "host or api"):
        DeepchecksClient()


@case("API.retrieve_backend_version", "API.say_hello")
def retrieve_backend_version(world: World) -> None:
    client, warnings = warned(lambda: DeepchecksClient(world.host, world.token))
    assert "client version" not in warnings, warnings
    assert client.api.say_hello() is None
    same(client.api.say_hello(raise_on_status=False).json(), "Hello world")
    assert client.api.retrieve_backend_version()[:2] == "0.", client.api.retrieve_backend_version()

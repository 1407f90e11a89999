"""Cases of the version client."""

from datetime import UTC, datetime

import numpy as np
from cases import case, printed, raising, same, warned
from httpx import HTTPStatusError
from worlds import ADDITIONAL, END, FEATURES, IDS, IMPORTANCE, LABELLED, ROWS, START, VALUES, World, column, frame

HALF = ROWS // 2


@case("DeepchecksModelVersionClient.log_batch")
def log_batch(world: World) -> None:
    probabilities = world.probabilities
    arguments = {
        "sample_ids": np.array(IDS[:-1]),
        "data": frame()[:-1].assign(not_in_the_schema=1),
        "predictions": np.array(world.predictions[:-1]),
        "prediction_probas": None if probabilities is None else probabilities[:-1],
        "timestamps": [START + number for number in range(ROWS - 1)],
        "samples_per_send": 3,
    }
    version = world.version
    (_, output), warnings = warned(lambda: printed(lambda: version.log_batch(**arguments)))
    assert f"see {world.host}/configuration/models for status" in output, output
    assert output.count("3 new samples sent.") == 2, output
    assert "not_in_the_schema" in warnings, warnings
    same(world.client.api.get_samples_count(version.model_version_id)["monitor_count"], ROWS - 1)
    warned(lambda: version.log_batch(**arguments))  # the same rows again are duplicates
    same(world.client.api.get_samples_count(version.model_version_id)["monitor_count"], ROWS - 1, "duplicates")
    for change, text in (
        ({"sample_ids": np.array([])}, "cannot be empty"),
        ({"sample_ids": np.array(["a"] * (ROWS - 1))}, "unique"),
        ({"predictions": world.predictions}, "same number"),
        ({"data": frame()[["numeric"]][:-1]}, "missing"),
        ({"samples_per_send": 0}, "samples_per_send"),
    ):
        with raising(ValueError, text):
            warned(lambda change=change: version.log_batch(**arguments | change))
    if world.classes is not None:
        with raising(ValueError, "not in allowed model classes"):
            warned(lambda: version.log_batch(**arguments | {"predictions": ["other"] * (ROWS - 1)}))


@case("DeepchecksModelVersionClient.log_sample", "DeepchecksModelVersionClient.send")
def log_sample(world: World) -> None:
    version, last = world.version, ROWS - 1
    values = {name: VALUES[kind][last] for name, kind in (FEATURES | ADDITIONAL).items()}
    probabilities = None if world.classes is None else list(world.probabilities[last])
    version.log_sample(values, IDS[last], world.predictions[last], START + last, probabilities)
    _, output = printed(version.send)
    assert "1 new samples sent." in output, output
    same(printed(version.send)[1], "", "nothing to send")
    with raising(Exception, "numeric"):
        version.log_sample({**values, "numeric": "text"}, "bad", world.predictions[0], START)
    with raising(ValueError, "integer timestamps"):
        version.log_sample(values, "bad", world.predictions[0], datetime.now(UTC))


@case("DeepchecksModelVersionClient.get_production_data")
def get_production_data(world: World) -> None:
    version, expected = world.version, world.expected_rows()
    for start, end in (
        (START, END),
        (datetime.fromtimestamp(START, UTC), datetime.fromtimestamp(END, UTC)),
        ("2026-03-01T00:00:00Z", "2026-03-01T01:00:00+00:00"),
    ):
        rows = version.get_production_data(start, end).to_dict(orient="records")
        same({row["_dc_sample_id"] for row in rows}, set(IDS), "the ids")
        for row in rows:
            for name, value in expected[row["_dc_sample_id"]].items():
                same(row[name], value, f"{name} of {row['_dc_sample_id']}")
            same(set(row), set(expected[row["_dc_sample_id"]]), "the columns")
    got = version.get_production_data(START, END)
    same(list(got.columns)[-1], "_dc_label", "the last column")
    same(list(got.columns)[:-1], sorted(got.columns[:-1]), "the order of columns")
    same(len(version.get_production_data(START, END, rows_count=3)), 3, "rows_count")
    same(len(version.get_production_data(0, 1)), 0, "an empty window")
    with raising(HTTPStatusError, "422"):
        version.get_production_data(END, START)
    _filters(world)
    dataset, predictions, probabilities = version.get_production_data(START, END, deepchecks_format=True)
    same(sorted(dataset.features), sorted(FEATURES), "deepchecks_format")
    same((len(predictions), probabilities is None), (ROWS, world.classes is None))


def _filters(world: World) -> None:
    def count(name: str, operator: str, value: object) -> int:
        filters = [{"column": name, "operator": operator, "value": value}]
        return len(world.version.get_production_data(START, END, filters=filters))

    numbers = [value for value in VALUES["numeric"] if value is not None]
    for suffix in ("", "_2"):
        name = f"numeric{suffix}"
        same(count(name, "greater_than", 0.1), sum(value > 0.1 for value in numbers), ">")
        same(count(name, "greater_than_equals", 0.1), sum(value >= 0.1 for value in numbers), ">=")
        same(count(name, "less_than", 0.1), sum(value < 0.1 for value in numbers), "<")
        same(count(name, "less_than_equals", 0.1), sum(value <= 0.1 for value in numbers), "<=")
        same(count(name, "equals", 1.5), 1, "=")
        same(count(f"categorical{suffix}", "equals", "a"), 2, "a category")
        same(count(f"categorical{suffix}", "in", ["a", "b"]), 3, "in")
        assert count(f"categorical{suffix}", "not_equals", "a") in (ROWS - 2, ROWS - 3), "not_equals"
        same(count(f"boolean{suffix}", "equals", True), VALUES["boolean"].count(True), "a boolean")
    with raising(HTTPStatusError, "400", "absent"):
        count("absent", "equals", 1)


@case("DeepchecksModelVersionClient.upload_reference", "DeepchecksModelVersionClient.get_reference_data")
def upload_reference(world: World) -> None:
    version = world.version
    same(len(version.get_reference_data()), 0, "no reference yet")
    with raising(ValueError, "same number"):
        version.upload_reference(world.reference(), world.predictions[:-1])
    _, output = printed(
        lambda: version.upload_reference(world.reference(), world.predictions, world.probabilities, HALF)
    )
    assert "Reference data uploaded." in output, output
    got = version.get_reference_data().to_dict(orient="records")
    same(len(got), ROWS, "rows")
    positions = {value: number for number, value in enumerate(VALUES["bigint"])}
    for row in got:
        number = positions[row["bigint"]]
        for name, kind in (FEATURES | ADDITIONAL).items():
            wanted = column(name, VALUES[kind])[number]
            # pandas' to_json sends 10 digits, and no number as small as 5e-324.
            if kind == "numeric" and wanted is not None:
                assert np.isclose(row[name], wanted, rtol=1e-9, atol=1e-15), (name, row[name], wanted)
            else:
                same(row[name], wanted, f"{name} of the reference")
        same((row["_dc_prediction"], row["_dc_label"]), (world.predictions[number], world.labels[number]))
    with raising(ValueError, "not possible to replace reference data"):
        version.upload_reference(world.reference(), world.predictions, world.probabilities)
    filters = [{"column": "categorical", "operator": "equals", "value": "a"}]
    same(len(version.get_reference_data(filters=filters)), 2, "filtered")
    same(len(version.get_reference_data(rows_count=2)), 2, "rows_count")
    dataset, predictions, _ = version.get_reference_data(deepchecks_format=True)
    same((len(dataset), len(predictions)), (ROWS, ROWS), "deepchecks_format")


@case("DeepchecksModelVersionClient.time_window_statistics")
def time_window_statistics(world: World) -> None:
    version = world.version
    same(version.time_window_statistics(), {"num_labeled_samples": LABELLED, "num_samples": ROWS})
    same(version.time_window_statistics(START, START + 2), {"num_labeled_samples": 2, "num_samples": 2})
    same(version.time_window_statistics(0, START), {"num_labeled_samples": 0, "num_samples": 0})


@case("DeepchecksModelVersionClient.validate")
def validate(world: World) -> None:
    version = world.version
    assert version.validate(FEATURES, ADDITIONAL, IMPORTANCE, world.classes) is None
    with raising(ValueError, "feature importance"):
        version.validate(feature_importance={"numeric": 1})
    with raising(ValueError, "additional data"):
        version.validate(additional_data={"a": "numeric"})
    with raising(ValueError, "model classes"):
        version.validate(model_classes=["a", "b"])


@case("DeepchecksModelVersionClient.get_feature_importance", "DeepchecksModelVersionClient.set_feature_importance")
def feature_importance(world: World) -> None:
    same(dict(world.version.get_feature_importance()), IMPORTANCE)
    free = world.client.get_model_version(world.name, "from a file")
    assert free.get_feature_importance() is None
    _, output = printed(lambda: free.set_feature_importance({"a": 0.75}))
    assert 'Feature importance of "from a file" model version was updated.' in output, output
    again = type(free)(free.model_version_id, free.model, free.api)
    same(dict(again.get_feature_importance()), {"a": 0.75}, "importance")
    with raising(ValueError, "must contain all features"):
        free.set_feature_importance({})
    with raising(ValueError, "production data and existing monitors"):
        world.version.set_feature_importance(IMPORTANCE)

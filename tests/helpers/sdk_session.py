"""Use the official, unmodified SDK as in a first hour, and print the results as JSON.

It is run by the SDK's own Python. Usage: python sdk_session.py HOST TOKEN TASK_TYPE
"""

import json
import sys
import warnings
from datetime import UTC, datetime

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from deepchecks.tabular import Dataset  # noqa: E402
from deepchecks.tabular.checks import FeatureDrift, PercentOfNulls  # noqa: E402
from deepchecks_client import DeepchecksClient  # noqa: E402

ROWS = 1_200
START = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
CLASSES = {"binary": ["0", "1"], "multiclass": ["blue", "green", "red"], "regression": None}


def frame(rows: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": generator.normal(40, 9, rows),
            "visits": generator.integers(0, 20, rows),
            "job": generator.choice(["cook", "nurse", "pilot"], rows),
        }
    )


def outputs(task: str, rows: int, seed: int) -> tuple:
    """Predictions, probabilities and labels."""
    generator = np.random.default_rng(seed)
    if task == "regression":
        values = generator.normal(10, 3, rows)
        return values, None, values + generator.normal(0, 1, rows)
    classes = CLASSES[task]
    probabilities = generator.dirichlet(np.ones(len(classes)), rows)
    predictions = np.array(classes)[probabilities.argmax(axis=1)]
    return predictions, probabilities, np.where(generator.random(rows) < 0.8, predictions, classes[0])


def session(host: str, token: str, task: str) -> dict:
    seen: dict = {}
    client = DeepchecksClient(host=host, token=token)
    model = client.get_or_create_model(f"sdk-{task}", task, "what the SDK does", create_model_defaults=True)
    again = client.get_or_create_model(f"sdk-{task}", task, "what the SDK does")
    seen["same_model"] = model.model["id"] == again.model["id"]
    schema = {"features": {"age": "numeric", "visits": "integer", "job": "categorical"}, "additional_data": {}}
    importance = {"age": 0.5, "visits": 0.3, "job": 0.2}
    version = model.version("v1", schema=schema, feature_importance=importance, model_classes=CLASSES[task])
    seen["same_version"] = client.get_model_version(f"sdk-{task}", "v1").model_version_id == version.model_version_id

    reference, (predictions, probabilities, labels) = frame(ROWS, 1), outputs(task, ROWS, 2)
    data = Dataset(reference.assign(label=labels), label="label", cat_features=["job"], label_type=task)
    version.upload_reference(data, predictions=predictions, prediction_probas=probabilities)
    seen["reference_rows"] = len(version.get_reference_data(rows_count=5_000))

    production, (predictions, probabilities, labels) = frame(ROWS, 3), outputs(task, ROWS, 4)
    ids = np.array([f"s{number}" for number in range(ROWS)])
    times = np.array([START + 300 * number for number in range(ROWS)])
    version.log_batch(
        sample_ids=ids, data=production, timestamps=times, predictions=predictions, prediction_probas=probabilities,
        samples_per_send=500,
    )  # fmt: skip
    model.log_batch_labels(sample_ids=ids[:1_000], labels=labels[:1_000])
    version.log_sample(sample_id="one", values={"age": 1.0, "visits": 2, "job": "cook"}, timestamp=START,
                       prediction=predictions[0],
                       prediction_proba=None if probabilities is None else list(probabilities[0]))  # fmt: skip
    version.send()

    start, end = datetime.fromtimestamp(START, UTC), datetime.fromtimestamp(START + 10**7, UTC)
    got = version.get_production_data(start_time=start, end_time=end, rows_count=5_000)
    seen["production_rows"], seen["production_columns"] = len(got), sorted(map(str, got.columns))
    seen["labelled_rows"] = int(got["_dc_label"].notna().sum())
    seen["statistics"] = version.time_window_statistics(start_time=start, end_time=end)

    seen["checks"] = sorted(model.get_checks())
    model.add_checks({"Nulls of age": PercentOfNulls(), "Drift of age": FeatureDrift(columns=["age"])})
    monitor = model.add_monitor(check_name="Drift of age", frequency="day", name="Age drifts")
    seen["rule"] = model.add_alert_rule_on_existing_monitor(monitor, threshold=0.2, alert_severity="high")
    seen["monitor"] = monitor
    model.delete_checks(["Nulls of age"])
    seen["checks_after"] = sorted(model.get_checks())
    model.add_notes([{"title": "a note", "text": "its text"}])
    seen["notes"] = [note["title"] for note in model.get_notes()]
    seen["versions"] = model.get_versions()
    return seen


if __name__ == "__main__":
    print(json.dumps(session(*sys.argv[1:4]), default=str))

"""Send good and bad rows with the official SDK, and print the answers, which the SDK ignores, as JSON.

It is run by the SDK's own Python. Usage: python sdk_answers_session.py HOST TOKEN
"""

import json
import sys
import warnings
from datetime import UTC, datetime

warnings.filterwarnings("ignore")

from deepchecks_client import DeepchecksClient  # noqa: E402

TIME = datetime(2026, 3, 1, tzinfo=UTC).isoformat()


def sample(number: int, **values: object) -> dict:
    return {"_dc_sample_id": f"s{number}", "_dc_time": TIME, "_dc_prediction": "1", "age": 40.0, **values}


def session(host: str, token: str) -> dict:
    client = DeepchecksClient(host=host, token=token)
    model = client.get_or_create_model("answers", "binary", "", create_model_defaults=False)
    schema = {"features": {"age": "numeric"}, "additional_data": {}}
    version = model.version("v1", schema=schema, model_classes=["0", "1"])
    version_id, model_id = version.model_version_id, model.model["id"]
    early = client.api.log_labels(model_id, [{"_dc_sample_id": "s1", "_dc_label": "1"}], raise_on_status=False)
    rows = [sample(1), sample(2), sample(2), sample(3, age="forty"), sample(4, _dc_prediction="maybe")]
    logged = client.api.upload_samples(version_id, rows, raise_on_status=False)
    ignored = client.api.upload_samples(version_id, rows)
    version.log_sample(
        sample_id="s9", values={"age": 1.0}, timestamp=int(datetime.now(UTC).timestamp()), prediction="0"
    )
    version.send()
    return {"labels": early.json(), "samples": logged.json(), "ignored": ignored}


if __name__ == "__main__":
    print(json.dumps(session(*sys.argv[1:3])))

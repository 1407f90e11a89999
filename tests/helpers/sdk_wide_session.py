"""Log rows of 1,000 numeric features with the official, unmodified SDK, and print what it reads back as JSON.

It is run by the SDK's own Python. Usage: python sdk_wide_session.py HOST TOKEN
"""

import json
import sys
import warnings
from datetime import UTC, datetime

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from deepchecks.tabular import Dataset  # noqa: E402
from deepchecks_client import DeepchecksClient  # noqa: E402

FEATURES = [f"feature_{number}" for number in range(1_000)]
ROWS = 40
START = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())


def frame() -> pd.DataFrame:
    """Return a number for each row and feature, all of them different, with some missing."""
    values = np.arange(ROWS * len(FEATURES), dtype=float).reshape(ROWS, -1) / 8
    values[::7, ::5] = np.nan
    return pd.DataFrame(values, columns=FEATURES)


def session(host: str, token: str) -> dict:
    client = DeepchecksClient(host=host, token=token)
    model = client.get_or_create_model("sdk-wide", "binary", "many features", create_model_defaults=True)
    schema = {"features": dict.fromkeys(FEATURES, "numeric"), "additional_data": {}}
    version = model.version("v1", schema=schema, model_classes=["0", "1"])
    production, predictions = frame(), np.array(["0", "1"] * (ROWS // 2))
    data = Dataset(production.assign(label=predictions), label="label", cat_features=[], label_type="binary")
    version.upload_reference(data, predictions=predictions)
    version.log_batch(
        sample_ids=np.array([f"s{number}" for number in range(ROWS)]), data=production, predictions=predictions,
        timestamps=np.array([START + 300 * number for number in range(ROWS)]), samples_per_send=15,
    )  # fmt: skip
    start, end = datetime.fromtimestamp(START, UTC), datetime.fromtimestamp(START + 10**7, UTC)
    got = version.get_production_data(start_time=start, end_time=end, rows_count=5_000)
    got = got.sort_values("_dc_time")[FEATURES].astype(float)
    reference = version.get_reference_data(rows_count=5_000)
    return {
        "is_same": bool(np.array_equal(got.to_numpy(), production.to_numpy(), equal_nan=True)),
        "reference_shape": list(reference[FEATURES].shape),
        "reference_sum": float(np.nansum(reference[FEATURES].astype(float).to_numpy())),
        "sent_sum": float(np.nansum(production.to_numpy())),
    }


if __name__ == "__main__":
    print(json.dumps(session(*sys.argv[1:3])))

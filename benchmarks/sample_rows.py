"""Random samples as the SDK sends them."""

import json
import random
from datetime import UTC, datetime, timedelta

NUMERIC, CATEGORICAL = [f"n{number}" for number in range(15)], [f"c{number}" for number in range(5)]
FEATURES = dict.fromkeys(NUMERIC, "numeric") | dict.fromkeys(CATEGORICAL, "categorical")
CLASSES = ["a", "b", "c"]
START = datetime(2026, 3, 1, tzinfo=UTC)


def make_rows(first: int, count: int, days: int = 30, total: int | None = None) -> list[bytes]:
    """Return `count` samples in JSON, from number `first` on.

    Each has 15 numeric and 5 categorical features and three probabilities: some 670 bytes. The times of `total` samples
    (by default `count`) are spread evenly over `days` days.
    """
    generator = random.Random(first)
    step = timedelta(days=days) / max(1, total or count)
    offset = first % total if total else 0
    return [_make_row(first + number, START + step * (offset + number), generator) for number in range(count)]


def _make_row(number: int, time: datetime, generator: random.Random) -> bytes:
    share = generator.random()
    row = {"_dc_sample_id": f"sample-{number:012d}", "_dc_time": time.isoformat()}
    row |= {name: None if generator.random() < 0.02 else generator.gauss(0, 1) for name in NUMERIC}
    row |= {name: f"category-{generator.randrange(8)}" for name in CATEGORICAL}
    row |= {"_dc_prediction_probabilities": [share, (1 - share) / 2, (1 - share) / 2]}
    return json.dumps(row | {"_dc_prediction": generator.choice(CLASSES)}).encode()

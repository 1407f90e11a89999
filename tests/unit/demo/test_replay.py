"""The replay of a year of flights, day by day."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from dcmon.demo import config
from dcmon.demo.flights import FEATURES
from dcmon.demo.replay import Replay, Step, make_replay, reference_rows


@pytest.fixture(scope="module")
def full_replay(predicted: pd.DataFrame) -> Replay:
    return make_replay(predicted)


@pytest.fixture(scope="module")
def steps(full_replay: Replay) -> list[Step]:
    return list(full_replay.steps())


def test_each_flight_is_sent_once(predicted: pd.DataFrame, full_replay: Replay, steps: list[Step]) -> None:
    sent = Counter(row["_dc_sample_id"] for step in steps for row in step.samples)
    assert set(sent.values()) == {1}
    assert set(sent) == set(predicted["sample_id"])
    assert full_replay.samples == len(sent)


def test_each_label_is_sent_once(predicted: pd.DataFrame, full_replay: Replay, steps: list[Step]) -> None:
    sent = Counter(row["_dc_sample_id"] for step in steps for row in step.labels)
    assert set(sent.values()) == {1}
    assert set(sent) == set(predicted.loc[predicted["late"].notna(), "sample_id"])
    assert full_replay.labels == len(sent)
    assert {row["_dc_label"] for step in steps for row in step.labels} == {"0", "1"}


def test_samples_are_sent_in_order_of_time_within_their_day(steps: list[Step]) -> None:
    times = [row["_dc_time"] for step in steps for row in step.samples]
    assert times == sorted(times)
    for step in steps:
        assert {row["_dc_time"][:10] for row in step.samples} <= {step.day.isoformat()}
        assert step.until == datetime(*step.day.timetuple()[:3], tzinfo=UTC) + timedelta(days=1)


def test_labels_are_sent_after_their_samples(steps: list[Step]) -> None:
    seen: set[str] = set()
    for step in steps:
        assert {row["_dc_sample_id"] for row in step.labels} <= seen
        seen |= {row["_dc_sample_id"] for row in step.samples}


def test_number_of_steps_is_known_in_advance(full_replay: Replay, steps: list[Step]) -> None:
    assert len(full_replay) == len(steps)
    assert (steps[0].day, steps[-1].day) == (full_replay.first, full_replay.last)
    assert steps[-1].labels


def test_replay_can_continue_at_a_day(full_replay: Replay, steps: list[Step]) -> None:
    half = steps[len(steps) // 2]
    again = full_replay.steps(half.day)
    assert [next(again) for _ in range(20)] == steps[len(steps) // 2 :][:20]
    assert list(full_replay.steps(full_replay.last)) == steps[-1:]
    assert next(full_replay.steps(full_replay.first - timedelta(days=9))) == steps[0]


def test_rows_have_the_format_of_the_sdk(steps: list[Step]) -> None:
    row = steps[0].samples[0]
    output = ["_dc_time", "_dc_prediction_probabilities", "_dc_prediction"]
    assert list(row) == ["_dc_sample_id", *FEATURES, *output]
    assert row["_dc_time"].endswith("Z")
    assert sum(row["_dc_prediction_probabilities"]) == pytest.approx(1)
    assert type(row["hour"]) is int
    assert list(steps[5].labels[0]) == ["_dc_sample_id", "_dc_label"]
    json.dumps([step.samples for step in steps[:30]], allow_nan=False)


def test_every_day_reaches_the_label_ratio(predicted: pd.DataFrame) -> None:
    share = predicted["late"].notna().groupby(predicted["time"].dt.floor("D")).mean()
    assert config.LABEL_RATIO < share.min() < config.LABEL_RATIO + 0.05


def test_reference_has_no_label_for_cancelled_flights(predicted: pd.DataFrame) -> None:
    """The fields of the reference have the names of the SDK."""
    rows = reference_rows(predicted.head(3000))
    assert list(rows) == [*FEATURES, "_dc_label", "_dc_prediction", "_dc_prediction_probabilities"]
    document = json.loads(rows.to_json(orient="split", index=False))
    cancelled = predicted.head(3000)["late"].isna().to_numpy().nonzero()[0][0]
    assert document["data"][cancelled][-3] is None
    assert document["data"][0][-3] in ("0", "1")

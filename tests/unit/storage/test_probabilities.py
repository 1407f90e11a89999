"""Percent becomes probabilities where it is certain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.storage import pg_copy, probabilities
from tests.helpers.examples import examples


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        ([20, 80], [0.2, 0.8]),
        ([33.3, 33.3, 33.3], [0.333, 0.333, 0.333]),
        ([0.2, 0.8], [0.2, 0.8]),
        ([0.5, 0.4], [0.5, 0.4]),
        ([20, 90], [20, 90]),
        ([-20, 120], [-20, 120]),
        ([1.0] * 100, [1.0] * 100),  # not normalized: scores of 100 classes
        ([], []),
    ],
)
def test_percent_is_divided_only_if_it_is_certain(sent: list[float], wanted: list[float]) -> None:
    assert probabilities.share(sent) == pytest.approx(wanted)


@given(st.lists(st.tuples(*[st.sampled_from([0.0, 0.2, 0.8, 20.0, 80.0, 100.0, -1.0])] * 2), max_size=9))
@settings(max_examples=examples(100))
def test_rows_are_encoded_like_single_rows(rows: list[tuple[float, float]]) -> None:
    lists = [list(row) for row in rows]
    vectors = probabilities.shares(np.array(lists, np.float64).reshape(-1, 2))
    assert vectors.tolist() == [probabilities.share(row) for row in lists]
    encoder, plain = pg_copy.Encoder([pg_copy.PROBABILITIES]), pg_copy.Encoder(["array_float"])
    column = [*lists, None] if len(lists) % 2 else lists
    assert encoder.encode([(row,) for row in column]) == plain.encode(
        [(None if row is None else probabilities.share(row),) for row in column]
    )

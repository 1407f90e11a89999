"""Statistics of columns can be merged in any order, and again."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.storage import column_statistics
from dcmon.storage.column_statistics import MAX_VALUES, Statistics, merged
from tests.helpers.examples import examples

TYPES = {"n": "numeric", "b": "bigint", "c": "categorical", "f": "boolean", "t": "text"}
ROWS = st.lists(
    st.tuples(
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.integers(0, 600).map(str) | st.text(max_size=3),
        st.none() | st.booleans(),
    ),
    max_size=300,
)


def summary(rows: list[tuple[Any, ...]]) -> Statistics:
    """Return what is right for these rows, computed in one go."""
    n, b, c, f = ([row[at] for row in rows if row[at] is not None] for at in range(4))
    return {
        "n": {"min": min(n, default=None), "max": max(n, default=None)},
        "b": {"min": min(b, default=None), "max": max(b, default=None)},
        "c": {"values": sorted(set(c))[:MAX_VALUES]},
        "f": {"values": sorted(set(f))},
    }


@settings(max_examples=examples(60), deadline=None)
@given(ROWS, ROWS, ROWS)
def test_merged_parts_equal_the_whole(first: Any, second: Any, third: Any) -> None:
    one, two, three = summary(first), summary(second), summary(third)

    assert merged(merged(one, two), three) == summary([*first, *second, *third])
    assert merged(one, merged(two, three)) == merged(merged(three, one), two)
    assert merged(one, one) == one == merged(one, column_statistics.empty(TYPES))


def test_statistics_of_no_rows_have_no_texts() -> None:
    empty = column_statistics.empty({**TYPES, "d": "datetime", "l": "array_float"})

    assert list(empty) == ["n", "b", "c", "f", "d"]
    assert empty["d"] == {"min": None, "max": None}
    assert empty["f"] == {"values": []}

"""The widths of columns: names stay whole, other columns are folded or hidden."""

import cProfile
import pstats
import textwrap

from hypothesis import given
from hypothesis import strategies as st

from dcmon.table_widths import GAP, NAMES, fit

LONG = "flights/aggregated_feature_drift"
ROW = {"id": "21", "monitor": LONG, "condition": "> 0.15 unless usual", "severity": "critical", "note": "x" * 30}
TEXTS = {column: [column, text] for column, text in ROW.items()}


def test_columns_that_have_room_are_left_to_rich() -> None:
    assert fit(TEXTS, 200, []) == ({}, [])


def test_names_are_whole_in_every_width_that_has_room() -> None:
    for width in range(len(LONG) + 4, 99):
        widths, hidden = fit(TEXTS, width, [])
        assert widths["monitor"] >= len(LONG)
        assert sum(widths.values()) + GAP * (len(widths) - 1) <= width
        assert [*widths, *hidden] == list(TEXTS)


def test_columns_are_hidden_from_the_last_one_on() -> None:
    assert fit(TEXTS, 80, [])[1] == []
    assert fit(TEXTS, 60, [])[1] == ["note"]
    assert fit(TEXTS, 45, [])[1] == ["condition", "severity", "note"]
    assert fit(TEXTS, 45, [], keeps_all=True) == ({}, [])


def test_name_of_several_words_is_folded_between_them() -> None:
    texts = {
        "monitor": ["monitor", "flights/Aggregated Feature Drift"],
        "condition": ["condition", "> 0.15 unless usual"],
    }
    assert fit(texts, 40, [])[0] == {"monitor": 19, "condition": 19}


def test_lines_of_unfolded_columns_are_whole() -> None:
    assert fit(TEXTS, 80, ["condition"])[0]["condition"] == len(ROW["condition"])
    assert "condition" not in NAMES


def test_room_goes_to_the_column_that_makes_rows_low() -> None:
    """A list of rules in 80 characters: a sentence beside long names is not squeezed to its longest word."""
    conditions = ["> 0.15 unless usual", "metric Mean Drift > 1 unless usual steps 5", "any output > 1 unless usual"]
    monitors = ["flights-late/Aggregated Feature Drift", "flights-late/Drift Beyond Noise", "flights-late/Label Drift"]
    texts = {"id": ["id", "21", "22", "23"], "monitor": ["monitor", *monitors], "condition": ["condition", *conditions]}
    texts["severity"] = ["severity", "high", "critical", "high"]

    widths, hidden = fit(texts, 72, [])

    assert hidden == []
    wrapped = {key: [len(textwrap.wrap(text, widths[key])) for text in of_column] for key, of_column in texts.items()}
    assert [max(heights) for heights in zip(*wrapped.values(), strict=True)] == [1, 2, 2, 1]


@given(st.lists(st.lists(st.text("ab ", max_size=40), min_size=3, max_size=3), min_size=1, max_size=6))
def test_widths_never_exceed_the_terminal(rows: list[list[str]]) -> None:
    texts = {key: [key, *(row[at] for row in rows)] for at, key in enumerate(["id", "note", "reason"])}
    widths, _ = fit(texts, 60, [])
    assert sum(widths.values()) + GAP * (len(widths) - 1) <= 60


def test_wide_terminal_costs_little() -> None:
    """Each width of each cell is measured at most once, not again for each character that a column gets."""
    columns, rows, width = 10, 100, 300
    texts = {
        f"column {n}": ["x" * (3 + (n + row) % 7) + " y" * (row % 40) for row in range(rows)] for n in range(columns)
    }

    with cProfile.Profile() as profile:
        fit(texts, width, [])

    calls = [
        stat.ncalls
        for name, stat in pstats.Stats(profile).get_stats_profile().func_profiles.items()
        if name == "_height"
    ]
    assert 0 < int(calls[0]) <= columns * rows * width / 10

"""The widths of columns: names stay whole, other columns are folded or hidden."""

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

"""The history of a monitor is readable in 80 columns."""

from typing import Any

from dcmon.commands.views import monitor_result


def test_repeated_long_reasons_are_written_once() -> None:
    long, other, short = "The version has no reference to compare with.", "Another reason of many words.", "few rows"
    lines: list[dict[str, Any]] = [{"reason": reason} for reason in (long, None, short, other, long)]
    assert monitor_result.number_reasons(lines) == [f"(1) {long}"]
    assert [line["reason"] for line in lines] == ["(1)", None, short, other, "(1)"]


def test_reasons_of_one_window_each_stay_in_the_table() -> None:
    lines: list[dict[str, Any]] = [{"reason": f"{number} rows have a label that is no class"} for number in range(3)]
    assert monitor_result.number_reasons(lines) == []
    assert lines[0]["reason"] == "0 rows have a label that is no class"


def test_long_reasons_have_their_own_lines_in_a_narrow_table() -> None:
    long = "The window has 12 rows with a label, and the check needs 50."
    lines = [{"reason": long}, {"reason": "NO_DATA"}, {"reason": None}]
    assert monitor_result.number_reasons(lines) == []
    assert monitor_result.number_reasons(lines, is_narrow=True) == [f"(1) {long}"]
    assert [line["reason"] for line in lines] == ["(1)", "NO_DATA", None]

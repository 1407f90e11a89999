"""Results on a terminal: data is shown as it is, and commands neither rich nor the terminal."""

import json
from collections.abc import Callable

import pytest

from dcmon.data_formats import Format
from dcmon.errors import InvalidInput
from dcmon.output import Copied, Fields, Lines, Output, Page, Table

HOSTILE = "[red]a[/red]\x1b[2J\n:smile:\u202e"
SHOWN = "[red]a[/red]\\x1b[2J\\n:smile:\\u202e"


@pytest.mark.parametrize(
    "part",
    [
        Table([{HOSTILE: 1}], [HOSTILE]),
        Table([{"a": HOSTILE}], ["a"]),
        Table([{"a": [HOSTILE]}], ["a"]),
        Table([{"a": {HOSTILE: 1}}], ["a"]),
        Table([{"a": 1}], {"a": HOSTILE}),
        Table([{"a": "b" * 60}], ["a"], title=HOSTILE),
        Fields({HOSTILE: 1}),
        Fields({"a": HOSTILE}),
        Fields({"a": None}, {"a": HOSTILE}),
        Fields({"a": Lines([HOSTILE, "b"])}),
        Lines(["b"], title=HOSTILE),
    ],
)
def test_hostile_text_in_any_place_is_shown_as_it_is(
    part: Table | Fields | Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    Output().page(Page({}, [part]))

    assert SHOWN in capsys.readouterr().out


def test_json_of_a_hostile_text_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    Output(Format.json).page(Page({HOSTILE: [HOSTILE, "\x9b\x7f"]}, []))

    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert json.loads(out) == {HOSTILE: [HOSTILE, "\x9b\x7f"]}


@pytest.mark.parametrize(("chosen", "head"), [([], "name,state\n"), (["state"], "state\n")])
def test_csv_of_an_expected_list_without_rows_has_a_head(
    chosen: list[str], head: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for format in (Format.csv, Format.jsonl, Format.name):
        output = Output(format, fields=chosen)
        output.expect(["name", "state"])
        output.table([], ["name"], empty="None yet.")

    assert capsys.readouterr().out == head


ADVICE = [
    "[high] disk-full: The disk is nearly full.",
    "    The disk with the data directory has little left.",
    Copied("    dcmon prune --dry-run --org a-long-name"),
]


def test_folded_lines_are_indented_and_commands_are_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")

    Output().page(Page({}, [Lines(ADVICE, hanging=4)]))

    assert capsys.readouterr().out.splitlines() == [
        "[high] disk-full: The disk",
        "    is nearly full.",
        "    The disk with the data",
        "    directory has little left.",
        "    dcmon prune --dry-run --org a-long-name",
    ]


def test_columns_that_do_not_fit_are_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    columns = {"id": "", "next_attempt": "", "by": "author"}
    for output in (Output(), Output(Format.wide), Output(fields=["by"])):
        output.table([{"id": 1, "next_attempt": 2, "by": 3}], columns, narrow=["id"])
    shown = capsys.readouterr()
    assert [line.split() for line in shown.out.splitlines()] == [
        ["id"], ["1"], ["id", "next", "attempt", "author"], ["1", "2", "3"], ["author"], ["3"],
    ]  # fmt: skip
    assert shown.err == "Not shown in this width: next attempt, author. -o wide shows all.\n"


def test_table_is_sorted_by_any_field_of_its_data(capsys: pytest.CaptureFixture[str]) -> None:
    data = [{"id": 1, "at": 5}, {"id": 2, "at": 4}, {"id": 3, "at": 6}]
    page = Page(data, [Table([{"object": f"rule {row['id']}"} for row in data], ["object"])])
    output = Output()
    output.arrange("-at", 2)
    output.page(page)
    assert capsys.readouterr().out.split() == ["object", "rule", "3", "rule", "1"]
    output = Output(fields=["id"])
    output.arrange("-at", None)
    output.page(page)
    assert capsys.readouterr().out.split() == ["id", "3", "1", "2"]


def test_lines_in_a_pipe_are_not_folded(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    line = "one " * 100 + "end"

    Output().page(Page({}, [Lines([line])]))

    assert capsys.readouterr().out == line + "\n"


@pytest.mark.parametrize("format", [Format.table, Format.json])
@pytest.mark.parametrize(
    "show", [lambda output: output.value({"token": "t-1"}), lambda output: output.table([{"token": "t-1"}], ["token"])]
)
def test_unknown_field_hides_no_result_of_a_change(
    format: Format, show: Callable[[Output], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A new token is shown once: a mistyped field must not lose it. Before anything is changed, it is an error."""
    output = Output(format, fields=["tokn"])
    with pytest.raises(InvalidInput, match="There is no field 'tokn'"):
        show(output)
    output = Output(format, fields=["tokn"])
    output.is_change = True
    show(output)
    shown, said = capsys.readouterr()
    assert "t-1" in shown
    assert "The result is shown whole, so that nothing of it is lost." in said

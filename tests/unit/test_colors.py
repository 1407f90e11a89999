"""Severities and states have colours where they are asked for, and nothing else has."""

import pytest

from dcmon import states
from dcmon.colors import STYLES, Color
from dcmon.output import Output
from dcmon.severity import Severity

ROWS = [{"name": "high", "severity": "high", "state": "firing"}]


@pytest.mark.parametrize(("color", "is_coloured"), [(Color.AUTO, False), (Color.ALWAYS, True), (Color.NEVER, False)])
def test_table_is_coloured_where_it_is_asked_for(
    color: Color, is_coloured: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    Output(color=color).table(ROWS, ["name", "severity", "state"])
    shown = capsys.readouterr().out
    assert ("\x1b[31mhigh" in shown, "\x1b" in shown) == (is_coloured, is_coloured)
    assert shown.count("\x1b[31m") == 2 * is_coloured  # the name is none of the two


@pytest.mark.parametrize(
    ("environment", "is_coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_no_color_and_a_dumb_terminal_have_no_escape_codes(
    environment: dict[str, str], is_coloured: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TERM": "xterm", "FORCE_COLOR": "1", **environment}.items():
        monkeypatch.setenv(name, value)
    Output().table(ROWS, ["name", "severity", "state"])
    Output().value(ROWS[0])
    assert ("\x1b" in capsys.readouterr().out) is is_coloured


def test_every_severity_and_state_has_a_colour() -> None:
    words = [*Severity, *states.AlertState, *states.ResultState]
    assert [word for word in words if word not in STYLES] == []

"""Names on standard input: `dcmon X list -o name | dcmon X show -` works for names that xargs would part."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from dcmon import cli, profiles
from dcmon.commands.shared import stdin_names
from tests.helpers.command_tree import NAMES, leaves

AWKWARD = ["two words", """it's "quoted\"""", " spaces around ", "back\\slash $HOME *"]


def run(typed: bytes, *words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command with this standard input, and return its exit code."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
    monkeypatch.setattr(sys, "argv", ["dcmon", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file of profiles with awkward names."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    profiles.write(None, {name: {"org": "acme"} for name in [*AWKWARD, "plain"]})
    return profiles.path()


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_names_are_taken_as_they_are_a_line_each(
    end: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = end.join(["", *AWKWARD, ""]).encode()
    assert run(typed, "profile", "show", "-", "-o", "name", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.splitlines() == AWKWARD
    assert run(typed, "profile", "delete", "-", monkeypatch=monkeypatch) == 2
    assert "add --yes to confirm" in capsys.readouterr().err
    assert run(typed, "profile", "delete", "-", "--yes", monkeypatch=monkeypatch) == 0
    assert list(profiles.read().profiles) == ["plain"]


def test_list_prints_the_names_that_other_commands_take(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(b"", "profile", "list", "-o", "name", monkeypatch=monkeypatch) == 0
    listed = capsys.readouterr().out
    assert run(listed.encode(), "profile", "show", "-", "-", "-o", "name", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == listed


@pytest.mark.parametrize(
    ("typed", "code", "sentence"),
    [
        (b"", 5, "There is no name on standard input"), (b"\n \r\n", 5, "There is no name on standard input"),
        (b"plain\nplian\n", 5, "Do you mean 'plain'"), (b"pl\xe4in\n", 2, "Standard input is no text in UTF-8"),
    ],
    ids=["empty", "blank", "unknown", "no text"],
)  # fmt: skip
def test_input_without_names_changes_nothing(
    typed: bytes,
    code: int,
    sentence: str,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = file.read_text()
    assert run(typed, "profile", "delete", "-", "--yes", monkeypatch=monkeypatch) == code
    assert sentence in capsys.readouterr().err
    assert file.read_text() == before


def test_every_command_that_takes_several_names_says_so() -> None:
    commands = cli.Commands()
    helps = dict[str, Any]()
    for noun in NAMES:
        command: Any = commands.get_command(None, noun)
        for verb, subcommand in {"": command, **getattr(command, "commands", {})}.items():
            for parameter in subcommand.params:
                if stdin_names.takes(parameter):
                    helps[f"{noun} {verb}".strip()] = parameter.help
    assert len(helps) >= 40
    assert {name for name, text in helps.items() if text.count(stdin_names.HELP) != 1} == set()
    several = {name for name, command in leaves().items() if any(map(stdin_names.takes, command.params))}
    assert several == set(helps)

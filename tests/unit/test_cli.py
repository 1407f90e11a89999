"""The command line as a whole: global options anywhere, every command with help and an example."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest
import typer

from dcmon import cli, durations
from dcmon.alerting import rules
from dcmon.commands.shared import help_texts
from dcmon.commands.shared.groups import SuggestingGroup
from dcmon.data_formats import Format
from dcmon.errors import InvalidInput
from dcmon.output import Output

NAMES = sorted(path.stem.replace("_", "-") for path in cli.COMMANDS.glob("[a-z]*.py"))


def commands() -> list[tuple[str, Any]]:
    collected = []
    for name in NAMES:
        command = typer.main.get_command(import_module(f"dcmon.commands.{name.replace('-', '_')}").app)
        inner = getattr(command, "commands", None)
        collected += (
            [(f"{name} {verb}", subcommand) for verb, subcommand in inner.items()] if inner else [(name, command)]
        )
    return collected


ALL = commands()


@pytest.mark.parametrize("name", NAMES)
def test_help_of_a_command_group_is_its_first_line(name: str) -> None:
    assert re.fullmatch(r"[A-Z].+\.", cli.first_line(name))


@pytest.mark.parametrize(("name", "command"), ALL, ids=[name for name, _ in ALL])
def test_every_command_has_help_and_examples_that_parse(name: str, command: Any) -> None:
    """tests/integration/commands/test_help_examples.py runs them."""
    examples = help_texts.EXAMPLE.findall(command.help)
    assert examples, f"{name} has no example"
    for example in examples:
        arguments = [word for word in shlex.split(example) if word != "dcmon"]
        verb = name.split()
        assert arguments[: len(verb)] == verb
        options = [word for word in cli.globals_first(arguments) if word not in ("-o", "json")]
        with command.make_context(name, options[len(verb) :], resilient_parsing=False):
            pass


def test_examples_of_the_first_help_are_commands() -> None:
    """The help of dcmon itself names them; those of the commands are run."""
    examples = [line for line in (cli.app.info.epilog or "").splitlines() if line.startswith("  dcmon")]
    names = {" ".join(word for word in example.split()[1:] if word not in ("-o", "json")) for example in examples}
    assert names <= {name for name, _ in ALL}


@pytest.mark.parametrize(
    ("arguments", "reordered"),
    [
        ("org list -o json", "-o json org list"),
        ("org list --org a -v", "--org a -v org list"),
        ("org list --output=json", "--output=json org list"),
        ("org list --fields id,name", "--fields id,name org list"),
        ("rule create m -- -o", "rule create m -- -o"),
        ("org list -o", "-o"),
        ("org list -v --fields", "-v --fields"),
        ("model list -ojson", "-ojson model list"),
        ("model list -qv -o=json", "-qv -ojson model list"),
        ("model list -vqo json", "-vqo json model list"),
        ("rule list --sort -open -ojson", "-ojson rule list --sort -open"),
        ("backup create -", "backup create -"),
        ("alert ack 1 -m -", "alert ack 1 -m -"),
    ],
)
def test_global_options_are_accepted_after_the_command(arguments: str, reordered: str) -> None:
    assert cli.globals_first(arguments.split()) == reordered.split()


def test_table_keeps_markup_of_names_and_shows_null_as_dash(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table([{"name": "[red]a[/red]", "n": None}], ["name", "n"])
    assert "[red]a[/red]" in capsys.readouterr().out


def test_control_characters_of_names_are_shown_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    """A name comes from outside: an escape sequence in it could clear the screen or imitate other lines."""
    row = {"name": "\x1b[2Ja\r\x9b\u202eb\ud83d", "more": {"\x07": 1}, "list": ["\x08"]}
    Output().table([row], list(row))
    Output().remark("about \x1b]0;x\x07")
    shown = capsys.readouterr()
    assert r"\x1b[2Ja\r\x9b\u202eb\ud83d" in shown.out
    assert r"\x07 1" in shown.out
    assert r"\x08" in shown.out
    assert shown.err == "about \\x1b]0;x\\x07\n"
    Output().table([{"name": "👩\u200d🚀 می\u200cخواهم"}], ["name"])
    assert "👩\u200d🚀 می\u200cخواهم" in capsys.readouterr().out


def test_json_output_has_every_key_and_keeps_empty_lists(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(Format.json)
    output.table([{"name": "a", "hidden": 1}], ["name"])
    output.table([], ["name"], empty="Nothing.")
    assert capsys.readouterr().out == '[\n  {\n    "name": "a",\n    "hidden": 1\n  }\n]\n[]\n'


def test_conditions_are_shown_with_signs() -> None:
    assert rules.parse("> 0.2") == rules.Condition("greater_than", 0.2)
    assert rules.parse("<=-1e3") == rules.Condition("less_than_equals", -1000.0)
    for bad in ("0.2", "=> 1", "> a", "> 1 2", ""):
        with pytest.raises(InvalidInput, match="not a condition"):
            rules.parse(bad)


def test_durations_are_shown_with_a_unit() -> None:
    assert [durations.parse(text).total_seconds() for text in ("90s", "30m", "12h", "3d", "2w", "1y")] == [
        90, 1800, 43200, 259200, 1209600, 31_536_000,
    ]  # fmt: skip
    for bad in ("3", "d", "-1d", "1q", ""):
        with pytest.raises(InvalidInput, match="not a duration"):
            durations.parse(bad)


def test_command_runs_with_the_garbage_collector() -> None:
    """The collector is disabled only while modules load: a worker without it would grow without a limit."""
    program = """
import gc
import sys
from dcmon.__main__ import main
from dcmon.commands.views import check
check.rows = lambda: [{"check": gc.isenabled()}]
sys.argv = ["dcmon", "-o", "json", "check", "list"]
main()
"""
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(completed.stdout) == [{"check": True}]


@pytest.mark.parametrize(
    ("noun", "old", "verb"),
    [
        ("receiver", "add", "create"), ("source", "remove", "delete"), ("token", "revoke", "delete"),
        ("silence", "end", "delete"), ("reference", "clear", "delete"), ("quarantine", "drop", "delete"),
    ],
)  # fmt: skip
def test_verb_of_an_earlier_release_works_unlisted(noun: str, old: str, verb: str) -> None:
    group = typer.main.get_command(import_module(f"dcmon.commands.{noun}").app)
    assert isinstance(group, SuggestingGroup)
    context: Any = None
    assert group.get_command(context, old) is group.get_command(context, verb) is not None
    assert old not in group.list_commands(context)
    assert group.get_command(context, "nonsense") is None


@pytest.mark.parametrize("format_", [[], ["-o", "json"]])
def test_ctrl_c_at_a_question_is_an_interruption(
    format_: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def abort(*_: Any) -> None:
        raise typer.Abort  # as typer does at its own questions

    monkeypatch.setattr(SuggestingGroup, "invoke", abort)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the process of the tests lives on
    monkeypatch.setattr(sys, "argv", ["dcmon", *format_, "check", "list"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(("closed", "words", "code"), [(0, ["validate", "-"], 2), (1, ["--version"], 0), (2, ["x"], 2)])
def test_closed_stream_leads_nowhere(closed: int, words: list[str], code: int) -> None:
    """A service manager may close them. Python then has None for the stream, and a socket could get its number."""
    command = [sys.executable, "-m", "dcmon", *words]
    shell = f'exec "$@" {closed}>&-' if closed else 'exec "$@" <&-'
    done = subprocess.run(["sh", "-c", shell, "sh", *command], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "unexpected" not in done.stderr


def test_names_of_any_script_are_written_in_any_locale() -> None:
    """What is no terminal gets UTF-8, as a file that another machine reads."""
    program = "from dcmon.__main__ import write_any_name; write_any_name(); print('السعر 💶')"
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=True)
    assert done.stdout.decode() == "السعر 💶\n"

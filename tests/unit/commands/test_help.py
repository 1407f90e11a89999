"""Help and version of the command line load no large module."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import typer

from dcmon import cli, jobs
from dcmon.commands.shared import help_texts
from dcmon.commands.shared.model_options import COLUMN_TYPES
from dcmon.commands.worker import WorkerChoice
from dcmon.storage.columns import TYPES

LARGE = (
    "deepchecks",
    "plotly",
    "pandas",
    "numpy",
    "sklearn",
    "sqlalchemy",
    "fastapi",
    "confluent_kafka",
    "alembic",
    "pyarrow",
    "botocore",
)
SCRIPT = f"""
import json, sys
from dcmon import cli
sys.argv = ["dcmon", *json.loads(sys.argv[1])]
try:
    cli.main()
except SystemExit as done:
    code = done.code
print(json.dumps([code, [name for name in {LARGE!r} if name in sys.modules]]), file=sys.stderr)
"""


def loaded(*arguments: str) -> tuple[str, list[str]]:
    """Return the printed text and the large modules that were loaded."""
    command = [sys.executable, "-c", SCRIPT, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    return done.stdout, modules


@pytest.mark.parametrize(
    ("typed", "same"),
    [("help", "--help"), ("help alert ls", "alert ls --help"), ("help rule list", "rule list --help")],
)
def test_help_before_a_command_shows_its_help(
    typed: str, same: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = []
    for words in (typed, same):
        monkeypatch.setattr("sys.argv", ["dcmon", *words.split()])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        shown.append((exit_.value.code, capsys.readouterr()))
    assert shown[0] == shown[1]


def test_help_lists_every_command_and_loads_no_large_module() -> None:
    output, modules = loaded("--help")

    assert modules == []
    for name in sorted(path.stem.replace("_", "-") for path in cli.COMMANDS.glob("[a-z]*.py")):
        assert name in output
        assert cli.first_line(name).split()[0] in output


@pytest.mark.parametrize("command", ["org", "monitor", "worker", "migrate", "demo", "ingest", "source"])
def test_help_of_a_command_loads_no_large_module(command: str) -> None:
    assert loaded(command, "--help")[1] == []


def test_help_of_model_create_lists_every_column_type() -> None:
    message = loaded("model", "create", "--help")[0]
    assert all(re.search(rf"\b{kind}\b", message) for kind in TYPES)
    assert sorted(COLUMN_TYPES.replace(" or ", ", ").split(", ")) == sorted(TYPES)


def test_version_loads_no_large_module() -> None:
    output, modules = loaded("--version")

    assert output.startswith("dcmon ")
    assert modules == []


def test_worker_start_offers_every_worker() -> None:
    """The choices of `dcmon worker start` are the jobs that exist, and all of them together."""
    assert [*jobs.JOBS, WorkerChoice.ALL] == list(WorkerChoice)


def test_every_command_is_in_one_panel_of_the_help() -> None:
    names = [name for panel in help_texts.PANELS.values() for name in panel]
    assert sorted(names) == sorted(path.stem.replace("_", "-") for path in cli.COMMANDS.glob("[a-z]*.py"))
    assert [name for name in names if len(cli.first_line(name)) > 62] == [], "It is cut, or folded, at 80 columns."


def test_show_of_several_says_what_shape_its_data_has() -> None:
    root: Any = typer.main.get_command(cli.app)
    with typer.Context(root) as context:
        nouns = [root.get_command(context, name) for name in root.list_commands(context)]
    shows = [noun.commands["show"] for noun in nouns if "show" in getattr(noun, "commands", ())]
    several = [show for show in shows if any(parameter.nargs == -1 for parameter in show.params)]
    assert len(several) > 10
    assert [show.help for show in several if f"{help_texts.SHAPE}\n" not in show.help] == []

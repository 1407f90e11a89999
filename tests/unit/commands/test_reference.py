"""The page of all commands and the man pages are those of the commands."""

import shutil
import subprocess
from pathlib import Path

import pytest

from reference.__main__ import ROOT, files
from tests.helpers.command_tree import leaves

GENERATED = files()


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_generated_page_is_current(path: Path) -> None:
    is_current = path.is_file() and path.read_text(encoding="utf-8") == GENERATED[path]
    assert is_current, 'The commands have changed: "make reference" writes the pages again.'


def test_no_man_page_is_of_a_deleted_command() -> None:
    assert set((ROOT / "man").glob("*.1")) <= GENERATED.keys()


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_man_pages_have_no_warning() -> None:
    pages = sorted((ROOT / "man").glob("*.1"))
    done = subprocess.run(
        ["groff", "-man", "-ww", "-z", "-K", "utf8", *map(str, pages)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


@pytest.mark.parametrize(("name", "command"), leaves().items(), ids=leaves())
def test_every_parameter_has_help(name: str, command: object) -> None:
    without = [parameter.name for parameter in command.params if not getattr(parameter, "help", "x")]  # type: ignore[attr-defined]
    assert without == [], "Give the argument or option a help text: shared ones are in commands/shared/options.py."

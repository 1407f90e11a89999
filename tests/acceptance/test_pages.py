"""The pages of docs/ that are written for a task can be followed from their first command to the last."""

import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.acceptance.test_sdk import SDK
from tests.helpers.directories import server_directory
from tests.helpers.followed_page import Reader
from tests.helpers.installed import COMMAND, Dcmon
from tests.helpers.paths import DOCS, ROOT

# Pages of a group are followed in one directory, because a later one uses the model of an earlier one.
NEWCOMERS = (("from-a-file.md",), ("first-model.md",))
OPERATORS = (("from-a-file.md", "operating.md"), ("scale-out.md",), ("secure.md",))  # secure.md changes the address
FOLLOWED = ("install.md", *dict.fromkeys(page for group in (*NEWCOMERS, *OPERATORS) for page in group))


Follow = Callable[[Sequence[str]], None]


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield a directory for readers, which the user of the workers can enter: commands of receivers write to it."""
    with server_directory("dcmon-reader-") as path:
        yield path


@pytest.fixture
def follow(dcmon: Dcmon, home: Path) -> Follow:
    """Return a function that follows pages in an empty directory, on one system, and then deletes its organizations."""
    dcmon.settings.update(_settings(home, dcmon=f'exec {COMMAND} "$@"'))

    def follow_pages(names: Sequence[str]) -> None:
        directory = home / Path(names[-1]).stem
        directory.mkdir()
        directory.chmod(0o777)
        (directory / "sdk").symlink_to(SDK.parents[1])
        reader = Reader(directory, dcmon.environment, dcmon.url)
        for name in names:
            reader.follow(DOCS / name)
        for org in dcmon.json("org", "list"):
            assert dcmon("org", "delete", org["name"], "--yes").returncode == 0

    return follow_pages


def _settings(home: Path, **programs: str) -> dict[str, str]:
    """Write programs, lines of sh, and return the variables of a reader who has them."""
    (home / "bin").mkdir()
    for name, line in programs.items():
        (home / "bin" / name).write_text(f"#!/bin/sh\n{line}\n")
        (home / "bin" / name).chmod(0o755)
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), "COLUMNS": "100", "DCMON_EVALUATE__LAST_WINDOW_QUIET": "1"}


def test_pages_for_newcomers_can_be_followed(follow: Follow) -> None:
    for pages in NEWCOMERS:
        follow(pages)


@pytest.mark.thorough
def test_pages_for_operators_can_be_followed(follow: Follow) -> None:
    for pages in OPERATORS:
        follow(pages)


@pytest.mark.thorough
@pytest.mark.skipif(find_spec("pipx") is None, reason="pipx is not installed: `make test-thorough` installs it")
def test_page_about_installation_can_be_followed(dcmon: Dcmon, home: Path) -> None:
    """With pip and with pipx, from the source and from a wheel; the dependencies are borrowed from this environment.

    Its quick sibling is `make test-wheel`, which installs the wheel with pip alone.
    """
    borrowed = {"PIP_NO_DEPS": "1", "PYTHONPATH": sysconfig.get_path("purelib"), "USE_EMOJI": "0"}
    settings = _settings(home, pipx=f'exec {sys.executable} -m pipx "$@"')
    settings["PATH"] = f"{home / '.local' / 'bin'}:{settings['PATH']}"
    dcmon.settings.update(settings | borrowed)
    directory = home / "empty"
    directory.mkdir()
    (directory / "dcmon").symlink_to(ROOT)
    Reader(directory, dcmon.environment, dcmon.url).follow(DOCS / "install.md")

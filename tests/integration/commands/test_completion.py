"""Live names of objects are completed in shells."""

import time
from pathlib import Path

import pytest
from sqlalchemy import text

from dcmon.app import App
from dcmon.commands.shared import live_names
from tests.helpers.command_line import LoadedDcmon
from tests.helpers.judged_results import create_rule
from tests.helpers.ports import free_port
from tests.integration.conftest import Target


@pytest.fixture
def complete(database_url: str, data_dir: Path, app: App, target: Target) -> "Complete":
    """Return a function that completes command lines where model credit has a monitor with a rule."""
    create_rule(target, "> 0.2")
    return Complete(database_url, data_dir)


class Complete:
    """Completes command lines as a shell does."""

    def __init__(self, url: str, data_dir: Path) -> None:
        self.url, self.data_dir = url, data_dir

    def __call__(self, line: str, shell: str = "fish") -> list[str]:
        settings = {"DCMON_DATABASE_URL": self.url, "_DCMON_COMPLETE": f"complete_{shell}"}
        settings |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        words = line.split(" ")
        settings |= {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        done = LoadedDcmon(self.data_dir, free_port(), settings)()
        assert done.stderr == ""
        return [line for line in done.stdout.splitlines() if line]


def test_names_of_objects_are_completed(complete: Complete) -> None:
    assert complete("dcmon model show ") == ["credit"]
    assert complete("dcmon monitor show credit/D") == ["credit/Drift"]
    assert complete("dcmon monitor run cr") == ["credit", "credit/Drift"]
    assert complete("dcmon version show cr") == ["credit/v1"]
    assert complete("dcmon rule show ") == ["1"]
    assert complete("dcmon receiver show ") == ["team"]
    assert complete("dcmon alert list --org ") == ["acme"]
    assert "age" in complete("dcmon monitor create x --model credit --check FeatureDrift --feature ")
    assert complete("dcmon monitor set credit/Drift --feature ag") == ["age"]
    assert complete("dcmon monitor create x --model other --check FeatureDrift --feature ") == []
    assert complete("dcmon --org acme member delete own") == ["owner@acme.example"]
    assert complete("dcmon --org nobody model show ") == []


def test_name_with_spaces_is_escaped_in_bash(complete: Complete, target: Target) -> None:
    target.scalar("update monitors set name = 'Age Drift' returning 1")
    assert complete("dcmon monitor show credit/A", "bash") == [r"credit/Age\ Drift"]
    assert "credit/Age Drift" in complete("dcmon monitor show credit/A", "zsh")[0]
    assert complete("dcmon monitor show credit/A") == ["credit/Age Drift"]


def test_last_of_many_organizations_is_completed(complete: Complete, app: App) -> None:
    with app.public() as session:
        session.execute(
            text(
                "insert into organizations (name, schema_name) select 'many' || n, 'many_' || n"
                " from generate_series(1, 1200) n union all select 'Zürich', 'zurich'"
            )
        )
    assert complete("dcmon org show z") == complete("dcmon org show ZÜ") == ["Zürich"]
    assert len(complete("dcmon org show ")) == live_names.MOST


def test_unreachable_database_completes_nothing(data_dir: Path) -> None:
    """The address is of a network where nothing answers: a connection attempt would wait for minutes."""
    started_at = time.monotonic()
    assert Complete("postgresql://dcmon@192.0.2.1/dcmon", data_dir)("dcmon model show ") == []
    assert time.monotonic() - started_at < 60

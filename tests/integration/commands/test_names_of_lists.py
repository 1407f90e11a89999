"""What `-o name` prints is what other commands take: `dcmon X list -o name | xargs -n1 dcmon X show`."""

import json
from collections.abc import Callable

import pytest

from dcmon.app import App
from tests.conftest import Acme
from tests.helpers.command_tree import leaves
from tests.helpers.example_world import World
from tests.helpers.installed import Dcmon
from tests.helpers.populated import populate
from tests.integration.conftest import Target

NOUNS = sorted(name.removesuffix(" list") for name in leaves() if name.endswith(" list"))
Run = Callable[[str], tuple[int, str, str]]


def wrong_names(run: Run, nouns: list[str], counts: dict[str, int]) -> list[str]:
    """Return what fails of all that take a name of a list: `show`, all names at once, and a dry run of `delete`."""
    failures = list[str]()
    for noun in nouns:
        code, listed, error = run(f"{noun} list -o name")
        assert code == 0, f"{noun}: {error}"
        names = [f"'{name}'" for name in listed.splitlines()]
        assert len(names) == len(set(names)), f"{noun}: {listed}"
        counts[noun] = len(names)
        typed = [f"{noun} show {name}" for name in names] + [f"{noun} show {' '.join(names)}"]
        typed = [line for line in typed if names and f"{noun} show" in leaves()]
        typed += [f"{noun} delete {name} --dry-run" for name in names if f"{noun} delete" in leaves()]
        for line in typed:
            code, _, error = run(line)
            is_refused = code and "last owner" not in error  # a member who can't be deleted is named all the same
            failures += [f"{line}: exit {code}: {error}"] if is_refused else []
    return failures


@pytest.mark.thorough
def test_names_of_every_list_are_what_commands_take(world: World) -> None:
    """In the world of the examples, which has an object of each kind."""
    counts = dict[str, int]()

    def run(typed: str) -> tuple[int, str, str]:
        done = world(typed)
        return done.returncode, done.stdout, done.stderr

    assert world("member invite new@acme.org").returncode == 0
    assert wrong_names(run, NOUNS, counts) == []
    assert [noun for noun, count in counts.items() if not count] == []


@pytest.fixture
def dcmon(with_url: Callable[[str], Dcmon], database_url: str, acme: Acme, app: App, target: Target) -> Dcmon:
    """Return dcmon on a database in which organization acme has a model with two versions."""
    populate(app, target, acme.token)
    return with_url(database_url)


def test_names_of_some_lists_are_what_commands_take(dcmon: Dcmon) -> None:
    def run(typed: str) -> tuple[int, str, str]:
        done = dcmon(*(word.strip("'") for word in typed.split()))
        return done.returncode, done.stdout, done.stderr

    assert wrong_names(run, ["alert", "audit-log", "monitor", "reference"], {}) == []


def test_two_monitors_of_one_name_are_listed_by_ids(dcmon: Dcmon, target: Target) -> None:
    """Clients of the endpoint can create them; a name that is not unique would show neither."""
    copied = "insert into monitors (check_id, name, frequency, aggregation_window, lookback)"
    target.scalar(f"{copied} select check_id, name, frequency, aggregation_window, lookback from monitors returning id")
    listed = dcmon("monitor", "list", "-o", "name").stdout.split()
    assert len(set(listed)) == len(listed) > 1
    assert all(name.isdigit() for name in listed)
    assert dcmon("monitor", "show", *listed).returncode == 0


def test_version_is_named_with_its_model_in_one_word_or_two(dcmon: Dcmon) -> None:
    ways = (["credit/v1"], ["credit", "v1"], ["v1"])
    shown = [json.loads(dcmon("-o", "json", "version", "show", *words).stdout) for words in ways]
    assert [row["name"] for row in shown] == ["credit/v1"] * 3
    both = json.loads(dcmon("-o", "json", "version", "show", "credit/v1", "credit/v2").stdout)
    assert [row["name"] for row in both] == ["credit/v1", "credit/v2"]
    missing = dcmon("version", "show", "credit", "v9")
    assert (missing.returncode, "There is no version 'v9' of model 'credit'" in missing.stderr) == (5, True)
    assert dcmon("version", "rename", "credit/v1", "credit/v2", "v3").returncode == 2


def test_object_without_a_name_prints_what_is_in_it(dcmon: Dcmon) -> None:
    """A plan, a status or an export is nothing that a command takes."""
    assert dcmon("export", "-o", "name").stdout == "credit\n"
    problems = json.loads(dcmon("-o", "json", "status").stdout)["problems"]
    assert dcmon("status", "-o", "name").stdout.split() == [problem["code"] for problem in problems]

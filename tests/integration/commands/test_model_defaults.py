"""`dcmon model set-defaults` chooses the default monitors of one model, several or all."""

from collections.abc import Callable

import pytest

from tests.conftest import TemplateWithAcme
from tests.helpers.installed import Dcmon


@pytest.fixture
def acme(database_url: str, template_with_acme: TemplateWithAcme, with_url: Callable[[str], Dcmon]) -> Dcmon:
    """Return dcmon with a model that has all defaults, and one that has none."""
    assert template_with_acme
    command = with_url(database_url)
    command.json("model", "create", "credit", "--task", "binary")
    command.json("model", "create", "price", "--task", "regression", "--no-defaults")
    return command


def test_set_defaults_turns_one_model_and_shows_it(acme: Dcmon) -> None:
    assert acme.json("model", "show", "credit")["default_monitors"] == "all"
    assert acme.json("model", "set-defaults", "credit", "sdk") == [
        {
            "name": "credit",
            "default_monitors": "sdk",
            "monitors_created": 0,
            "rules_on": 0,
            "rules_off": 10,
            "rules_renewed": 0,
        }
    ]
    assert acme.json("model", "show", "credit")["default_monitors"] == "sdk"
    assert acme.json("model", "create", "credit", "--task", "binary")["monitors"] == 0


def test_set_defaults_of_every_model_creates_what_is_missing(acme: Dcmon) -> None:
    rows = acme.json("model", "set-defaults", "all", "--every-model", "--frequency", "week")
    assert [(row["name"], row["monitors_created"]) for row in rows] == [("credit", 0), ("price", 15)]
    assert {row["every"] for row in acme.json("monitor", "list", "--model", "price")} == {"week"}


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["all"], 2, "Name the models, or give --every-model."),
        (["credit", "all", "--every-model"], 2, "Name the models, or give --every-model."),
        (["credit", "some"], 2, "There is no set of defaults 'some'. It is one of all, sdk or none."),
        (["credit", "unknown", "none"], 5, "unknown"),
    ],
    ids=["no model", "both", "unknown set", "unknown model"],
)
def test_wrong_set_defaults_changes_nothing(acme: Dcmon, arguments: list[str], code: int, sentence: str) -> None:
    done = acme("model", "set-defaults", *arguments)
    assert (done.returncode, sentence in done.stderr) == (code, True), done.stderr
    assert acme.json("model", "show", "credit")["default_monitors"] == "all"

"""A silence or mute time for a name that nothing has is not created without a question."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcmon import db, errors
from dcmon.commands.operations import matcher_names
from tests.helpers.command_line import dcmon
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.integration.conftest import Target

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("matchers", "sentences"),
    [
        (["model=credit", "monitor=Drift", "version=v1", "check=FeatureDrift", "rule={id}"], []),
        (["monitor=credit/Drift", "rule=nights", "alert=1"], []),
        (["model=~cr.*", "monitor=~.*Drift", "severity!=critical"], []),
        (["model=dcmon", "rule=anything"], []), (["rule=no worker"], []), (["monitor=no worker: evaluate"], []),
        (["model!~x.*"], []),
        (["model=credt"], ["There is no model 'credt'. Do you mean 'credit'?"]),
        (["model!=credt"], ["There is no model 'credt'. Do you mean 'credit'?"]),
        (["monitor=credit/Drfit"], ["There is no monitor 'credit/Drfit'. Do you mean 'credit/Drift'?"]),
        (["monitor=~Drft.*"], ["No monitor matches 'Drft.*'."]),
        (["rule=night", "alert=99"], ["There is no rule 'night'. Do you mean 'nights'?", "There is no alert '99'."]),
        (["version=v9"], ["There is no version 'v9'. Do you mean 'v1'?"]),
        (["rule=99"], ["There is no rule '99'."]),
        (["model=other", "monitor=Drift"], ["There is no model 'other'.", "There is no monitor 'Drift'."]),
    ],
)  # fmt: skip
def test_name_that_nothing_has_is_told(watched: Target, matchers: list[str], sentences: list[str]) -> None:
    rule_id = watched.scalar("select min(id) from alert_rules")
    with db.org_session(watched.engine, watched.org) as session:
        typed = [matcher.format(id=rule_id) for matcher in matchers]
        assert matcher_names.unknown(session, typed) == sentences
        with pytest.raises(errors.UnknownChoice, match="no severity 'hgih'"):
            matcher_names.unknown(session, [*typed, "severity=hgih"])


def test_silence_and_mute_time_ask_about_such_a_name(run: Run) -> None:
    """--yes creates them: the model may come tomorrow."""
    for words in (("silence", "create", "model=credt", "--for", "4h"), MUTE):
        refused = run(*words)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "There is no model 'credt'. Do you mean 'credit'? Create the " in refused.stderr
        assert "add --yes" in refused.stderr
        tried = run(*words, "--dry-run")
        assert (tried.returncode, "Do you mean 'credit'" in tried.stderr) == (0, True)
        done = run(*words, "--yes", "-o", "json")
        assert (done.returncode, json.loads(done.stdout)["matchers"]) == (0, ["model=credt"])
        assert "Do you mean 'credit'" in done.stderr


MUTE = ("mute", "create", "nights", "--hours", "22-6", "--match", "model=credt")


@pytest.fixture
def watched(target: Target) -> Target:
    """Return a model with a monitor, a rule and an alert."""
    create_rule(target, "> 0.2", name="nights")
    store_and_judge(target, 0, 0.5)
    return target


@pytest.fixture
def run(data_dir: Path, database_url: str, watched: Target) -> Run:
    return lambda *arguments: dcmon(*arguments, data_dir=data_dir, url=database_url)

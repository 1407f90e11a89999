"""Commands need no --model and no --version where there is only one."""

from collections.abc import Callable

import pytest

from dcmon import db
from dcmon.storage import models
from dcmon.storage.models import NewModel
from tests.helpers.installed import Dcmon
from tests.integration.conftest import Target

COMMANDS = [
    "reference show", "reference delete --dry-run", "sample show 1", "sample delete --from 2d --to 1d --dry-run",
    "monitor create Age --check FeatureDrift --feature age --dry-run",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_only_model_and_version_are_inferred(
    command: str, target: Target, database_url: str, with_url: Callable[[str], Dcmon]
) -> None:
    dcmon = with_url(database_url)
    inferred, named = dcmon(*command.split()), dcmon(*command.split(), "--model", "credit")
    assert (inferred.returncode, inferred.stderr) == (named.returncode, named.stderr)
    assert inferred.stdout.splitlines()[:2] == named.stdout.splitlines()[:2]  # an id that follows may be the next one
    assert "choose one with" not in inferred.stderr
    with db.org_session(target.engine, target.org) as session:
        models.create(session, NewModel("churn", "binary"))
    refused = dcmon(*command.split())
    assert refused.returncode == 2
    assert "There are several models (churn, credit): choose one with --model." in refused.stderr

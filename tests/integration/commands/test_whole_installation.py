"""Commands about the whole installation: --org limits them to an organization, and DCMON_ORG does not."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine, text

from dcmon import db
from dcmon.db import Organization
from dcmon.tenancy import provisioning
from tests.helpers.installed import Dcmon


@pytest.fixture
def dcmon(with_url: Callable[[str], Dcmon], database_url: str, engine: Engine, org: Organization) -> Dcmon:
    """Return dcmon with organization acme, whose schema is behind, and organization beta, which is well."""
    provisioning.create_organization(engine, "beta", "b@beta.example")
    with db.org_session(engine, org) as session:
        session.execute(text("update alembic_version set version_num = '0001'"))
    return with_url(database_url)


COMMANDS = [("status",), ("status", "--quiet"), ("doctor",), ("migrate", "status"), ("migrate", "--dry-run")]


@pytest.mark.parametrize("command", [*COMMANDS, ("migrate", "roles")])
def test_organization_that_does_not_exist_is_refused(dcmon: Dcmon, command: tuple[str, ...]) -> None:
    done = dcmon("--org", "acmee", *command)
    assert (done.returncode, done.stdout) == (5, "")
    assert "There is no organization 'acmee'. Do you mean 'acme'?" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_org_limits_and_the_default_does_not(dcmon: Dcmon, command: tuple[str, ...]) -> None:
    """What is behind in acme is told of all, and not of beta."""
    with_default = replace(dcmon, settings={**dcmon.settings, "DCMON_ORG": "beta"})
    with_unknown = replace(dcmon, settings={**dcmon.settings, "DCMON_ORG": "acmee"})

    of_all, of_beta = dcmon(*command), dcmon("--org", "beta", *command)

    assert "acme" in of_all.stdout
    assert "acme" not in of_beta.stdout
    for default in (with_default, with_unknown):
        assert (done := default(*command)).returncode == of_all.returncode
        assert "acme" in done.stdout


def test_status_of_one_organization_has_dcmon_itself(dcmon: Dcmon) -> None:
    of_beta, of_all = (json.loads(dcmon(*of, "-o", "json", "status").stdout) for of in (("--org", "beta"), ()))
    assert (of_beta["waiting"]["organizations"], of_all["waiting"]["organizations"]) == (1, 2)
    assert [part["name"] for part in of_beta["parts"]] == [part["name"] for part in of_all["parts"]]
    assert {problem["code"] for problem in of_all["problems"]} - {p["code"] for p in of_beta["problems"]} == {
        "schema-behind"
    }


def test_schemas_of_another_organization_do_not_fail(dcmon: Dcmon) -> None:
    assert dcmon("migrate", "status").returncode == 1
    assert dcmon("--org", "beta", "migrate", "status").returncode == 0

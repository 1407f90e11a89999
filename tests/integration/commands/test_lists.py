"""Lists: their order and limit, all organizations at once, and watching."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from dcmon import db
from dcmon.commands.shared import list_fields
from dcmon.db import Organization
from dcmon.storage import models
from dcmon.storage.models import NewModel
from dcmon.tenancy import provisioning
from tests.conftest import Acme
from tests.helpers.installed import Dcmon

LISTS = [
    "alert list --all", "audit-log list", "member list", "model list", "monitor list", "mute list", "notification list",
    "quarantine list", "rule list", "silence list --all", "source list", "token list", "receiver list",
]  # fmt: skip


@pytest.fixture
def dcmon(with_url: Callable[[str], Dcmon], database_url: str) -> Dcmon:
    """Return dcmon on a database with organization acme."""
    return with_url(database_url)


@pytest.fixture
def beta(acme: Acme, engine: Engine) -> Organization:
    """Return a second organization; both have the models churn and fraud."""
    org = provisioning.create_organization(engine, "beta", "owner@beta.example").organization
    for of in (acme.org, org):
        with db.org_session(engine, of) as session:
            for name in ("fraud", "churn"):
                models.create(session, NewModel(name, "binary"))
    return org


def rows(dcmon: Dcmon, command: str) -> list[dict[str, Any]]:
    done = dcmon("-o", "json", *command.split())
    assert done.returncode == 0, done.stderr
    listed: list[dict[str, Any]] = json.loads(done.stdout)
    return listed


@pytest.mark.parametrize("command", LISTS)
def test_every_list_shows_all_organizations(dcmon: Dcmon, beta: Organization, command: str) -> None:
    listed = rows(dcmon, f"{command} --all-orgs")
    of_each = [rows(dcmon, f"{command} --org {name}") for name in ("acme", beta.name)]
    assert len(rows(dcmon, f"{command} --all-orgs --limit 1")) == min(1, len(listed))
    assert [row.pop("org") for row in listed] == ["acme"] * len(of_each[0]) + ["beta"] * len(of_each[1])
    assert listed == [row for of_org in of_each for row in of_org]
    assert dcmon(*command.split(), "--all-orgs").returncode == 0


def test_list_is_of_one_organization_or_of_all(dcmon: Dcmon, beta: Organization) -> None:
    """Both typed contradict each other; DCMON_ORG holds without --all-orgs. Only lists name that option."""
    both = dcmon("model", "list", "--all-orgs", "--org", "beta")
    assert (both.returncode, both.stdout) == (2, "")
    assert "Give either --all-orgs or --org, not both." in both.stderr
    by_variable = replace(dcmon, settings={**dcmon.settings, "DCMON_ORG": "beta"})
    assert {row["org"] for row in rows(by_variable, "model list --all-orgs")} == {"acme", "beta"}
    said = "There are 2 organizations (acme, beta): choose one with --org or DCMON_ORG."
    for command, more in (("model list", " --all-orgs lists those of all."), ("model show fraud", "")):
        refused = dcmon(*command.split())
        assert (refused.returncode, refused.stderr) == (2, f"dcmon: {said}{more}\n")


def test_list_without_rows_has_its_head_in_csv(dcmon: Dcmon, acme: Acme) -> None:
    names = ",".join(list_fields.FIELDS["quarantine list --rows"].split())
    assert dcmon("-o", "csv", "quarantine", "list", "--rows").stdout == f"{names}\n"
    assert dcmon("-o", "csv", "quarantine", "list", "--rows", "--all-orgs").stdout == f"org,{names}\n"
    assert dcmon("-o", "csv", "rule", "list", "--fields", "id,name").stdout == "id,name\n"


def test_list_is_sorted_and_limited(dcmon: Dcmon, beta: Organization) -> None:
    def names(options: str) -> list[str]:
        return [f"{row['org']}/{row['name']}" for row in rows(dcmon, f"model list --all-orgs {options}")]

    assert names("--sort name")[:2] == ["acme/churn", "beta/churn"]
    assert names("--sort -name --limit 3") == ["acme/fraud", "beta/fraud", "acme/churn"]
    assert "1 more is left out by --limit 3" in dcmon("model", "list", "--all-orgs", "--limit", "3").stderr
    refused = dcmon("model", "list", "--org", "acme", "--sort", "nmae")
    assert (refused.returncode, "Do you mean 'name'?" in refused.stderr) == (2, True)


def test_organization_that_cannot_be_read_ends_with_8(dcmon: Dcmon, beta: Organization, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"update {beta.schema}.alembic_version set version_num = '9999'"))
    assert "beta: " in dcmon("--quiet", "model", "list", "--all-orgs").stderr
    refused = dcmon("model", "list", "--watch", "0s")
    assert (refused.returncode, "at least 0.5 s lie between" in refused.stderr) == (2, True)
    done = dcmon("-o", "json", "model", "list", "--all-orgs")
    assert done.returncode == 8
    assert [row["org"] for row in json.loads(done.stdout)] == ["acme", "acme"]
    assert "beta: " in done.stderr


def test_watched_list_is_shown_again(dcmon: Dcmon, beta: Organization, engine: Engine) -> None:
    watching = dcmon.start("model", "list", "--org", "beta", "--watch", "1s", "-o", "name")
    assert watching.stdout is not None
    assert [watching.stdout.readline() for _ in range(2)] == ["churn\n", "fraud\n"]
    with db.org_session(engine, beta) as session:
        models.create(session, NewModel("later", "binary"))
    while watching.stdout.readline() != "later\n":
        assert watching.poll() is None
    watching.terminate()
    watching.communicate()

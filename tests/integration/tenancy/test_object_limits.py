"""An organization has no more objects than it may have, however they are created."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.db import Organization
from dcmon.db.object_limits import NAMES
from dcmon.errors import InvalidInput, TooManyObjects
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from dcmon.tenancy import object_limits, organizations, tokens


def limited(engine: Engine, org: Organization, **limits: int | None) -> Organization:
    """Set limits, and return the organization as the next request has it."""
    with db.public_session(engine) as session:
        object_limits.change(session, org.id, limits)
    with db.public_session(engine) as session:
        return organizations.find(session, org.name)


def create_model(engine: Engine, org: Organization, name: str) -> None:
    with db.org_session(engine, org) as session:
        models.create(session, NewModel(name, "binary"))


def count(engine: Engine, org: Organization, table: str) -> int:
    with db.org_session(engine, org) as session:
        return int(session.scalar(text(f"select count(*) from {table}")) or 0)


def test_model_above_the_limit_is_refused_with_the_number(engine: Engine, org: Organization) -> None:
    org = limited(engine, org, max_models=2)
    for name in ("a", "b"):
        create_model(engine, org, name)
    with pytest.raises(TooManyObjects, match=r"'acme' may have 2 models, and has them.*--max-models") as refusal:
        create_model(engine, org, "c")
    assert (refusal.value.status, refusal.value.exit_code) == (402, 6)
    create_model(engine, limited(engine, org, max_models=None), "c")
    org = limited(engine, org, max_models=1)  # existing models stay, and can be changed
    with db.org_session(engine, org) as session:
        session.execute(text("update models set description = 'x'"))
    assert count(engine, org, "models") == 3


def test_parallel_creations_cant_share_the_last_place(engine: Engine, org: Organization) -> None:
    org = limited(engine, org, max_models=5)
    start = Barrier(12)

    def try_create(number: int) -> bool:
        start.wait()
        try:
            create_model(engine, org, f"m{number}")
        except TooManyObjects:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        created = sum(pool.map(try_create, range(12)))
    assert created == count(engine, org, "models") == 5


def test_versions_are_counted_for_their_model(engine: Engine, org: Organization) -> None:
    org = limited(engine, org, max_versions_per_model=2)
    with db.org_session(engine, org) as session:
        for name in ("a", "b"):
            model = models.create(session, NewModel(name, "regression"))
            for version in ("v1", "v2"):
                versions.create(session, model, NewVersion(version, {"age": "numeric"}))
    with pytest.raises(TooManyObjects, match="2 versions per model"), db.org_session(engine, org) as session:
        versions.create(session, models.find(session, "b"), NewVersion("v3", {"age": "numeric"}))


def test_tokens_that_are_revoked_do_not_count(engine: Engine, org: Organization) -> None:
    org = limited(engine, org, max_tokens=2)  # acme has one
    with db.public_session(engine) as session:
        owner = organizations.owner(session, org.id)
        token = tokens.create(session, org.id, owner.id, "second")
    with pytest.raises(TooManyObjects, match="2 tokens"), db.public_session(engine) as session:
        tokens.create(session, org.id, owner.id, "third")
    with db.public_session(engine) as session:
        tokens.revoke(session, org.id, token)
        tokens.create(session, org.id, owner.id, "third")


def test_members_are_limited(engine: Engine, org: Organization) -> None:
    org = limited(engine, org, max_users=1)
    statement = text(
        "with ben as (insert into users (email) values ('ben@acme.org') returning id)"
        " insert into members select :org, id, 'member' from ben"
    )
    with pytest.raises(TooManyObjects, match="1 users"), db.public_session(engine) as session:
        session.execute(statement, {"org": org.id})


def test_every_limit_has_a_trigger(engine: Engine, org: Organization) -> None:
    statement = text(
        "select split_part(encode(tgargs, 'escape'), '\\000', 1) from pg_trigger t join pg_class c on c.oid = tgrelid"
        " where tgname = 'require_room' and c.relnamespace = current_schema()::regnamespace"
    )
    with db.org_session(engine, org) as session:
        held = set(session.scalars(statement))
    with db.public_session(engine) as session:
        held |= set(session.scalars(statement))
    assert held == set(NAMES)


@pytest.mark.parametrize("limit", [0, -1, 2**31])
def test_limit_that_is_no_number_above_0_is_refused(engine: Engine, org: Organization, limit: int) -> None:
    with pytest.raises(InvalidInput), db.public_session(engine) as session:
        object_limits.change(session, org.id, {"max_models": limit})
    assert errors.TooManyObjects.status == 402

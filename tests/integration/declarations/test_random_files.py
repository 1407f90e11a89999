"""For any file: nothing is left to do after it is applied, and an export makes an empty organization the same."""

import pytest
from hypothesis import Phase, given, settings
from sqlalchemy import Engine

from dcmon.db import Organization
from dcmon.declarations import planner
from dcmon.declarations.applying import run
from tests.helpers.declared_worlds import ENVIRONMENT, FILES, World, exported, with_stored_secrets
from tests.helpers.examples import examples

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # to shrink an example would take minutes


def _require_round_trip(engine: Engine, org: Organization, text: str) -> None:
    """Apply a file to an empty organization, then its export to another one, and undo both."""
    world = World(engine, org, ENVIRONMENT)
    with world.transaction() as context:
        wanted = world.wanted(text)
        plan = planner.make(context, wanted)
        assert planner.make(context, wanted).fingerprint == plan.fingerprint
        run(context, plan)
        assert planner.make(context, world.wanted(text)).changes == []
        first = exported(context)
        world = with_stored_secrets(context, world)
        assert planner.make(context, world.wanted(first, prunes=True)).changes == []
        context.session.rollback()
        context.public.rollback()
    assert not any(secret in first for secret in ENVIRONMENT.values())
    with world.transaction() as context:
        run(context, planner.make(context, world.wanted(first)))
        assert exported(context) == first
        context.session.rollback()
        context.public.rollback()


@given(text=FILES)
@settings(max_examples=examples(3), phases=PHASES)
def test_any_file_survives_export_and_apply(engine: Engine, org: Organization, text: str) -> None:
    _require_round_trip(engine, org, text)


@pytest.mark.thorough
@given(text=FILES)
@settings(max_examples=examples(4), phases=PHASES)
def test_many_files_survive_export_and_apply(engine: Engine, org: Organization, text: str) -> None:
    _require_round_trip(engine, org, text)

"""Files change monitors, rules and receivers as commands do, in one transaction, and say before what that does."""

import pytest
from sqlalchemy import Engine

from dcmon import errors, file_errors
from dcmon.alerting.change_context import Actor
from dcmon.alerting.rules import Condition
from dcmon.app import App
from dcmon.db import Organization
from dcmon.declarations import planner
from dcmon.declarations.applying import run, total
from dcmon.monitoring import dashboards, ingestion_rules, monitors
from dcmon.monitoring.ingestion_rules import IngestionType, NewIngestionRule
from dcmon.operators import Operator
from dcmon.severity import Severity
from dcmon.states import AlertState
from dcmon.storage import models
from dcmon.windows import Frequency
from tests.helpers.declared_worlds import World, exported, lines, with_stored_secrets
from tests.helpers.judged_results import create_rule, store_and_judge, stored_alerts
from tests.integration.conftest import Target

MODEL = """
models:
  credit:
    monitors:
      Drift:
        check: FeatureDrift
        frequency: DAY
        {more}
        rules: [{rule}]
"""
RULE = "{condition: '> 0.2', severity: high}"


@pytest.fixture
def world(engine: Engine, org: Organization) -> World:
    """Return organization acme."""
    return World(engine, org, {"HOOK": "https://hooks.example.org/x", "TOKEN": "s3cret-word-1"})


@pytest.fixture
def firing(target: Target) -> Target:
    """Return a model whose rule "> 0.2" on monitor Drift has an alert that fires."""
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    return target


def text(more: str = "", rule: str = RULE) -> str:
    return MODEL.replace("{more}", more).replace("{rule}", rule)


def states(target: Target) -> list[str]:
    return [alert.state for alert in stored_alerts(target)]


def test_equal_file_changes_nothing(world: World, firing: Target) -> None:
    assert lines(world.plan(text())) == []
    assert lines(world.plan("models: {credit: {label_ratio: 1, label_delay: 72h}}")) == []


def test_change_of_values_ends_alerts(world: World, firing: Target) -> None:
    applied = world.apply(text("rows: 500"))
    assert total(applied) == {"alerts ended": 1}
    assert states(firing) == [AlertState.RESOLVED]
    assert firing.scalar("select revision from monitors") == 2


def test_change_of_description_keeps_alerts(world: World, firing: Target) -> None:
    assert total(world.apply(text("description: 'new: text'"))) == {}
    assert states(firing) == [AlertState.FIRING]


def test_change_of_a_rule_judges_again(world: World, firing: Target) -> None:
    [change] = world.plan(text(rule="{condition: '> 0.6', severity: high}")).changes
    assert [(field.name, field.before, field.after) for field in change.fields] == [("condition", "> 0.2", "> 0.6")]
    assert total(world.apply(text(rule="{condition: '> 0.6', severity: high}"))) == {"alerts ended": 1}
    assert firing.scalar("select count(*) from alert_rules") == 1


def test_change_of_a_check_reaches_all_its_monitors(world: World, firing: Target) -> None:
    check = "models: {credit: {checks: {FeatureDrift: {class: FeatureDrift, parameters: {min_samples: 7}}}}}"
    assert total(world.apply(check)) == {"alerts ended": 1}
    other = check.replace("FeatureDrift: {class", "Other: {class")
    assert lines(world.plan(other)) == ["create check credit/Other"]
    applied = world.apply(other + "\n---" + text().replace("check: FeatureDrift", "check: Other"))
    assert total(applied) == {}
    assert firing.scalar("select c.name from monitors m join checks c on c.id = m.check_id") == "Other"


def test_renamed_monitor_keeps_its_results(world: World, firing: Target) -> None:
    renamed = text("renamed_from: Drift").replace("Drift:\n", "Drift of age:\n")
    assert lines(world.plan(renamed)) == ["change monitor credit/Drift of age"]
    assert total(world.apply(renamed)) == {}
    assert firing.scalar("select count(*) from results") == 1
    assert lines(world.plan(text().replace("Drift:\n", "Other:\n"))) == [
        "create monitor credit/Other", "create rule credit/Other/> 0.2"
    ]  # fmt: skip


def test_prune_deletes_only_what_the_file_covers(world: World, firing: Target) -> None:
    empty = "models: {credit: {monitors: {}}}"
    plan = world.plan(empty)
    assert (lines(plan), [entry.path for entry in plan.unmanaged]) == ([], [("credit", "Drift")])
    assert lines(world.plan(empty, prunes=True)) == ["delete monitor credit/Drift"]
    assert total(world.apply(empty, prunes=True)) == {
        "results deleted": 1, "rules deleted": 1, "alerts deleted": 1, "alerts ended": 1
    }  # fmt: skip
    assert firing.scalar("select count(*) from webhooks") == 1
    assert lines(world.plan("models: {}\nreceivers: {}", prunes=True)) == ["delete receiver team"]
    assert firing.scalar("select count(*) from models") == 1


def test_check_of_a_moved_monitor_can_be_pruned(world: World, firing: Target) -> None:
    moved = "models: {credit: {checks: {New: {class: FeatureDrift}}, monitors: {Drift: {check: New}}}}"
    world.apply(moved, prunes=True)
    assert firing.scalar("select string_agg(name, ',') from checks") == "New"
    assert firing.scalar("select count(*) from results") == 1


def test_refused_change_leaves_nothing_behind(world: World, firing: Target) -> None:
    before = world.export()
    refused = text("rows: 500") + "receivers: {a: {url: 'http://10.0.0.1/x'}}"
    with pytest.raises(errors.InvalidInput, match="receiver 'a' can't be created"):
        world.apply(refused)
    assert world.export() == before


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("models: {crdit: {monitors: {}}}", "monitoring.yaml:1:10: models / crdit: There is no model 'crdit'. Do you"),
        ("models: {credit: {task: regression}}", "task of a model can't change from binary to regression"),
        ("models: {credit: {versions: {v1: {features: {age: text}}}}}", "features of a version can't change"),
        ("models: {credit: {monitors: {a: {check: Nothing}}}}", "has no check 'Nothing'"),
        ("models: {credit: {checks: {FeatureDrift: {class: MixedNulls}}}}", "class of a check can't change"),
    ],
)
def test_what_the_organization_refuses_has_its_place(world: World, firing: Target, file: str, fault: str) -> None:
    with pytest.raises(file_errors.InvalidFiles) as refusal:
        world.plan(file)
    assert fault in str(refusal.value)


def test_plan_that_another_session_overtook_is_refused(world: World, firing: Target) -> None:
    wanted = world.wanted(text("rows: 500"))
    with world.transaction() as context:
        fingerprint = planner.make(context, wanted).fingerprint
    world.apply(text("rows: 400"))
    with world.transaction() as context, pytest.raises(errors.Conflict, match="changed after this plan"):
        planner.apply(context, wanted, fingerprint)
    assert firing.scalar("select rows from monitors") == 400


def test_secret_that_is_not_known_stays_as_it_is(world: World, target: Target) -> None:
    file = "receivers: {a: {url: '${HOOK}', headers: {X-A: '${TOKEN}'}}}"
    world.apply(file)
    unknown = World(world.engine, world.org)
    plan = unknown.plan(file)
    assert (lines(plan), "left as it is" in plan.remarks[0]) == ([], True)
    unknown.apply(file.replace("}}}", "}, cap: 3}}"))
    assert lines(world.plan(file.replace("}}}", "}, cap: 3}}"))) == []
    other = World(world.engine, world.org, {**world.environment, "TOKEN": "another"})
    [change] = other.plan(file).changes
    assert "s3cret" not in repr(change.fields)
    assert "another" not in repr(change.fields)
    with pytest.raises(errors.InvalidInput, match="needs the variable HOOK"):
        unknown.apply(file.replace("{a:", "{b:"))
    with pytest.raises(errors.InvalidInput, match="needs the variable TOKEN"):  # it is not sent to another host
        unknown.apply(file.replace("${HOOK}", "https://other.example/x"))


def test_signing_secret_is_set_and_never_exported(world: World, target: Target) -> None:
    secret = {"SIGN": "whsec_" + "QUJD" * 11}
    signed = World(world.engine, world.org, {**world.environment, **secret})
    file = "receivers: {a: {url: '${HOOK}', signing_secret: '${SIGN}'}}"
    signed.apply(file)
    assert signed.plan(file).changes == []
    assert "sign" not in signed.export()


def test_models_of_receivers_follow_a_renamed_model(world: World, target: Target) -> None:
    world.apply("receivers: {a: {url: '${HOOK}', models: [credit]}}")
    renamed = "models: {loans: {renamed_from: credit}}\nreceivers: {a: {url: '${HOOK}', models: [loans]}}"
    assert lines(world.plan(renamed)) == ["change model loans"]
    world.apply(renamed)


def test_organization_with_all_objects_is_copied(app: App, world: World, firing: Target) -> None:
    """What only HTTP creates is exported, too: a dashboard, a data-ingestion rule, choices in other forms."""
    with app.org(firing.org) as session:
        model = models.get(session, firing.model_id)
        monitor = monitors.find(session, "Drift")
        monitor.dashboard_id = dashboards.get_or_create(session).id
        monitor.additional_kwargs = {"check_conf": {"feature": "age", "odd": [1, {"a": None}]}, "res_conf": None}
        monitor.data_filters = {"filters": [{"column": "age", "operator": "in", "value": [1, "2", None, 2.0]}]}
        new = NewIngestionRule(
            "few", IngestionType.SAMPLE_COUNT, Frequency.DAY, Condition(Operator.LESS_THAN, 10.0), Severity.HIGH
        )
        ingestion_rules.create(session, Actor(firing.org, "ann", None, None), model, new)
    with world.transaction() as context:
        first = exported(context)
        filled = with_stored_secrets(context, world)
    assert filled.plan(first, prunes=True).changes == []
    with filled.transaction() as context:
        for statement in ("delete from models", "delete from webhooks", "delete from dashboards"):
            context.session.connection().exec_driver_sql(statement)
        run(context, planner.make(context, filled.wanted(first)))
        assert exported(context) == first


def test_silence_that_is_over_is_no_change(world: World, target: Target) -> None:
    past = "silences: [{matchers: [model=credit], from: 2020-01-01, until: 2020-01-02}]"
    assert lines(world.plan(past)) == []
    future = past.replace("2020-01-02", "2100-01-01")
    assert total(world.apply(future)) == {}
    assert lines(world.plan("silences: []", prunes=True)) == ["delete silence model=credit until 2100-01-01T00:00:00Z"]
    world.apply("silences: []", prunes=True)

"""A model's default monitors are turned off and on again without a loss of results or alerts."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from dcmon.alerting.change_context import Actor
from dcmon.app import App
from dcmon.db.tables.org import AlertRule, Check, Model, Monitor
from dcmon.monitoring import default_monitors, default_sets, model_checks, monitor_views
from dcmon.monitoring.default_sets import SetChange
from dcmon.states import AlertState, DefaultSet
from dcmon.tenancy import organizations
from dcmon.windows import Frequency
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.evaluation import log_day
from tests.helpers.examples import examples
from tests.helpers.judged_results import create_rule, store_and_judge, stored_alerts
from tests.integration.conftest import Target
from tests.integration.http.test_rules import send_request

N_SDK, N_OWN = 8, 8
N_SDK_RULES, N_OWN_RULES = 7, 10
CHOICES = list(DefaultSet)


def choose(app: App, target: Target, chosen: str, frequency: Frequency | None = None) -> SetChange:
    with app.org(target.org) as session:
        model = session.get_one(Model, target.model_id)
        actor = Actor.from_settings(target.org, "ann", app.settings)
        return default_sets.choose(session, actor, model, DefaultSet(chosen), frequency)


def count(target: Target, what: str) -> int:
    return int(target.scalar(f"select count(*) from {what}"))


def active_rules(target: Target) -> tuple[int, int]:
    """Return the number of active rules on monitors of the SDK and of dcmon's own."""
    statement = """select count(*) filter (where c.module_name <> 'dcmon'),
                   count(*) filter (where c.module_name = 'dcmon')
              from alert_rules r join monitors m on m.id = r.monitor_id join checks c on c.id = m.check_id
             where r.is_active"""
    return tuple(target.scalar(f"select array[a, b] from ({statement}) as counted(a, b)"))


def test_choices_create_what_is_missing_and_turn_rules(app: App, target: Target) -> None:
    assert choose(app, target, "sdk") == SetChange(N_SDK)
    assert choose(app, target, "all") == SetChange(N_OWN)
    assert choose(app, target, "all") == SetChange()
    assert choose(app, target, "sdk") == SetChange(rules_off=N_OWN_RULES)
    assert active_rules(target) == (N_SDK_RULES, 0)
    assert choose(app, target, "none") == SetChange(rules_off=N_SDK_RULES)
    assert choose(app, target, "none") == SetChange()
    assert choose(app, target, "all") == SetChange(rules_on=N_SDK_RULES + N_OWN_RULES)
    assert (count(target, "monitors"), active_rules(target)) == (N_SDK + N_OWN, (N_SDK_RULES, N_OWN_RULES))


@settings(max_examples=examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choices=st.lists(st.sampled_from(CHOICES), min_size=1, max_size=4))
def test_active_rules_depend_on_the_last_choice_alone(app: App, target: Target, choices: list[DefaultSet]) -> None:
    for chosen in choices:
        choose(app, target, chosen)
    last = choices[-1]
    assert active_rules(target) == (N_SDK_RULES * last.has_sdk, N_OWN_RULES * last.has_own)


def test_turned_off_rule_ends_its_alert_and_keeps_results(app: App, target: Target) -> None:
    """The alert keeps its history, with the name of the person who turned the rule off, and is told to receivers."""
    create_rule(target, "> 0.2")
    with app.org(target.org) as session:
        session.scalars(select(Check)).one().name = "Feature Drift"
        session.scalars(select(Monitor)).one().name = "Aggregated Feature Drift"
    store_and_judge(target, 0, 0.5)
    assert [alert.state for alert in stored_alerts(target)] == [AlertState.FIRING]
    changed = choose(app, target, "none")
    assert (changed.rules_off, changed.notifications) == (1, 1)
    assert [alert.state for alert in stored_alerts(target)] == [AlertState.RESOLVED]
    assert count(target, "results") == 1
    assert target.scalar("select by from alert_changes order by id desc limit 1") == "ann"


def test_rule_that_a_person_turned_off_stays_off(app: App, target: Target) -> None:
    choose(app, target, "all")
    target.scalar("with r as (update alert_rules set is_active = false where id = 1 returning 1) select 1 from r")
    assert choose(app, target, "all") == SetChange()
    assert active_rules(target) == (N_SDK_RULES - 1, N_OWN_RULES)


def test_users_own_monitors_keep_their_rules(app: App, target: Target) -> None:
    create_rule(target, "> 0.2")
    choose(app, target, "all")
    choose(app, target, "none")
    assert active_rules(target) == (1, 0)


def test_model_of_an_earlier_release_gets_missing_defaults(app: App, target: Target) -> None:
    """dcmon's own take over the frequency of the SDK's defaults, and evaluate windows that are stored already."""
    with app.org(target.org) as session:
        model = session.get_one(Model, target.model_id)
        default_monitors.create_defaults(session, model, Frequency.HOUR, DefaultSet.SDK)
        assert model.default_monitors is None
    log_day(app, target, 0, count=50)
    target.scalar("with gone as (delete from due_windows returning 1) select count(*) from gone")
    assert choose(app, target, "all") == SetChange(N_OWN)
    assert count(target, "monitors where frequency <> 'HOUR'") == 0
    assert count(target, "due_windows") > 0


def test_first_choice_renews_rules_of_an_earlier_release(app: App, target: Target) -> None:
    """Rules of the SDK get the settings that new ones have, once; one that a person changed stays as it is."""
    with app.org(target.org) as session:
        model = session.get_one(Model, target.model_id)
        default_monitors.create_defaults(session, model, Frequency.DAY, DefaultSet.SDK)
        for rule in session.scalars(select(AlertRule)):
            rule.condition, rule.min_n, rule.keep_firing = None, 0, 0
        session.get_one(AlertRule, 1).keep_firing = 1
        session.get_one(AlertRule, 2).threshold = 0.3
    assert choose(app, target, "sdk") == SetChange(rules_renewed=N_SDK_RULES - 2)
    assert count(target, "alert_rules where min_n = 30 and condition like '%unless usual'") == N_SDK_RULES - 2
    assert choose(app, target, "sdk") == SetChange()


def test_deleted_own_monitor_comes_back_alone(app: App, target: Target) -> None:
    choose(app, target, "all")
    target.scalar("with gone as (delete from monitors where name = 'Volume of Rows' returning 1) select 1 from gone")
    assert choose(app, target, "all") == SetChange(1)


@pytest.fixture
def endpoint(app: App, acme: Acme) -> Iterator[Endpoint]:
    with serving(app, acme.token) as client:
        yield client


def post_model(endpoint: Endpoint, **fields: Any) -> int:
    return int(send_request(endpoint, "POST", "models", {"name": "m", "task_type": "binary", **fields})["id"])


def monitors_of(app: App, acme: Acme) -> dict[str, str]:
    """Return the frequency of each monitor, by name."""
    with app.org(acme.org) as session:
        return {row.name: row.frequency for row in session.execute(select(Monitor.name, Monitor.frequency))}


def test_http_chooses_defaults_and_their_frequency(app: App, acme: Acme, endpoint: Endpoint) -> None:
    model_id = post_model(endpoint, defaults="all", frequency="WEEK")
    assert list(monitors_of(app, acme).values()) == ["WEEK"] * (N_SDK + N_OWN)
    assert send_request(endpoint, "GET", f"models/{model_id}")["defaults"] == "all"
    changed = send_request(endpoint, "PUT", "models/m/defaults?identifier_kind=name", {"defaults": "sdk"})
    assert changed == {
        "defaults": "sdk",
        "monitors_created": 0,
        "rules_on": 0,
        "rules_off": N_OWN_RULES,
        "rules_renewed": 0,
    }
    send_request(endpoint, "PUT", f"models/{model_id}/defaults", {"defaults": "some"}, 422)
    assert post_model(endpoint) == model_id
    assert send_request(endpoint, "GET", f"models/{model_id}")["defaults"] == "sdk"


def test_monitors_are_marked_with_their_origin(app: App, acme: Acme, endpoint: Endpoint) -> None:
    model_id = post_model(endpoint, defaults="all")
    with app.org(acme.org) as session:
        views = monitor_views.list_views(session, model_id)
        origins = Counter(monitor_views.monitor_row(view)["default"] for view in views)
        monitor_ids = [view.monitor.id for view in views]
    assert origins == {"sdk": N_SDK, "dcmon": N_OWN}
    assert Counter(send_request(endpoint, "GET", f"monitors/{number}")["default"] for number in monitor_ids) == origins


def test_check_of_a_script_may_have_the_name_of_a_default(app: App, acme: Acme, endpoint: Endpoint) -> None:
    """A script for the SDK does not know the names of dcmon's own checks: these make room, and stay the defaults."""
    model_id = post_model(endpoint)
    config = {"module_name": "deepchecks.tabular.checks.data_integrity.percent_of_nulls",
              "class_name": "PercentOfNulls", "params": {}}  # fmt: skip
    body = [{"name": "New Values", "config": config}]
    send_request(endpoint, "POST", f"models/{model_id}/checks", body)
    assert [check["name"] for check in send_request(endpoint, "GET", f"models/{model_id}/checks")] == ["New Values"]
    names = {check["name"] for check in send_request(endpoint, "GET", f"models/{model_id}/checks?own=true")}
    assert {"New Values", "New Values (dcmon)"} < names
    send_request(endpoint, "POST", f"models/{model_id}/checks", body, 400)
    changed = send_request(endpoint, "PUT", f"models/{model_id}/defaults", {"defaults": "none"})
    assert (changed["monitors_created"], changed["rules_off"]) == (0, N_OWN_RULES)


def test_own_default_beside_a_check_of_the_same_name(app: App, target: Target) -> None:
    with app.org(target.org) as session:
        model = session.get_one(Model, target.model_id)
        model_checks.get_or_create_check(session, model, "PercentOfNulls", {}).name = "New Values"
    assert choose(app, target, "all") == SetChange(N_SDK + N_OWN)
    assert choose(app, target, "all") == SetChange()
    assert count(target, "checks where name like 'New Values%'") == 2


def test_http_without_a_choice_creates_own_defaults(app: App, acme: Acme, endpoint: Endpoint) -> None:
    post_model(endpoint)
    assert len(monitors_of(app, acme)) == N_OWN
    post_model(endpoint, name="other", defaults="none")
    assert len(monitors_of(app, acme)) == N_OWN


@pytest.mark.parametrize("chosen", [DefaultSet.SDK, DefaultSet.NONE])
def test_http_follows_the_choice_of_the_organization(
    app: App, acme: Acme, endpoint: Endpoint, chosen: DefaultSet
) -> None:
    """The SDK adds its own default monitors itself, so that dcmon creates none of them."""
    with app.public() as session:
        organizations.set_default_monitors(session, acme.org, chosen)
    model_id = post_model(endpoint)
    assert monitors_of(app, acme) == {}
    assert send_request(endpoint, "GET", f"models/{model_id}")["defaults"] == chosen


@pytest.mark.parametrize(("frequency", "n_own"), [("HOUR", N_OWN), ("DAY", N_OWN), ("MONTH", N_OWN - 1)])
def test_own_defaults_follow_the_frequency_of_the_sdk(
    app: App, acme: Acme, endpoint: Endpoint, frequency: str, n_own: int
) -> None:
    """The SDK names the frequency only with the first monitor that it creates. A month has no volume of rows."""
    model_id = post_model(endpoint)
    config = {"module_name": "deepchecks.tabular.checks.train_test_validation.feature_drift",
              "class_name": "FeatureDrift", "params": {"min_samples": 100}}  # fmt: skip
    created = send_request(endpoint, "POST", f"models/{model_id}/checks", [{"name": "Feature Drift", "config": config}])
    body = {"name": "Aggregated Feature Drift", "lookback": 0, "aggregation_window": 1, "frequency": frequency}
    send_request(endpoint, "POST", f"checks/{created[0]['id']}/monitors", body)
    assert list(monitors_of(app, acme).values()) == [frequency] * (n_own + 1)


def test_other_monitors_do_not_change_own_defaults(app: App, acme: Acme, endpoint: Endpoint) -> None:
    model_id = post_model(endpoint)
    config = {"module_name": "deepchecks.tabular.checks.train_test_validation.feature_drift",
              "class_name": "FeatureDrift", "params": {}}  # fmt: skip
    created = send_request(endpoint, "POST", f"models/{model_id}/checks", [{"name": "Feature Drift", "config": config}])
    body = {"name": "Mine", "lookback": 0, "aggregation_window": 1, "frequency": "HOUR"}
    send_request(endpoint, "POST", f"checks/{created[0]['id']}/monitors", body)
    assert sorted(monitors_of(app, acme).values()) == ["DAY"] * N_OWN + ["HOUR"]

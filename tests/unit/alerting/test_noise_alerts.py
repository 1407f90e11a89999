"""What a rule does on windows without a change: how many alerts it counts, and what it proposes instead."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.alerting import noise_alerts
from dcmon.alerting.condition_parser import parse
from dcmon.alerting.noise_alerts import NoiseAlerts, QuietSeries, SeriesCounts
from dcmon.alerting.state_machine import Policy
from tests.helpers.examples import examples
from tests.helpers.observed_window import ObservedWindow

START = datetime(2026, 1, 5, tzinfo=UTC)


def series(values: Sequence[float], lead: int = 0, n: int = 100, state: str = "OK") -> QuietSeries:
    windows = [
        ObservedWindow(START + timedelta(days=day), START + timedelta(days=day + 1), state, {"Score": value}, n=n)
        for day, value in enumerate(values)
    ]
    return QuietSeries(windows[:lead], windows[lead:], {"Score": 0.5})


def uniform(n_series: int, length: int, seed: int = 1, lead: int = 0) -> list[QuietSeries]:
    chance = np.random.default_rng(seed)
    return [series(chance.random(length + lead).tolist(), lead) for _ in range(n_series)]


def noise(condition: str, drawn: list[QuietSeries], per_day: float = 1.0, **more: int) -> NoiseAlerts:
    return noise_alerts.count(Policy(parse(condition), **more), drawn, per_day)


def test_alerts_are_those_of_the_state_machine_in_30_days() -> None:
    """One alert for two violated windows in a row, in 10 days; hourly windows give 24 times as many a month."""
    drawn = [series([0, 0.9, 0.9, 0, 0, 0, 0.9, 0, 0, 0])]
    daily = noise("> 0.5", drawn)
    assert (daily.windows, daily.alerts_per_30_days) == (10, 6)
    assert daily.violated_per_year == pytest.approx(3 / 10 * 365)
    assert noise("> 0.5", drawn, 24).alerts_per_30_days == 6 * 24
    assert noise("> 0.5", drawn, for_windows=2).alerts_per_30_days == 3
    assert noise("> 0.5", drawn, keep_firing=3).alerts_per_30_days == 3


def test_windows_before_give_values_but_no_alerts() -> None:
    changed = noise("rise > 0.5", [series([0, 0.9, 0, 0.9], lead=1)])
    assert (changed.windows, changed.counts[0].without_verdict, changed.counts[0].alerts) == (3, 0, 2)


def test_change_against_the_reference_uses_the_series_baseline() -> None:
    assert noise("drop > 0.3 against reference", [series([0.1, 0.4])]).counts[0].violated == 1


def test_interval_without_an_alert_says_how_many_there_may_be() -> None:
    """The rule of three: none in n windows are fewer than 3.7 in n with 97.5 %."""
    quiet = noise("> 2", uniform(10, 30))
    assert quiet.alerts_per_30_days == 0
    assert quiet.interval.low == 0
    assert quiet.interval.high == pytest.approx(3.69 / 300 * 30, rel=0.02)


@pytest.mark.parametrize(("level", "expected"), [(0.9, 3.0 * 0.9), (0.99, 0.3 * 0.99)])
def test_interval_contains_the_true_number_of_alerts(level: float, expected: float) -> None:
    """An alert begins at a violated window after an ok one: level * (1 - level) of the windows."""
    n_inside = 0
    for seed in range(200):
        interval = noise(f"> {level}", uniform(10, 40, seed)).interval
        n_inside += interval.low <= expected <= interval.high
    assert n_inside >= 184  # 190 are expected; fewer than 184 in one of 250 runs


def test_series_that_differ_widen_the_interval() -> None:
    """Some references differ from others by chance: then 20 alerts say less than 20 independent ones."""
    alike = [series([0.9, 0] * 2 + [0] * 26) for _ in range(10)]
    different = [series([0.9, 0] * 10 + [0] * 10), *(series([0] * 30) for _ in range(9))]
    first, second = noise("> 0.5", alike), noise("> 0.5", different)
    assert first.alerts_per_30_days == pytest.approx(2 * second.alerts_per_30_days)
    assert second.interval.high > first.interval.high
    assert second.interval.low < 0.2 * first.interval.low


def test_rule_that_alerts_too_much_has_proposals_that_do_not() -> None:
    drawn = uniform(10, 60)
    noisy = noise("> 0.9", drawn)
    assert noisy.is_too_much
    by_condition, by_windows = noisy.proposals
    assert by_condition.condition is not None
    threshold = parse(by_condition.condition)
    assert threshold.threshold > 0.9
    assert not noise(by_condition.condition, drawn).is_too_much
    assert by_windows.for_windows is not None
    waits = noise("> 0.9", drawn, for_windows=by_windows.for_windows)
    assert not waits.is_too_much
    assert waits.alerts_per_30_days == by_windows.alerts_per_30_days


def test_proposals_keep_the_rest_of_the_rule() -> None:
    drawn = uniform(10, 60)
    below = noise("Score < 0.2", drawn).proposals[0]
    assert below.condition is not None
    assert below.condition.startswith("Score < 0.0")
    warned = noise("Score > 0.9 warn 0.8", drawn).proposals[0]
    assert warned.condition is not None
    assert warned.condition.startswith("Score > 0.9")
    assert "warn" not in warned.condition


def test_rule_that_always_fires_is_too_much_with_one_alert() -> None:
    always = noise("> -1", uniform(1, 60))
    assert (always.alerts_per_30_days, always.firing_share, always.is_too_much) == (0.5, 1.0, True)


def test_changes_from_zero_have_no_proposed_threshold() -> None:
    """In percent they are infinite."""
    drawn = [series([0, 1] * 30) for _ in range(5)]
    assert all(proposal.condition is None for proposal in noise("rise > 10%", drawn).proposals)


def test_windows_without_a_verdict_are_counted() -> None:
    few = noise("> 0.5", [series([0.9] * 4, n=5)], min_n=10)
    assert (few.counts[0].without_verdict, few.counts[0].alerts, few.is_too_much) == (4, 0, False)
    assert noise("> 0.5", [series([0.9] * 4, state="INSUFFICIENT")]).counts[0].without_verdict == 4


def test_number_of_values_depends_on_what_the_condition_looks_at() -> None:
    start = START
    entries = {f"f{number}": 0.1 for number in range(30)}
    windows = [ObservedWindow(start, start + timedelta(days=1), "OK", {"Max": 0.1}, entries)]
    drawn = [QuietSeries([], windows, {})]
    assert noise("any feature > 0.5", drawn).looks_at == 30
    assert noise("feature f1 > 0.5", drawn).looks_at == 1
    assert noise("> 0.5", drawn).looks_at == 1


counts = st.builds(SeriesCounts, st.just(50), st.just(0), st.integers(0, 50), st.integers(0, 50), st.integers(0, 25))


@settings(max_examples=examples(100))
@given(st.lists(counts, min_size=1, max_size=20), st.sampled_from([1 / 30, 1 / 7, 1.0, 24.0]))
def test_interval_contains_the_estimate(each: list[SeriesCounts], per_day: float) -> None:
    estimate = NoiseAlerts(per_day, each, 1)
    assert 0 <= estimate.interval.low <= estimate.alerts_per_30_days <= estimate.interval.high

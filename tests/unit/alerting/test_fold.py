"""Alerts are a fold over results in order of windows."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dcmon.alerting.condition_parser import parse
from dcmon.alerting.rule_conditions import Condition
from dcmon.alerting.state_machine import Policy, fold

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Found:
    window_start: datetime
    window_end: datetime
    state: str
    metrics: dict[str, float]
    entries: dict[str, float] = field(default_factory=dict)
    n: int = 100


def results(values: list[float | None]) -> list[Found]:
    """None: a window without a verdict."""
    days = [START + timedelta(days=number) for number in range(len(values) + 1)]
    return [
        Found(
            days[number], days[number + 1], "NO_DATA" if value is None else "OK", {} if value is None else {"m": value}
        )
        for number, value in enumerate(values)
    ]


series = st.lists(st.none() | st.floats(0, 1), max_size=30)


def test_bad_windows_in_a_row_are_one_alert_with_first_last_worst_and_current() -> None:
    found = results([0.1, 0.3, 0.9, 0.4, 0.1])
    (episode,) = fold(found, Policy(Condition("greater_than", 0.2)))
    assert (episode.first, episode.last, episode.worst) == (found[1], found[3], found[2])
    assert (episode.worst_value, episode.current_value, episode.windows) == (0.9, 0.1, 3)
    assert not episode.is_open
    assert episode.closed_by == found[4].window_end


def test_a_window_without_a_verdict_neither_opens_nor_closes() -> None:
    (episode,) = fold(results([0.3, None, 0.4, None]), Policy(Condition("greater_than", 0.2)))
    assert episode.is_open
    assert episode.windows == 2
    assert fold(results([None, None]), Policy(Condition("greater_than", 0.2))) == []


def test_the_current_value_is_of_the_same_entry_as_the_worst() -> None:
    days = [START + timedelta(days=number) for number in range(4)]
    shares = ({"age": 0.7, "job": 0.1}, {"age": 0.1, "job": 0.6}, {"job": 0.6})
    found = [Found(start, end, "OK", {}, share) for (start, end), share in zip(pairwise(days), shares, strict=True)]
    policy = Policy(parse("any feature > 0.3"))
    (episode,) = fold(found[:2], policy)
    assert (episode.metric, episode.worst_value, episode.current_value) == ("age", 0.7, 0.1)
    (episode,) = fold(found, policy)
    assert (episode.metric, episode.current_value, episode.is_open) == ("age", None, True)


def test_the_worst_is_furthest_beyond_a_lower_bound_too() -> None:
    (episode,) = fold(results([0.5, 0.1, 0.4]), Policy(Condition("less_than", 0.6)))
    assert episode.worst_value == 0.1


def test_any_metric_can_break_a_rule() -> None:
    found = Found(START, START + timedelta(days=1), "OK", {"a": 0.1, "b": 0.7, "c": 0.3})
    (episode,) = fold([found], Policy(Condition("greater_than", 0.2)))
    assert (episode.metric, episode.worst_value) == ("b", 0.7)


@given(series)
def test_episodes_are_in_order_apart_and_only_the_last_can_be_open(values: list[float | None]) -> None:
    episodes = fold(results(values), Policy(Condition("greater_than", 0.5)))
    for before, after in pairwise(episodes):
        assert before.last.window_end < after.first.window_end
        assert not before.is_open
        assert before.closed_by is not None
        assert before.closed_by < after.first.window_end


@given(series)
def test_every_bad_window_is_in_exactly_one_episode(values: list[float | None]) -> None:
    episodes = fold(results(values), Policy(Condition("greater_than", 0.5)))
    assert sum(episode.windows for episode in episodes) == sum(value is not None and value > 0.5 for value in values)

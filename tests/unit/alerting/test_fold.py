"""Alerts are computed from the results of consecutive windows."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dcmon.alerting.condition_parser import parse
from dcmon.alerting.rule_conditions import Condition
from dcmon.alerting.state_machine import Policy, find_spans
from tests.helpers.observed_window import ObservedWindow

START = datetime(2026, 1, 1, tzinfo=UTC)


def results(values: list[float | None]) -> list[ObservedWindow]:
    """Return one daily window per value; None is a window without a verdict."""
    days = [START + timedelta(days=number) for number in range(len(values) + 1)]
    return [
        ObservedWindow(
            days[number], days[number + 1], "NO_DATA" if value is None else "OK", {} if value is None else {"m": value}
        )
        for number, value in enumerate(values)
    ]


series = st.lists(st.none() | st.floats(0, 1), max_size=30)


def test_violating_windows_in_a_row_are_one_alert() -> None:
    """The alert has the first, last and worst window and the current value."""
    judged_windows = results([0.1, 0.3, 0.9, 0.4, 0.1])
    (span,) = find_spans(judged_windows, Policy(Condition("greater_than", 0.2)))
    assert (span.first, span.last, span.worst) == (judged_windows[1], judged_windows[3], judged_windows[2])
    assert (span.worst_value, span.current_value, span.windows) == (0.9, 0.1, 3)
    assert not span.is_open
    assert span.closed_at == judged_windows[4].window_end


def test_window_without_verdict_neither_opens_nor_closes_alert() -> None:
    (span,) = find_spans(results([0.3, None, 0.4, None]), Policy(Condition("greater_than", 0.2)))
    assert span.is_open
    assert span.windows == 2
    assert find_spans(results([None, None]), Policy(Condition("greater_than", 0.2))) == []


def test_current_value_and_worst_value_are_of_the_same_entry() -> None:
    days = [START + timedelta(days=number) for number in range(4)]
    shares = ({"age": 0.7, "job": 0.1}, {"age": 0.1, "job": 0.6}, {"job": 0.6})
    windows = [
        ObservedWindow(start, end, "OK", {}, share) for (start, end), share in zip(pairwise(days), shares, strict=True)
    ]
    policy = Policy(parse("any feature > 0.3"))
    (span,) = find_spans(windows[:2], policy)
    assert (span.metric, span.worst_value, span.current_value) == ("age", 0.7, 0.1)
    (span,) = find_spans(windows, policy)
    assert (span.metric, span.current_value, span.is_open) == ("age", None, True)


def test_worst_value_of_a_lower_bound_is_the_smallest() -> None:
    (span,) = find_spans(results([0.5, 0.1, 0.4]), Policy(Condition("less_than", 0.6)))
    assert span.worst_value == 0.1


def test_rule_without_a_metric_name_is_violated_by_any_metric() -> None:
    window = ObservedWindow(START, START + timedelta(days=1), "OK", {"a": 0.1, "b": 0.7, "c": 0.3})
    (span,) = find_spans([window], Policy(Condition("greater_than", 0.2)))
    assert (span.metric, span.worst_value) == ("b", 0.7)


@given(series)
def test_alerts_are_in_order_and_only_the_last_is_open(values: list[float | None]) -> None:
    """Alerts do not overlap."""
    spans = find_spans(results(values), Policy(Condition("greater_than", 0.5)))
    for before, after in pairwise(spans):
        assert before.last.window_end < after.first.window_end
        assert not before.is_open
        assert before.closed_at is not None
        assert before.closed_at < after.first.window_end


@given(series)
def test_every_violating_window_is_in_exactly_one_alert(values: list[float | None]) -> None:
    spans = find_spans(results(values), Policy(Condition("greater_than", 0.5)))
    assert sum(span.windows for span in spans) == sum(value is not None and value > 0.5 for value in values)

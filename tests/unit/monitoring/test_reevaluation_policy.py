"""The decision when a window is evaluated for the first time and again."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dcmon.db.tables.org import Result
from dcmon.monitoring.reevaluation_policy import CheckInputs, Decision, WaitingTerms, decide
from dcmon.storage.sampling import WindowStatistics, lowest_level

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
QUIET = timedelta(minutes=5)


def last(n: int, labelled: int) -> Result:
    return Result(
        revision=1,
        n_rows=n,
        n_labelled=labelled,
        rows_revision=n,
        labels_revision=labelled,
        computed_at=NOW - timedelta(hours=1),
    )


def decision(statistics: WindowStatistics, before: Result | None = None, **options: Any) -> Decision:
    needs_labels = options.pop("needs_labels", False)
    terms = WaitingTerms(options.pop("label_ratio", 1.0), timedelta(days=3), QUIET)
    return decide(
        CheckInputs(statistics, needs_labels),
        before,
        terms,
        **({"is_same_monitor": True, "touched_at": NOW, "now": NOW} | options),
    )


def window(n: int, labelled: int = 0, logged: datetime = NOW) -> WindowStatistics:
    return WindowStatistics(n, labelled, n, labelled, logged)


def test_complete_window_is_evaluated_at_once() -> None:
    assert decision(window(100)).is_due


def test_check_on_labels_waits_for_the_label_ratio() -> None:
    assert decision(window(100, 50), needs_labels=True) == Decision(False, NOW + timedelta(days=3))
    assert decision(window(100, 50), needs_labels=True, label_ratio=0.5).is_due


def test_check_on_labels_waits_no_longer_than_the_label_delay() -> None:
    old = NOW - timedelta(days=3)
    assert decision(window(100, 0, old), needs_labels=True).is_due
    assert decision(window(0, 0), needs_labels=True).is_due


def test_window_without_new_rows_is_not_evaluated_again() -> None:
    assert decision(window(100), last(100, 0)) == Decision(False)


def test_new_labels_matter_only_to_checks_on_labels() -> None:
    assert decision(window(100, 90), last(100, 0)) == Decision(False)
    assert decision(window(100, 90), last(100, 50), needs_labels=True, label_ratio=0.5).is_due


@pytest.mark.parametrize(("n", "now"), [(105, False), (110, True), (200, True)])
def test_window_with_a_tenth_more_rows_is_evaluated_at_once(n: int, now: bool) -> None:
    assert decision(window(n), last(100, 0)).is_due is now


def test_window_with_fewer_new_rows_waits_for_a_quiet_period() -> None:
    assert decision(window(101), last(100, 0)) == Decision(False, NOW + QUIET)
    assert decision(window(101), last(100, 0), touched_at=NOW - QUIET).is_due


def test_changed_monitor_is_evaluated_again() -> None:
    assert decision(window(100), last(100, 0), is_same_monitor=False).is_due


def test_lowest_level_leaves_enough_rows_for_the_sample() -> None:
    assert lowest_level(10_000, 10_000) == 0
    assert lowest_level(24_000, 10_000) == 1
    for population in (50_000, 10**6, 10**8):
        level = lowest_level(population, 10_000)
        assert 12_000 <= population / 2**level < 24_000


def test_labels_in_small_parts_cause_few_evaluations() -> None:
    chance = random.Random(7)
    begin, rows = NOW, 5_000
    arrivals = sorted(begin + timedelta(days=chance.expovariate(1 / 7)) for _ in range(rows))
    evaluated, before, wakes = 0, None, begin
    for number, at in enumerate(arrivals, 1):
        for now in (wakes, at):
            if now > at or (now == wakes and before is None):
                continue
            arrived = number if now == at else number - 1
            decided = decision(
                window(rows, arrived, begin),
                before,
                needs_labels=True,
                label_ratio=0.01,
                now=now,
                touched_at=arrivals[arrived - 1],
            )
            if decided.is_due:
                evaluated += 1
                before = Result(
                    revision=evaluated, n_rows=rows, n_labelled=arrived, rows_revision=rows, labels_revision=arrived,
                    computed_at=now,
                )  # fmt: skip
            wakes = decided.again_at or at + timedelta(days=999)
    assert 20 < evaluated < 90


def test_quiet_period_doubles_with_each_revision() -> None:
    before = last(100, 0)
    for revision, waits in ((1, 1), (2, 2), (4, 8)):
        before.revision = revision
        assert decision(window(101), before) == Decision(False, NOW + waits * QUIET)
    before.revision = 30
    assert decision(window(101), before) == Decision(False, before.computed_at + timedelta(hours=24))

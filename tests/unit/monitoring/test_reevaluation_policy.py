"""When a complete window is evaluated, and when again."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dcmon.db.tables.org import Result
from dcmon.monitoring.reevaluation_policy import Decision, decide
from dcmon.storage.sampling import Extent, lowest_level

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


def judge(there: Extent, before: Result | None = None, **given: Any) -> Decision:
    usual = {
        "needs_labels": False, "label_ratio": 1.0, "label_delay": timedelta(days=3), "quiet": QUIET,
        "is_same_monitor": True, "touched_at": NOW, "now": NOW,
    }  # fmt: skip
    return decide(there, before, **(usual | given))


def there(n: int, labelled: int = 0, logged: datetime = NOW) -> Extent:
    return Extent(n, labelled, n, labelled, logged)


def test_a_complete_window_is_evaluated_at_once() -> None:
    assert judge(there(100)).now


def test_a_check_on_labels_waits_for_the_ratio() -> None:
    assert judge(there(100, 50), needs_labels=True) == Decision(False, NOW + timedelta(days=3))
    assert judge(there(100, 50), needs_labels=True, label_ratio=0.5).now


def test_or_until_the_delay_has_passed_since_the_newest_row_was_logged() -> None:
    old = NOW - timedelta(days=3)
    assert judge(there(100, 0, old), needs_labels=True).now
    assert judge(there(0, 0), needs_labels=True).now


def test_nothing_new_is_not_evaluated_again() -> None:
    assert judge(there(100), last(100, 0)) == Decision(False)


def test_labels_concern_only_checks_on_labels() -> None:
    assert judge(there(100, 90), last(100, 0)) == Decision(False)
    assert judge(there(100, 90), last(100, 50), needs_labels=True, label_ratio=0.5).now


@pytest.mark.parametrize(("n", "now"), [(105, False), (110, True), (200, True)])
def test_a_tenth_more_rows_is_worth_it_at_once(n: int, now: bool) -> None:
    assert judge(there(n), last(100, 0)).now is now


def test_less_waits_until_the_window_was_quiet() -> None:
    assert judge(there(101), last(100, 0)) == Decision(False, NOW + QUIET)
    assert judge(there(101), last(100, 0), touched_at=NOW - QUIET).now


def test_a_changed_monitor_or_reference_is_evaluated_again() -> None:
    assert judge(there(100), last(100, 0), is_same_monitor=False).now


def test_levels_are_skipped_only_where_enough_rows_remain() -> None:
    assert lowest_level(10_000, 10_000) == 0
    assert lowest_level(24_000, 10_000) == 1
    for population in (50_000, 10**6, 10**8):
        level = lowest_level(population, 10_000)
        assert 12_000 <= population / 2**level < 24_000


def test_labels_that_trickle_for_weeks_have_a_window_evaluated_some_dozens_of_times() -> None:
    chance = random.Random(7)
    begin, rows = NOW, 5_000
    arrivals = sorted(begin + timedelta(days=chance.expovariate(1 / 7)) for _ in range(rows))
    evaluated, before, wakes = 0, None, begin
    for number, at in enumerate(arrivals, 1):
        for now in (wakes, at):
            if now > at or (now == wakes and before is None):
                continue
            arrived = number if now == at else number - 1
            found = judge(
                there(rows, arrived, begin),
                before,
                needs_labels=True,
                label_ratio=0.01,
                now=now,
                touched_at=arrivals[arrived - 1],
            )
            if found.now:
                evaluated += 1
                before = Result(
                    revision=evaluated, n_rows=rows, n_labelled=arrived, rows_revision=rows, labels_revision=arrived,
                    computed_at=now,
                )  # fmt: skip
            wakes = found.again_at or at + timedelta(days=999)
    assert 20 < evaluated < 90


def test_each_revision_doubles_the_quiet_that_the_next_one_waits_for() -> None:
    before = last(100, 0)
    for revision, waits in ((1, 1), (2, 2), (4, 8)):
        before.revision = revision
        assert judge(there(101), before) == Decision(False, NOW + waits * QUIET)
    before.revision = 30
    assert judge(there(101), before) == Decision(False, before.computed_at + timedelta(hours=24))

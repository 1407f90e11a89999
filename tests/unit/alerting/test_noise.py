"""Count the alerts of pure noise: 100 monitors, a year of daily windows without any change. See docs/alerts.md."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest

from dcmon.alerting.condition_parser import parse
from dcmon.alerting.state_machine import Policy, find_spans
from tests.helpers.observed_window import ObservedWindow
from tests.helpers.paths import DOCS

MONITORS, DAYS, START = 100, 365, datetime(2026, 1, 1, tzinfo=UTC)


def window(day: int, value: float, n: int) -> ObservedWindow:
    at = START + timedelta(days=day)
    return ObservedWindow(at, at + timedelta(days=1), "OK", {"Drift Score": value}, n=n)


@cache
def drift() -> list[list[ObservedWindow]]:
    """Return Kolmogorov-Smirnov statistics of one distribution: 30 to 3,000 rows a day, 5,000 reference rows.

    Without drift, sqrt(n m / (n + m)) D follows Kolmogorov's distribution; drawn by inverting its series.
    """
    chance = np.random.default_rng(2026)
    rows = np.exp(chance.uniform(np.log(30), np.log(3000), (MONITORS, DAYS))).astype(int)
    lambdas = np.linspace(0.2, 3, 20_000)
    order = np.arange(1, 101)[:, None]
    chances = 1 - 2 * np.sum((-1.0) ** (order - 1) * np.exp(-2 * order**2 * lambdas**2), axis=0)
    drawn = np.interp(chance.uniform(0.0001, 0.9999, rows.shape), chances, lambdas)
    scores = drawn / np.sqrt(rows * 5000 / (rows + 5000))
    return [
        [window(day, float(scores[monitor, day]), int(rows[monitor, day])) for day in range(DAYS)]
        for monitor in range(MONITORS)
    ]


@cache
def scores() -> list[list[ObservedWindow]]:
    """Return the accuracy of 500 rows a day when the true accuracy is 0.9."""
    # numpy promises that these numbers never change; those of default_rng are others since numpy 2.5.
    chance = np.random.RandomState(2027)
    right = chance.binomial(500, 0.9, (MONITORS, DAYS)) / 500
    return [[window(day, float(right[monitor, day]), 500) for day in range(DAYS)] for monitor in range(MONITORS)]


def count_fired_alerts(series: list[list[ObservedWindow]], condition: str, **more: Any) -> int:
    """Count the alerts of a rule on all monitors in the year."""
    policy = Policy(parse(condition), **more)
    return sum(span.fired is not None for monitor in series for span in find_spans(monitor, policy))


DRIFT = [
    ("> 0.2", {}, 470),
    ("> 0.2", {"for_windows": 2}, 3),
    ("> 0.2", {"min_n": 100}, 1),
    ("> 0.1", {}, 5633),
    ("> 0.1", {"for_windows": 3}, 223),
    ("> 0.1", {"min_n": 300}, 5),
]
SCORES = [
    ("< 0.88", {}, 2151),
    ("< 0.88", {"keep_firing": 7}, 1331),
    ("< 0.88", {"for_windows": 2}, 122),
    ("< 0.88", {"for_windows": 3}, 11),
    ("deviation > 3 over 14", {}, 65),
    ("deviation > 3 over 30", {}, 99),
    ("deviation > 3 over 30", {"for_windows": 2}, 1),
]


@pytest.mark.parametrize(("condition", "more", "expected"), DRIFT)
def test_min_rows_and_waiting_reduce_alerts_of_drift_noise(condition: str, more: dict[str, Any], expected: int) -> None:
    assert count_fired_alerts(drift(), condition, **more) == expected


@pytest.mark.parametrize(("condition", "more", "expected"), SCORES)
def test_waiting_and_keep_firing_reduce_alerts_of_score_noise(
    condition: str, more: dict[str, Any], expected: int
) -> None:
    assert count_fired_alerts(scores(), condition, **more) == expected


def test_docs_show_these_alert_counts() -> None:
    page = (DOCS / "alerts.md").read_text()
    for condition, more, expected in (*DRIFT, *SCORES):
        options = " ".join(
            f"--{name.replace('_windows', '').replace('_', '-')} {value}" for name, value in more.items()
        )
        assert f"| `{condition}` | {f'`{options}`' if options else '—'} | {expected:,} |" in page

"""How many alerts pure noise gives: 100 monitors, a year of daily windows, nothing wrong. See docs/alerts.md."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest

from dcmon.alerting.condition_parser import parse
from dcmon.alerting.state_machine import Policy, find_spans
from tests.helpers.paths import DOCS

MONITORS, DAYS, START = 100, 365, datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Found:
    window_start: datetime
    window_end: datetime
    metrics: dict[str, float]
    n: int
    state: str = "OK"
    entries: dict[str, float] = field(default_factory=dict)


def window(day: int, value: float, n: int) -> Found:
    at = START + timedelta(days=day)
    return Found(at, at + timedelta(days=1), {"Drift Score": value}, n)


@cache
def drift() -> list[list[Found]]:
    """Kolmogorov-Smirnov statistics of samples of one distribution: 30 to 3,000 rows a day, a reference of 5,000.

    Under no drift sqrt(n m / (n + m)) D follows Kolmogorov's distribution: drawn by inverting its series.
    """
    chance = np.random.default_rng(2026)
    rows = np.exp(chance.uniform(np.log(30), np.log(3000), (MONITORS, DAYS))).astype(int)
    lambdas = np.linspace(0.2, 3, 20_000)
    order = np.arange(1, 101)[:, None]
    chances = 1 - 2 * np.sum((-1.0) ** (order - 1) * np.exp(-2 * order**2 * lambdas**2), axis=0)
    drawn = np.interp(chance.uniform(0.0001, 0.9999, rows.shape), chances, lambdas)
    scores = drawn / np.sqrt(rows * 5000 / (rows + 5000))
    return [
        [window(day, float(scores[one, day]), int(rows[one, day])) for day in range(DAYS)] for one in range(MONITORS)
    ]


@cache
def scores() -> list[list[Found]]:
    """Accuracy of 500 rows a day where the truth is 0.9."""
    chance = np.random.default_rng(2027)
    right = chance.binomial(500, 0.9, (MONITORS, DAYS)) / 500
    return [[window(day, float(right[one, day]), 500) for day in range(DAYS)] for one in range(MONITORS)]


def fired(series: list[list[Found]], condition: str, **more: Any) -> int:
    """How many alerts a rule gives on all monitors in the year."""
    policy = Policy(parse(condition), **more)
    return sum(span.fired is not None for one in series for span in find_spans(one, policy))


DRIFT = [
    ("> 0.2", {}, 470),
    ("> 0.2", {"for_windows": 2}, 3),
    ("> 0.2", {"min_n": 100}, 1),
    ("> 0.1", {}, 5633),
    ("> 0.1", {"for_windows": 3}, 223),
    ("> 0.1", {"min_n": 300}, 5),
]
SCORES = [
    ("< 0.88", {}, 2157),
    ("< 0.88", {"keep_firing": 7}, 1385),
    ("< 0.88", {"for_windows": 2}, 139),
    ("< 0.88", {"for_windows": 3}, 4),
    ("deviation > 3 over 14", {}, 398),
    ("deviation > 3 over 30", {}, 238),
    ("deviation > 3 over 30", {"for_windows": 2}, 2),
]


@pytest.mark.parametrize(("condition", "more", "expected"), DRIFT)
def test_noise_of_drift_is_tamed_by_fewest_rows_and_by_waiting(
    condition: str, more: dict[str, Any], expected: int
) -> None:
    assert fired(drift(), condition, **more) == expected


@pytest.mark.parametrize(("condition", "more", "expected"), SCORES)
def test_noise_of_scores_is_tamed_by_waiting_and_by_keeping_on(
    condition: str, more: dict[str, Any], expected: int
) -> None:
    assert fired(scores(), condition, **more) == expected


def test_the_page_shows_these_figures() -> None:
    page = (DOCS / "alerts.md").read_text()
    for condition, more, expected in (*DRIFT, *SCORES):
        options = " ".join(
            f"--{name.replace('_windows', '').replace('_', '-')} {value}" for name, value in more.items()
        )
        assert f"| `{condition}` | {f'`{options}`' if options else '—'} | {expected:,} |" in page

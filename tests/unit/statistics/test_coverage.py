"""Intervals contain the true value as often as they promise: a bounded run of `python -m benchmarks.coverage`."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from benchmarks.coverage import METRICS, coverage
from benchmarks.coverage_case import Case

REPLICATIONS = 1_200
DEVIATIONS = 3.5  # of a simulated share from what is promised


@pytest.mark.parametrize("n", [100, pytest.param(300, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.__name__)
def test_interval_covers_the_true_value_as_promised(metric: Callable[[], Iterator[Case]], n: int) -> None:
    """Seeds are fixed; a share of so many replications is 2 % off at most."""
    outside = []
    for case in metric():
        replications = REPLICATIONS if case.divisor == 1 else REPLICATIONS // 2
        share, (least, most) = coverage(case, n, replications), case.promises(n)
        n_drawn = replications // case.divisor
        tolerance = DEVIATIONS * np.sqrt(least * (1 - least) / n_drawn)
        if not np.isnan(share) and not least - tolerance <= share <= most + tolerance:
            outside.append((case.metric, case.source, case.true, share))
    assert outside == []

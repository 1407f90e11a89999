"""Intervals contain the true value as often as they promise: a bounded run of `python -m benchmarks.coverage`."""

import numpy as np
import pytest

from benchmarks.coverage import cases, coverage

CASES = list(cases())
REPLICATIONS = 1_200
DEVIATIONS = 3.5  # of a simulated share from what is promised


@pytest.mark.parametrize("n", [100, 300])
@pytest.mark.parametrize("metric", sorted({case.metric for case in CASES}))
def test_interval_covers_the_true_value_as_promised(metric: str, n: int) -> None:
    """Seeds are fixed; a share of so many replications is 2 % off at most."""
    outside = []
    for case in (case for case in CASES if case.metric == metric):
        replications = REPLICATIONS if case.divisor == 1 else REPLICATIONS // 2
        share, (least, most) = coverage(case, n, replications), case.promises(n)
        n_drawn = replications // case.divisor
        tolerance = DEVIATIONS * np.sqrt(least * (1 - least) / n_drawn)
        if not np.isnan(share) and not least - tolerance <= share <= most + tolerance:
            outside.append((case.source, case.true, share))
    assert outside == []

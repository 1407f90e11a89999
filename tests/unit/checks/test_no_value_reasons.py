"""Remarks on values, and the names that follow from them."""

import pytest

from dcmon.checks import no_value_reasons

METRIC = "L3 Weighted Drift Score"


@pytest.mark.parametrize("n", [2, 30, 1_000])
def test_weighted_name_of_a_plain_mean_says_so(n: int) -> None:
    remark = no_value_reasons.plain_mean(METRIC, n)
    for remarks in (remark, f"read 2 of 3 features; {remark}; too few values in age"):
        assert no_value_reasons.name_of_plain_mean(METRIC, remarks) == f"{METRIC} (mean of {n:,} features)"


@pytest.mark.parametrize("remarks", [None, "", no_value_reasons.plain_mean("Max Drift Score", 30)])
def test_other_metrics_keep_their_names(remarks: str | None) -> None:
    assert no_value_reasons.name_of_plain_mean(METRIC, remarks) == METRIC

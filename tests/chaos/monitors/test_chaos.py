"""Monitoring stays correct while processes are killed; `make chaos` runs longer."""

import pytest

from tests.chaos.monitors.run import RunConfig, run_chaos_test

FEW, MANY = 5, 20


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=pytest.mark.thorough)])
def test_monitoring_under_kills_evaluates_and_notifies_all(kills: int) -> None:
    result = run_chaos_test(RunConfig(seed=21, kills=kills, hours=7, pause=0.5, between=0.7))
    assert result.is_well, f"{result.line}\n{result.verdict}\nsee {result.folder}"
    assert sum(result.kills.values()) >= kills, result.line
    counts = result.verdict.counts
    assert min(counts[name] for name in ("windows", "alerts", "notifications", "deliveries")) > 10, result.line

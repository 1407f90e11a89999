"""Rows are stored exactly once while processes are killed; `make chaos` runs longer."""

import os

import pytest

from tests.chaos.run import RunConfig, run_chaos_test

# A run ends after a number of kills and acknowledged requests, never after a time.
FEW, MANY = 5, 30
REQUESTS = 20  # for each kill
pytestmark = [
    pytest.mark.timeout(3000),
    pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=pytest.mark.thorough)]),
]


def require_well(config: RunConfig) -> None:
    result = run_chaos_test(config)
    assert result.is_well, f"{result.line}\n{result.verdict}\n{result.audit.stdout}\nsee {result.folder}"
    assert sum(result.kills.values()) >= config.kills, result.line
    assert min(result.verdict.counts[name] for name in ("samples", "labels", "duplicates", "quarantined")) > 50


def test_direct_ingestion_is_exactly_once_under_kills(kills: int) -> None:
    require_well(RunConfig(seed=11, broker="none", kills=kills, requests=REQUESTS * kills, between=1))


@pytest.mark.kafka
def test_kafka_ingestion_is_exactly_once_under_kills(kills: int) -> None:
    """Kill Apache Kafka too; the broker from a wheel has no storage, so it stays alive."""
    if os.environ.get("DCMON_TEST_KAFKA") == "apache":
        require_well(
            RunConfig(seed=13, broker="apache", kills=2 * kills, requests=REQUESTS * kills, pause=0.2, between=1.5)
        )
    else:
        require_well(RunConfig(seed=12, broker="tansu", kills=kills, requests=REQUESTS * kills, between=1.3))

"""Nothing is lost or doubled while everything is killed; `make chaos` does the same for long."""

import os

import pytest

from tests.chaos.run import Course, carry_out

# Bounded by what was done, never by time: so many kills, and so many requests that were acknowledged meanwhile.
FEW, MANY = 10, 30
REQUESTS = 200
pytestmark = [
    pytest.mark.timeout(3000),
    pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=pytest.mark.thorough)]),
]


def require_well(course: Course) -> None:
    result = carry_out(course)
    assert result.is_well, f"{result.line}\n{result.verdict}\n{result.audit.stdout}\nsee {result.folder}"
    assert sum(result.kills.values()) >= course.kills, result.line
    assert min(result.verdict.counts[name] for name in ("samples", "labels", "duplicates", "quarantined")) > 50


def test_direct_ingestion_is_exactly_once_under_kills(kills: int) -> None:
    require_well(Course(seed=11, broker="none", kills=kills, requests=REQUESTS, between=1))


@pytest.mark.kafka
def test_kafka_ingestion_is_exactly_once_under_kills(kills: int) -> None:
    """On Apache Kafka the broker is killed too; the one from a wheel keeps nothing."""
    if os.environ.get("DCMON_TEST_KAFKA") == "apache":
        require_well(Course(seed=13, broker="apache", kills=2 * kills, requests=REQUESTS, pause=0.2, between=1.5))
    else:
        require_well(Course(seed=12, broker="tansu", kills=kills, requests=REQUESTS, between=1.3))

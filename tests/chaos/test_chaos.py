"""Nothing is lost or doubled while everything is killed; `make chaos` does the same for long."""

import os

import pytest

from tests.chaos.run import Course, carry_out

KILLS = 30


def require_well(course: Course) -> None:
    result = carry_out(course)
    assert result.is_well, f"{result.line}\n{result.verdict}\n{result.audit.stdout}\nsee {result.folder}"
    assert sum(result.kills.values()) >= course.kills, result.line
    assert min(result.verdict.counts[name] for name in ("samples", "labels", "duplicates", "quarantined")) > 50


def test_nothing_is_lost_or_doubled_on_the_straight_way() -> None:
    require_well(Course(seed=11, broker="none", kills=KILLS, seconds=240, between=1))


@pytest.mark.kafka
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_doubled_through_a_broker() -> None:
    """On Apache Kafka the broker is killed too; the one from a wheel keeps nothing."""
    if os.environ.get("DCMON_TEST_KAFKA") == "apache":
        require_well(Course(seed=13, broker="apache", kills=2 * KILLS, seconds=400, pause=0.2, between=1.5))
    else:
        require_well(Course(seed=12, broker="tansu", kills=KILLS, seconds=240, between=1.3))

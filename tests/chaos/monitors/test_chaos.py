"""Windows, alerts and notifications are right while everything is killed; `make chaos` does the same for long."""

from tests.chaos.monitors.run import Course, carry_out

KILLS = 20


def test_each_window_has_its_value_and_each_alert_is_told_whatever_dies() -> None:
    result = carry_out(Course(seed=21, kills=KILLS, seconds=120, hours=7, pause=0.5, between=0.7))
    assert result.is_well, f"{result.line}\n{result.verdict}\nsee {result.folder}"
    assert sum(result.kills.values()) >= KILLS, result.line
    counts = result.verdict.counts
    assert min(counts[name] for name in ("windows", "alerts", "notifications", "letters")) > 10, result.line

"""Metrics of the whole system, as they are made of what was read."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.core import Metric

from dcmon.health.activity import Activity
from dcmon.health.snapshot import Backlog, HealthSnapshot, OrganizationHealth
from dcmon.http import system_metrics
from dcmon.http.metrics import OTHERS


def of_others(metrics: Iterable[Metric]) -> dict[tuple[str, ...], float]:
    """Return the samples of the organizations without a name of their own, by metric and other labels."""
    samples = [sample for metric in metrics for sample in metric.samples if sample.labels["organization"] == OTHERS]
    labels = ("kind", "outcome")
    return {
        (sample.name, *(sample.labels[label] for label in labels if label in sample.labels)): sample.value
        for sample in samples
    }


def test_health_of_many_organizations_is_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics, "MAX_ORGANIZATIONS", 1)
    oldest = datetime(2026, 3, 1, tzinfo=UTC)
    named = system_metrics._named(
        [
            OrganizationHealth("a", firing_alerts={"low": 50}),
            OrganizationHealth("b", Backlog(2, oldest + timedelta(days=1)), firing_alerts={"low": 1, "high": 2}),
            OrganizationHealth("c", Backlog(3, oldest), firing_alerts={"high": 4}),
            OrganizationHealth("d", unavailable_reason="its schema is missing"),
        ]
    )
    assert named[0].firing_alerts == {"low": 50}
    assert named[1:] == [
        OrganizationHealth(
            OTHERS,
            Backlog(5, oldest),
            firing_alerts={"low": 1, "high": 6},
            unavailable_reason="its schema is missing",
        )
    ]


def test_organization_of_which_nothing_is_known_has_no_zeros() -> None:
    """A graph would show that no alert fires and nothing waits in an organization that can't be read."""
    unread = OrganizationHealth("a", is_counted=False, unavailable_reason="A table is locked.")
    snapshot = HealthSnapshot(datetime(2026, 3, 1, tzinfo=UTC), organizations=[unread, OrganizationHealth("b")])

    samples = [sample for metric in system_metrics._backlogs(snapshot) for sample in metric.samples]

    names = [{sample.name for sample in samples if sample.labels["organization"] == name} for name in ("a", "b")]
    assert names[0] == {"dcmon_organization_unavailable", "dcmon_parked_messages"}
    assert {"dcmon_due_windows", "dcmon_waiting_notifications", "dcmon_failing_rules"} <= names[1]


def test_activity_of_many_organizations_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics, "MAX_ORGANIZATIONS", 1)
    stored, duplicate = ("samples", "stored"), ("samples", "duplicate")
    activities = [
        Activity("a", {stored: 1000}, 100, 100.0, 100.0, 100, 100),
        Activity("b", {stored: 1, duplicate: 2}, 3, 4.0, 2.5, 6, 7),
        Activity("c", {stored: 10}, 30, 40.0, 2.0, 60, 70),
    ]
    assert of_others(system_metrics._activities(activities)) == {
        ("dcmon_recent_rows", "samples", "stored"): 11,
        ("dcmon_recent_rows", "samples", "duplicate"): 2,
        ("dcmon_recent_evaluations",): 33,
        ("dcmon_recent_evaluation_seconds",): 44.0,
        ("dcmon_recent_evaluation_max_seconds",): 2.5,
        ("dcmon_recent_deliveries", "delivered"): 66,
        ("dcmon_recent_deliveries", "given up"): 77,
    }

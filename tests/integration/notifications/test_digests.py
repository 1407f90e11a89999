"""Above a receiver's cap the worst alerts go alone, the others in a digest."""

from datetime import timedelta

import pytest

from dcmon.app import App
from dcmon.notifications import notification_views
from dcmon.notifications.notification_views import NotificationFilter
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from tests.helpers.outbox import REFUSED, OutboxDriver
from tests.integration.conftest import Target, single


@pytest.fixture
def driver(app: App, target: Target) -> OutboxDriver:
    created = OutboxDriver(app, target)
    created.add_receiver()
    return created


def test_cap_sends_worst_alerts_alone_and_others_as_digest(app: App, target: Target) -> None:
    driver = OutboxDriver(app, target)
    driver.add_receiver(cap=3)
    with app.org(target.org) as session:
        model = [models.create(session, NewModel(f"m{number}", "binary")) for number in range(8)]
        version_ids = [
            versions.create(session, owner_model, NewVersion("v1", {"a": "numeric"}, classes=["0", "1"])).id
            for owner_model in model
        ]
    for number, version_id in enumerate(version_ids):
        driver.write(driver.insert_alert("critical" if number > 5 else "low"), version_id=version_id)
    first, second, digest = driver.deliver()
    assert {first["alert"]["severity"], second["alert"]["severity"]} == {"critical"}
    assert (digest["type"], digest["count"]) == ("digest", 6)
    by_model = {f"m{number}": 1 for number in range(6)}
    assert digest["counts"] == {"severity": {"low": 6}, "model": by_model, "type": {"alert.firing": 6}}
    assert len(digest["notifications"]) == 6
    assert driver.states() == ["delivered"] * 8

    driver.advance(seconds=30)
    for version_id in version_ids[:2]:
        driver.write(driver.insert_alert(), version_id=version_id)
    assert driver.deliver() == []
    assert driver.next_due_in() == timedelta(seconds=30)
    driver.advance(seconds=30)
    assert [body["type"] for body in driver.deliver()] == ["alert.firing"] * 2


def test_digest_is_retried_unchanged_and_can_be_listed(app: App, target: Target) -> None:
    driver = OutboxDriver(app, target)
    driver.add_receiver(cap=1)
    for _ in range(60):
        driver.write(driver.insert_alert())
    first = single(driver.claim())
    assert (first.notification_count, first.message.body["type"]) == (60, "digest")
    driver.record([first], REFUSED)
    driver.advance(minutes=2)
    again = single(driver.claim())
    assert (again.id, again.message) == (first.id, first.message)
    with app.org(target.org) as session:
        assert len(notification_views.entries(session, NotificationFilter(message_id=first.message.id))) == 60
    assert f"--message {first.message.id}" in first.message.body["command"]


def test_capped_incidents_wait_without_a_digest(app: App, target: Target) -> None:
    """Incidents wait for the cap, the most severe first."""
    driver = OutboxDriver(app, target)
    driver.add_receiver("pager", "pagerduty", cap=2)
    for severity in ("low", "low", "high", "critical"):
        driver.write(driver.insert_alert(severity))
    assert [body["alert"]["severity"] for body in driver.deliver()] == ["critical", "high"]
    assert driver.deliver() == []
    driver.advance(minutes=1)
    assert [body["alert"]["severity"] for body in driver.deliver()] == ["low", "low"]

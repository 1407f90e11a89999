"""More than a receiver's cap: the worst alone, a digest of the rest."""

from datetime import timedelta

import pytest

from dcmon.app import App
from dcmon.notifications import notification_views
from dcmon.notifications.notification_views import NotificationFilter
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from tests.helpers.outbox import REFUSED, Box
from tests.integration.conftest import Target, only


@pytest.fixture
def box(app: App, target: Target) -> Box:
    made = Box(app, target)
    made.add()
    return made


def test_cap_sends_the_worst_alone_and_a_digest_of_the_rest(app: App, target: Target) -> None:
    box = Box(app, target)
    box.add(cap=3)
    with app.org(target.org) as session:
        made = [models.create(session, NewModel(f"m{number}", "binary")) for number in range(8)]
        version_ids = [
            versions.create(session, each, NewVersion("v1", {"a": "numeric"}, classes=["0", "1"])).id for each in made
        ]
    for number, version_id in enumerate(version_ids):
        box.tell(box.alert("critical" if number > 5 else "low"), version_id=version_id)
    first, second, digest = box.deliver()
    assert {first["alert"]["severity"], second["alert"]["severity"]} == {"critical"}
    assert (digest["type"], digest["count"]) == ("digest", 6)
    by_model = {f"m{number}": 1 for number in range(6)}
    assert digest["counts"] == {"severity": {"low": 6}, "model": by_model, "type": {"alert.firing": 6}}
    assert len(digest["notifications"]) == 6
    assert box.states() == ["delivered"] * 8

    box.wait(seconds=30)
    for version_id in version_ids[:2]:
        box.tell(box.alert(), version_id=version_id)
    assert box.deliver() == []
    assert box.next_in() == timedelta(seconds=30)
    box.wait(seconds=30)
    assert [body["type"] for body in box.deliver()] == ["alert.firing"] * 2


def test_digest_is_retried_unchanged_and_can_be_listed(app: App, target: Target) -> None:
    box = Box(app, target)
    box.add(cap=1)
    for _ in range(60):
        box.tell(box.alert())
    first = only(box.claim())
    assert (first.notification_count, first.message.body["type"]) == (60, "digest")
    box.record([first], REFUSED)
    box.wait(minutes=2)
    again = only(box.claim())
    assert (again.id, again.message) == (first.id, first.message)
    with app.org(target.org) as session:
        assert len(notification_views.entries(session, NotificationFilter(message_id=first.message.id))) == 60
    assert f"--message {first.message.id}" in first.message.body["command"]


def test_capped_incidents_wait_without_a_digest(app: App, target: Target) -> None:
    """They wait their turn, the most severe first."""
    box = Box(app, target)
    box.add("pager", "pagerduty", cap=2)
    for severity in ("low", "low", "high", "critical"):
        box.tell(box.alert(severity))
    assert [body["alert"]["severity"] for body in box.deliver()] == ["critical", "high"]
    assert box.deliver() == []
    box.wait(minutes=1)
    assert [body["alert"]["severity"] for body in box.deliver()] == ["low", "low"]

"""The outbox over days, with the time given: what is grouped, held, superseded, repeated, digested and given up."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from dcmon import drafts, errors, models, notifications, outbox, silences, versions, webhooks
from dcmon.app import App
from dcmon.models import NewModel
from dcmon.outbox import Claimed
from dcmon.posting import Attempt
from dcmon.receivers import words
from dcmon.settings import Webhooks
from dcmon.tables.org import Alert, Notification
from dcmon.versions import NewVersion
from dcmon.webhooks import Address, Choices
from tests.integration.conftest import Target, only
from tests.integration.telling import alert

URL = "https://dcmon.example"
DONE, REFUSED = Attempt(200, None), Attempt(500, "The receiver answered 500.")


@dataclass
class Box:
    """An organization's outbox at a time that the test sets."""

    app: App
    target: Target
    now: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(hours=1))
    settings: Webhooks = field(default_factory=Webhooks)

    def add(self, name: str = "team", kind: str = "webhook", **chosen: Any) -> None:
        targets = {"webhook": ["https://hooks.example.org/x"], "pagerduty": [], "email": ["a@b.example"]}[kind]
        with self.app.org(self.target.org) as session:
            where = Address(kind, targets, key="R0UTINGKEY" if kind == "pagerduty" else None)
            webhooks.add(session, name, where, [], self.settings, Choices(**chosen))

    def alert(self, severity: str = "high") -> int:
        return alert(self.app, self.target, severity)

    def tell(self, alert_id: int, kind: str = "firing", **changed: Any) -> None:
        with self.app.org(self.target.org) as session:
            about = session.get_one(Alert, alert_id)
            for name, value in changed.items():
                setattr(about, name, value)
            session.flush()
            notifications.write(session, self.target.org, about, kind, URL)

    def claim(self, room: int = 64) -> list[Claimed]:
        with self.app.org(self.target.org) as session:
            return outbox.claim(session, self.target.org, self.settings, URL, room=lambda _, __: room, now=self.now)

    def record(self, claimed: Sequence[Claimed], sent: Attempt = DONE) -> None:
        for each in claimed:
            with self.app.org(self.target.org) as session:
                outbox.record(session, each, sent, self.settings, self.now)

    def deliver(self) -> list[dict[str, Any]]:
        """Claim what is due, deliver it, and say what was in it."""
        claimed = self.claim()
        self.record(claimed)
        return [dict(each.message.body) for each in claimed]

    def told(self) -> list[str]:
        return [each["type"].removeprefix("alert.") for body in self.deliver() for each in words.notifications(body)]

    def wait(self, **spans: float) -> None:
        self.now += timedelta(**spans)

    def states(self) -> list[str]:
        with self.app.org(self.target.org) as session:
            return [notifications.state(each) for each in session.query(Notification).order_by(Notification.position)]

    def next_in(self) -> timedelta | None:
        with self.app.org(self.target.org) as session:
            found = outbox.next_at(session, self.settings, now=self.now)
        return None if found is None else found - self.now

    def silence(self, **spans: float) -> int:
        with self.app.org(self.target.org) as session:
            begins = self.now - timedelta(seconds=1)
            return silences.add(session, ["model=credit"], begins, self.now + timedelta(**spans), "why", "ann").id


@pytest.fixture
def box(app: App, target: Target) -> Box:
    made = Box(app, target)
    made.add()
    return made


# Groups.


def test_alerts_of_a_model_that_change_together_go_in_one_message_and_of_another_in_another(box: Box) -> None:
    first, second = box.alert("low"), box.alert("critical")
    with box.app.org(box.target.org) as session:
        other = models.create(session, NewModel("fraud", "binary"))
        version = versions.create(session, other, NewVersion("v1", {"a": "numeric"}, classes=["0", "1"]))
    third = box.alert()
    for each in (first, second):
        box.tell(each)
    box.tell(third, version_id=version.id)
    together, alone = sorted(box.deliver(), key=lambda body: body["type"], reverse=True)
    assert (together["type"], together["model"], together["count"]) == ("alerts", "credit", 2)
    assert together["counts"] == {"severity": {"critical": 1, "low": 1}}
    assert [each["alert"]["id"] for each in together["notifications"]] == [second, first]
    assert (alone["type"], alone["alert"]["id"]) == ("alert.firing", third)
    assert box.states() == ["delivered"] * 3


def test_what_was_just_written_waits_for_others_but_not_long(box: Box) -> None:
    box.tell(box.alert())
    box.now = box.target.scalar("select created_at from notifications") + timedelta(milliseconds=100)
    assert box.claim() == []
    assert box.next_in() == timedelta(milliseconds=200)
    box.wait(milliseconds=200)
    assert len(box.claim()) == 1


def test_a_message_keeps_its_id_and_content_over_tries(box: Box) -> None:
    for _ in range(3):
        box.tell(box.alert())
    first = only(box.claim())
    box.record([first], REFUSED)
    box.wait(seconds=5)
    box.tell(box.alert())
    again, other = sorted(box.claim(), key=lambda each: -each.notifications)
    assert (again.id, again.message) == (first.id, first.message)
    assert (other.id != first.id, other.notifications) == (True, 1)


def test_a_worker_that_died_leaves_its_message_to_be_sent_again_with_the_same_id(box: Box) -> None:
    box.tell(box.alert())
    first = only(box.claim())
    assert box.claim() == []
    box.wait(seconds=60)
    again = only(box.claim())
    assert (again.id, again.message) == (first.id, first.message)
    box.record([first])  # the one that was thought dead was only slow
    box.record([again], REFUSED)
    assert box.states() == ["delivered"]


# Order.


def test_a_newer_state_supersedes_all_that_is_not_delivered(box: Box) -> None:
    about = box.alert()
    for kind in ("firing", "escalated", "resolved"):
        box.tell(about, kind)
    assert box.told() == ["resolved"]
    assert box.states() == ["superseded", "superseded", "delivered"]


def test_a_newer_state_waits_for_the_older_that_is_on_its_way(box: Box) -> None:
    about = box.alert()
    box.tell(about)
    sending = box.claim()
    box.tell(about, "resolved", state="resolved")
    assert box.claim() == []
    box.record(sending)
    assert box.told() == ["resolved"]
    assert box.states() == ["delivered", "delivered"]


def test_when_one_of_a_message_is_superseded_the_others_go_in_a_message_of_another_id(box: Box) -> None:
    gone, stays = box.alert(), box.alert()
    box.tell(gone)
    box.tell(stays)
    first = only(box.claim())
    box.record([first], REFUSED)
    box.tell(gone, "resolved", state="resolved")
    box.wait(seconds=10)
    again = only(box.claim())
    assert again.id != first.id
    told = {each["alert"]["id"]: each["type"] for each in words.notifications(again.message.body)}
    assert told == {gone: "alert.resolved", stays: "alert.firing"}


@given(st.lists(st.sampled_from(["firing", "escalated", "resolved", "send", "fail", "wait"]), max_size=25))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_a_receiver_ends_up_knowing_the_newest_state(box: Box, steps: list[str]) -> None:
    about, heard, written = box.alert(), list[tuple[int, str]](), list[str]()
    for step in [*steps, "wait", "send"]:
        if step == "wait":
            box.wait(hours=2)
        elif step in ("send", "fail"):
            claimed = [each for each in box.claim() if about in _ids(each)]
            if step == "send":
                heard += [(each.message.body["alert"]["id"], each.message.body["type"][6:]) for each in claimed]
            box.record(claimed, DONE if step == "send" else REFUSED)
        else:
            box.tell(about, step, state="resolved" if step == "resolved" else "firing")
            written += [step] if written or step != "resolved" else []  # whoever was not told hears of no end
    kinds = [kind for id_, kind in heard if id_ == about and kind != "repeated"]
    assert kinds[-1:] == written[-1:]
    left = iter(written)
    assert all(kind in left for kind in kinds)  # in the order in which they were written
    box.tell(about, "resolved", state="resolved")
    box.deliver()


def _ids(claimed: Claimed) -> list[int]:
    return [each["alert"]["id"] for each in words.notifications(claimed.message.body)]


# Held back.


def test_what_a_silence_holds_goes_out_when_it_ends_and_says_what_is_true_then(box: Box) -> None:
    about = box.alert()
    box.silence(hours=2)
    box.tell(about)
    assert box.deliver() == []
    assert box.states() == ["held"]
    assert box.target.scalar("select held_because from notifications").startswith("silence 1 by ann")
    assert box.next_in() == drafts.HELD_AGAIN
    with box.app.org(box.target.org) as session:
        session.get_one(Alert, about).worst_value = 7.0
    box.wait(hours=1)
    assert box.deliver() == []
    box.wait(hours=1)
    assert only(box.deliver())["alert"]["worst_value"] == 7.0


def test_an_alert_that_comes_and_goes_in_silence_is_told_to_nobody(box: Box) -> None:
    about = box.alert()
    box.silence(hours=2)
    box.tell(about)
    box.deliver()
    box.tell(about, "resolved", state="resolved")
    assert box.deliver() == []
    box.wait(hours=3)
    assert box.deliver() == []
    assert box.states() == ["superseded", "superseded"]
    assert box.next_in() is None


def test_the_end_of_an_alert_that_was_told_before_the_silence_is_told_after_it(box: Box) -> None:
    about = box.alert()
    box.tell(about)
    assert box.told() == ["firing"]
    box.silence(hours=2)
    box.tell(about, "resolved", state="resolved")
    assert box.deliver() == []
    box.wait(hours=2)
    assert box.told() == ["resolved"]


def test_an_incident_is_resolved_in_a_silence_too_for_that_wakes_nobody(box: Box) -> None:
    box.add("pager", "pagerduty")
    about = box.alert()
    box.tell(about)
    assert box.told() == ["firing", "firing"]
    box.silence(hours=2)
    box.tell(about, "resolved", state="resolved")
    assert box.told() == ["resolved"]
    assert sorted(box.states()) == ["delivered"] * 3 + ["held"]


def test_what_is_retracted_before_anybody_heard_of_it_is_told_to_nobody(box: Box) -> None:
    about = box.alert()
    box.tell(about)
    box.tell(about, "retracted", state="pending")
    assert box.deliver() == []
    box.tell(about)
    assert box.told() == ["firing"]
    box.tell(about, "retracted", state="pending")
    assert box.told() == ["retracted"]


def test_what_was_tried_once_is_held_by_a_later_silence_and_the_rest_of_its_message_is_not(box: Box) -> None:
    held, other = box.alert("low"), box.alert("critical")
    box.tell(held)
    box.tell(other)
    first = only(box.claim())
    box.record([first], REFUSED)
    with box.app.org(box.target.org) as session:
        silences.add(session, ["severity=low"], box.now, box.now + timedelta(hours=2), "why", "ann")
    box.wait(minutes=1)
    again = only(box.claim())
    assert (_ids(again), again.id == first.id) == ([other], False)
    box.record([again])
    assert box.states() == ["held", "delivered"]
    box.wait(hours=2)
    assert _ids(only(box.claim())) == [held]


def test_who_did_not_want_an_alert_when_it_fired_is_not_told_of_its_end(box: Box) -> None:
    box.add("loud", severities=["critical"])
    about = box.alert()
    box.tell(about)
    assert box.told() == ["firing"]
    box.tell(about, "resolved", state="resolved", severity="critical")
    assert box.told() == ["resolved"]
    assert box.states() == ["delivered"] * 2


# Repeats.


def test_what_still_fires_is_told_again_each_day_and_not_when_acknowledged_silenced_or_over(box: Box) -> None:
    about = box.alert()
    box.tell(about)
    assert box.told() == ["firing"]
    assert box.next_in() == timedelta(hours=24)
    box.wait(hours=23)
    assert box.told() == []
    box.wait(hours=1)
    assert box.told() == ["repeated"]
    box.wait(hours=24)
    box.silence(hours=1)
    assert box.told() == []
    assert box.next_in() == outbox.REPEATED_AGAIN
    box.wait(hours=1)
    assert box.told() == ["repeated"]
    box.tell(about, "acknowledged", acknowledged_at=box.now)
    assert box.told() == ["acknowledged"]
    box.wait(days=3)
    assert box.told() == []
    assert box.next_in() is None
    box.tell(about, "resolved", state="resolved", acknowledged_at=None)
    assert box.told() == ["resolved"]
    box.wait(days=3)
    assert box.told() == []


def test_an_alert_whose_acknowledgement_was_taken_back_is_told_again(box: Box) -> None:
    about = box.alert()
    box.tell(about)
    assert box.told() == ["firing"]
    box.tell(about, "acknowledged", acknowledged_at=box.now)
    assert box.told() == ["acknowledged"]
    with box.app.org(box.target.org) as session:
        session.get_one(Alert, about).acknowledged_at = None
    box.wait(hours=24)
    assert box.told() == ["repeated"]


def test_a_receiver_that_wants_no_repeats_gets_none(box: Box) -> None:
    box.add("never", repeat_every=None, cap=None)
    with box.app.org(box.target.org) as session:
        webhooks.delete(session, webhooks.find(session, "team"))
        assert webhooks.chosen(session, webhooks.find(session, "never")).cap is None
    box.tell(box.alert())
    assert box.told() == ["firing"]
    box.wait(days=30)
    assert box.told() == []


# Several people.


def test_who_has_a_mail_is_not_sent_it_again_while_another_one_is_waited_for(box: Box) -> None:
    with box.app.org(box.target.org) as session:
        webhooks.delete(session, webhooks.find(session, "team"))
        both = Address("email", ["ann@a.example", "bob@a.example"])
        webhooks.add(session, "mail", both, [], box.settings)
    about = box.alert()
    box.tell(about)
    first = only(box.claim())
    assert first.to.options["to"] == ["ann@a.example", "bob@a.example"]
    box.record([first], Attempt(None, "refused bob", is_taken=True, left=("bob@a.example",)))
    box.wait(minutes=1)
    again = only(box.claim())
    assert (again.id, again.to.options["to"]) == (first.id, ["bob@a.example"])
    box.record([again], REFUSED)
    box.wait(minutes=1)
    assert only(box.claim()).to.options["to"] == ["bob@a.example"]
    box.tell(about, "resolved", state="resolved")
    box.wait(minutes=5)
    assert only(box.claim()).to.options["to"] == ["ann@a.example", "bob@a.example"]


# The cap.


def test_a_storm_becomes_the_worst_alone_and_a_digest_of_the_rest(app: App, target: Target) -> None:
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


def test_a_digest_is_tried_again_as_it_was_and_shows_what_is_in_it(app: App, target: Target) -> None:
    box = Box(app, target)
    box.add(cap=1)
    for _ in range(60):
        box.tell(box.alert())
    first = only(box.claim())
    assert (first.notifications, first.message.body["type"]) == (60, "digest")
    box.record([first], REFUSED)
    box.wait(minutes=2)
    again = only(box.claim())
    assert (again.id, again.message) == (first.id, first.message)
    with app.org(target.org) as session:
        assert len(notifications.listed(session, message_id=first.message.id)) == 60
    assert f"--message {first.message.id}" in first.message.body["command"]


def test_incidents_get_no_digest_but_their_turn_the_worst_first(app: App, target: Target) -> None:
    box = Box(app, target)
    box.add("pager", "pagerduty", cap=2)
    for severity in ("low", "low", "high", "critical"):
        box.tell(box.alert(severity))
    assert [body["alert"]["severity"] for body in box.deliver()] == ["critical", "high"]
    assert box.deliver() == []
    box.wait(minutes=1)
    assert [body["alert"]["severity"] for body in box.deliver()] == ["low", "low"]


# Failures.


def test_a_receiver_that_is_away_for_three_days_gets_a_dead_letter_that_can_be_tried_again(box: Box) -> None:
    box.tell(box.alert())
    tries = 0
    began = box.now
    while box.states() == ["waiting"]:
        claimed = box.claim()
        tries += len(claimed)
        box.record(claimed, REFUSED)
        if box.states() == ["waiting"]:
            box.wait(seconds=(box.next_in() or timedelta(seconds=1)).total_seconds())
    assert timedelta(hours=72) < box.now - began < timedelta(hours=75)
    assert 75 < tries < 95
    assert box.states() == ["dead"]
    with box.app.org(box.target.org) as session:
        view = only(notifications.listed(session, state="dead"))
        assert notifications.row(view, box.now)["why"] == "The receiver answered 500."
        assert notifications.retry(session) == {"retried": 1, "superseded": 0}
    assert box.told() == ["firing"]


def test_what_is_dead_and_outdated_is_not_sent_by_a_retry(box: Box) -> None:
    about = box.alert()
    box.tell(about)
    claimed = box.claim()
    with box.app.org(box.target.org) as session:
        session.execute(text("update notifications set tried_at = tried_at - interval '73 hours'"))
    box.record(claimed, REFUSED)
    box.tell(about, "resolved", state="resolved")
    assert box.told() == ["resolved"]
    with box.app.org(box.target.org) as session:
        assert notifications.retry(session) == {"retried": 0, "superseded": 1}
    assert box.states() == ["superseded", "delivered"]


def test_a_receiver_that_asks_to_wait_is_left_alone_as_long(box: Box) -> None:
    box.tell(box.alert())
    box.record(box.claim(), Attempt(429, "The receiver answered 429.", wait=timedelta(minutes=10)))
    box.tell(box.alert())
    box.wait(minutes=9)
    assert box.claim() == []
    assert box.next_in() == timedelta(minutes=1)
    box.wait(minutes=1)
    assert len(box.told()) == 2


def test_a_receiver_that_is_gone_is_paused_and_nothing_is_lost(box: Box) -> None:
    box.tell(box.alert())
    box.record(box.claim(), Attempt(410, "The receiver answered 410."))
    box.wait(days=30)
    assert (box.claim(), box.next_in(), box.states()) == ([], None, ["waiting"])
    with box.app.org(box.target.org) as session:
        assert webhooks.resume(session, webhooks.find(session, "team")) == 1
    assert box.told() == ["firing"]


def test_a_pause_ends_by_itself_and_what_came_meanwhile_goes_out(box: Box) -> None:
    with box.app.org(box.target.org) as session:
        webhooks.pause(session, webhooks.find(session, "team"), box.now + timedelta(hours=2))
    box.tell(box.alert())
    assert box.claim() == []
    assert box.next_in() == timedelta(hours=2)
    box.wait(hours=2)
    assert box.told() == ["firing"]


# Who is told.


def test_only_of_the_models_and_severities_chosen_but_of_all_that_follows(app: App, target: Target) -> None:
    box = Box(app, target)
    box.add("critical only", severities=["critical"])
    box.add("of credit", models=["credit"])
    with app.org(target.org) as session:
        models.create(session, NewModel("fraud", "binary"))
    box.add("of fraud", models=["fraud"])
    about = box.alert("critical")
    box.tell(about)
    box.tell(about, "deescalated", severity="low")
    with app.org(target.org) as session:
        told = [(each.webhook.name, each.notification.kind) for each in notifications.listed(session)]
    assert sorted(told) == [
        ("critical only", "deescalated"), ("critical only", "firing"),
        ("of credit", "deescalated"), ("of credit", "firing"),
    ]  # fmt: skip


def test_a_model_that_is_not_there_is_refused(app: App, target: Target) -> None:
    with pytest.raises(errors.ModelNotFound, match="nothing"):
        Box(app, target).add(models=["nothing"])


def test_a_notification_is_found_by_the_beginning_of_its_id(box: Box) -> None:
    box.tell(box.alert())
    with box.app.org(box.target.org) as session:
        whole = str(only(notifications.listed(session)).notification.id)
        for given_id in (whole, whole[:8], whole[:13], whole.replace("-", "")):
            assert str(notifications.find(session, given_id).notification.id) == whole
        with pytest.raises(errors.NotFound):
            notifications.find(session, str(uuid.uuid4()))
        for bad in ("", "ab", "no hex at all", "%%%%"):
            with pytest.raises(errors.InvalidInput):
                notifications.find(session, bad)

"""The messages and addresses of each integration: limits, escaping and hidden secrets."""

import json
from datetime import UTC, datetime
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon.db import Organization
from dcmon.db.tables.org import Webhook
from dcmon.errors import InvalidInput
from dcmon.health import problem_notifications
from dcmon.health.problem import Problem
from dcmon.notifications import message_body, receivers
from dcmon.notifications.integrations import command, email, message_text, pagerduty, registry, slack, teams, webhook
from dcmon.notifications.integrations.base import Address, DeliveryTarget, Message
from dcmon.settings import Smtp, Webhooks
from dcmon.severity import Severity

SLACK = "https://hooks.slack.com/services/T024BE7LD/B0G9QF9C6/XyzSecretToken123456789"
TEAMS = "https://prod-7.westeurope.logic.azure.com:443/workflows/abc/triggers/manual/paths/invoke?sig=S3cr3tS1gnature"


def notification(kind: str = "firing", **changed: Any) -> dict[str, Any]:
    alert = {
        "id": 17, "model": "credit", "version": "v1", "monitor": "Prediction Drift", "check": "PredictionDrift",
        "rule": "Drift Score > 0.2", "severity": "high", "state": "firing", "since": "2026-11-22T00:00:00+00:00",
        "last_window_end": "2026-11-23T00:00:00+00:00", "value": 0.31, "worst_value": 0.4,
        "before_value": 0.05, "drivers": {"age": 0.31},
        "moved": [{"name": "age", "before": None, "after": 0.31}, {"name": "job", "before": 0.1, "after": 0.5}],
        "n": 5120, "windows": 3, "reason": None, **changed,
    }  # fmt: skip
    return {
        "format": 1, "type": f"alert.{kind}", "timestamp": "2026-11-24T03:12:09+00:00", "organization": "acme",
        "alert": alert, "link": "https://dcmon.example.org/api/v1/alert-rules/3",
        "command": "dcmon --org acme alert show 17",
    }  # fmt: skip


def combined(count: int, *, is_digest: bool) -> dict[str, Any]:
    bodies = [notification(id=number, severity="critical" if number % 3 else "low") for number in range(count)]
    return message_body.combine(bodies, "msg_1", is_digest=is_digest)


TEST = {"format": 1, "type": "test", "timestamp": "2026-11-24T03:12:09+00:00", "organization": "acme", "text": "hello"}
BODIES = [
    notification(), notification("resolved", value=None, worst_value=None, drivers=None, moved=None), TEST,
    combined(2, is_digest=False), combined(50, is_digest=False), combined(2, is_digest=True),
    combined(2000, is_digest=True),
]  # fmt: skip
IDS = ["one", "an end without values", "a test", "two", "fifty", "a digest", "a large digest"]


# Addresses: validation and display.


def address(targets: list[str], headers: dict[str, str] | None = None, key: str | None = None) -> Address:
    return Address("", targets, headers or {}, key)


@pytest.mark.parametrize(
    ("kind", "typed"),
    [
        (webhook, address([])), (webhook, address(["x"])),
        (webhook, address(["https://a.example", "https://b.example"])),
        (webhook, address(["http://a.example/"])), (webhook, address(["https://a.example"], {"Host": "b"})),
        (webhook, address(["https://a.example"], {"webhook-id": "b"})),
        (webhook, address(["https://a.example"], {"A b": "c"})),
        (webhook, address(["https://a.example"], {"X": "a\r\nY: b"})),
        (webhook, address(["https://a.example"], {"X": "ü"})),
        (slack, address([])), (slack, address(["http://hooks.slack.com/x"])), (teams, address(["ftp://x"])),
        (pagerduty, address([])), (pagerduty, address([], key=" ")),
        (pagerduty, address([], key="a\nb")), (pagerduty, address([], key="k" * 201)),
        (pagerduty, address(["https://events.pagerduty.com.evil.example/v2/enqueue"], key="R0UTINGKEY")),
        (pagerduty, address(["https://evil.example/https://events.pagerduty.com/v2/enqueue"], key="R0UTINGKEY")),
        (email, address([])), (email, address(["nonsense"])), (email, address(["a@b\nBcc: c@d"])),
        (email, address(["a@b, c@d"])),
        (command, address([])), (command, address(["/nothing/here"])), (command, address(["/bin/sh", "a\0b"])),
    ],
)  # fmt: skip
def test_address_that_is_invalid_is_refused(kind: Any, typed: Address) -> None:
    with pytest.raises(InvalidInput) as refused:
        kind.validate(typed, Webhooks())
    assert len(str(refused.value)) > 10


def test_address_that_is_valid_is_accepted() -> None:
    assert pagerduty.validate(address([], key="R0UTINGKEY"), Webhooks()).url == pagerduty.URL
    europe = "https://events.eu.pagerduty.com/v2/enqueue"
    assert pagerduty.validate(address([europe], key="R0UTINGKEY"), Webhooks()).url == europe
    own = "http://127.0.0.1:9/x"
    assert pagerduty.validate(address([own], key="R0UTINGKEY"), Webhooks(allow=["127.0.0.1"])).url == own
    assert email.validate(address(["mailto:a@b.example", "a@b.example"]), Webhooks()).options == {"to": ["a@b.example"]}
    assert command.validate(address(["sh", "-c", "true"]), Webhooks()).options == {"argv": ["sh", "-c", "true"]}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example.org/alerts", "https://hooks.example.org/alerts"),
        ("https://hooks.example.org:8443/a/b?token=abc", "https://hooks.example.org:8443/a/b?…"),
        ("https://hooks.example.org/in/9f8a7b6c5d4e3f2a1b0c", "https://hooks.example.org/in/…"),
    ],
)
def test_webhook_url_is_shown_without_possible_secrets(url: str, shown: str) -> None:
    assert webhook.display_address(url, {}) == shown


@pytest.mark.parametrize(
    ("kind", "url", "options", "credentials", "secret"),
    [
        ("slack", SLACK, {}, {}, "XyzSecretToken123456789"),
        ("teams", TEAMS, {}, {}, "S3cr3tS1gnature"),
        ("pagerduty", pagerduty.URL, {"group": "deepchecks"}, {"routing_key": "R0UTINGKEY"}, "R0UTINGKEY"),
        ("webhook", "https://a.example/x?token=t0psecret", {"headers": ["X-Token"]}, {"X-Token": "abc123"}, "abc123"),
        ("webhook", "https://a.example/x?token=t0psecret", {}, {}, "t0psecret"),
        ("command", "", {"argv": ["/bin/page", "--key", "s3cret"]}, {}, "s3cret"),
    ],
)  # fmt: skip
def test_receiver_row_has_no_secret(
    kind: str, url: str, options: dict[str, Any], credentials: dict[str, str], secret: str
) -> None:
    receiver = Webhook(
        id=1, name="team", kind=kind, url=url, secret=b"signing", severities=["high"], model_ids=None, cap=20,
        options=options, credentials=credentials,
    )  # fmt: skip
    row = receivers.row(None, receiver, receivers.DeliveryCounts(), datetime(2026, 1, 1, tzinfo=UTC))  # type: ignore[arg-type]
    assert secret not in json.dumps(row, default=str)
    assert row["kind"] == kind


# Messages.


@pytest.mark.parametrize("body", BODIES, ids=IDS)
def test_every_integration_renders_within_its_limits(body: dict[str, Any]) -> None:
    blocks = slack.render(body)["blocks"]
    assert 0 < len(blocks) <= 50
    assert all(0 < len(block["text"]["text"]) <= 3000 for block in blocks if "text" in block)
    assert len(blocks[0]["text"]["text"]) <= 150
    assert len(json.dumps(teams.render(body))) < 28_000
    page = email.render(
        DeliveryTarget("email", "x", "", options={"to": ["a@b.example"]}), Message("msg_1", body), Smtp()
    )
    assert page.get_content_type() == "multipart/alternative"
    assert page.get_body(("plain",)) is not None
    assert page["Message-ID"] == "<msg_1@localhost>"
    assert command.environment(Message("msg_1", body))["DCMON_ORG"] == "acme"
    events = pagerduty.render(
        DeliveryTarget("pagerduty", "x", "", credentials={"routing_key": "k"}), Message("msg_1", body)
    )
    assert {event["routing_key"] for event in events} == {"k"}


@pytest.mark.parametrize("body", BODIES[-4:], ids=IDS[-4:])
def test_message_counts_the_alerts_that_it_omits(body: dict[str, Any]) -> None:
    text = message_text.plain(body)
    assert sum(body["counts"]["severity"].values()) == body["count"]
    assert message_text.counted(body["counts"]["severity"]) in text + message_text.subject(body)
    shown = min(body["count"], message_text.SHOWN_AT_MOST)
    assert (f"and {body['count'] - shown} more: dcmon" in text) == (body["count"] > shown)


def test_alert_text_names_metric_time_severity_and_command() -> None:
    """The text has metric, start, severity, drivers and the next command."""
    text = message_text.plain(notification())
    for fact in (
        "HIGH firing: credit/Prediction Drift", "Drift Score > 0.2", "0.31, 0.4 at worst, 0.05 before",
        "2026-11-22", "3 windows",
        "age 0.31, job 0.1 → 0.5", "v1", "5120", "dcmon --org acme alert show 17", "https://dcmon.example.org",
    ):  # fmt: skip
        assert fact in text
    assert "largest changes" not in message_text.plain(notification(drivers={}, moved=[]))


@pytest.mark.parametrize(
    ("kind", "action"),
    [("firing", "trigger"), ("escalated", "trigger"), ("repeated", "trigger"), ("reopened", "trigger"),
     ("deescalated", "trigger"), ("acknowledged", "acknowledge"), ("resolved", "resolve"), ("retracted", "resolve")],
)  # fmt: skip
def test_pagerduty_incident_follows_its_alert(kind: str, action: str) -> None:
    to = DeliveryTarget("pagerduty", "x", "", options={"group": "g"}, credentials={"routing_key": "k"})
    (event,) = pagerduty.render(to, Message("msg_1", notification(kind)))
    assert (event["event_action"], event["dedup_key"]) == (action, "dcmon/acme/alert/17")
    assert ("payload" in event) == (action == "trigger")


@pytest.mark.parametrize(
    ("severity", "pagerduty_severity"),
    [("critical", "critical"), ("high", "error"), ("medium", "error"), ("low", "warning")],
)
def test_pagerduty_severities_are_mapped(severity: str, pagerduty_severity: str) -> None:
    to = DeliveryTarget("pagerduty", "x", "", credentials={"routing_key": "k"})
    (event,) = pagerduty.render(to, Message("msg_1", notification(severity=severity)))
    payload = event["payload"]
    assert payload["severity"] == pagerduty_severity
    assert payload["source"] == "credit"
    assert len(payload["summary"]) <= 1024


NASTY = st.text(max_size=60) | st.sampled_from(
    ["<!channel>", "<script>alert(1)</script>", "a\r\nBcc: x@y.example", "[x](https://evil.example)", "\0", "ü" * 3000]
)


@given(model=NASTY, monitor=NASTY, rule=NASTY)
def test_names_with_markup_are_escaped_everywhere(model: str, monitor: str, rule: str) -> None:
    body = notification(model=model, monitor=monitor, rule=rule)
    rendered = slack.render(body)
    marked = [block["text"]["text"] for block in rendered["blocks"] if block.get("text", {}).get("type") == "mrkdwn"]
    assert not any(sign in text for text in [rendered["text"], *marked] for sign in ("<!", "<@", "<#"))
    message = email.render(
        DeliveryTarget("email", "x", "", options={"to": ["a@b.example"]}), Message("msg_1", body), Smtp()
    )
    assert message["Bcc"] is None
    assert "<script>" not in message.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert all("\0" not in value for value in command.environment(Message("msg_1", body)).values())
    json.loads(webhook.encode(body))


MARKUP = "<!channel> *x* _y_ `z` <b>\r\n\r\nHIGH resolved: all is well\u202e & [a](https://evil.example) :tada:"


@pytest.mark.parametrize("is_digest", [False, True])
@pytest.mark.parametrize("count", [1, 2, 50, 800])
def test_hundreds_of_alerts_with_long_names_fit_everywhere(count: int, is_digest: bool) -> None:
    """The names contain markup, and each integration has a limit."""
    long = MARKUP * 8
    drivers = [{"name": f"{long}{number}", "before": 0.1, "after": 0.2} for number in range(5)]
    one = {"model": long, "monitor": long, "rule": long, "rule_name": long, "note": long, "reason": long,
           "acknowledged_by": long, "acknowledgement": long, "moved": drivers}  # fmt: skip
    bodies = [notification(id=number, **one) for number in range(count)]
    body = message_body.combine(bodies, "msg_1", is_digest=is_digest)
    blocks = slack.render(body)["blocks"]
    assert len(blocks) <= 50
    texts = [block["text"] for block in blocks if "text" in block]
    assert all(0 < len(text["text"]) <= (150 if text is blocks[0]["text"] else 3000) for text in texts)
    assert not any("credit" in text["text"] or "*x*" in text["text"] for text in texts if text["type"] == "mrkdwn")
    assert len(webhook.encode(teams.render(body))) <= 28_000
    shown = message_text.plain(body)
    assert "\nHIGH resolved" not in shown
    assert "\u202e" not in shown
    mail = email.render(
        DeliveryTarget("email", "x", "", options={"to": ["a@b.example"]}), Message("msg_1", body), Smtp()
    )
    page = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert len(mail.as_bytes()) < 1_000_000
    events = pagerduty.render(
        DeliveryTarget("pagerduty", "x", "", credentials={"routing_key": "k"}), Message("msg_1", body)
    )
    assert all(len(json.dumps(event)) < 512_000 and len(event["payload"]["summary"]) <= 1024 for event in events)
    if count > 1:
        assert "more: dcmon" in json.dumps(blocks) or count <= message_text.SHOWN_AT_MOST


def test_change_names_the_person_who_made_it() -> None:
    assert "change: firing\n" in message_text.plain(notification(by="ann"))
    assert "change: acknowledged by ann\n" in message_text.plain(notification("acknowledged", by="ann"))


def test_pagerduty_incident_keeps_its_dedup_key() -> None:
    """All changes of an alert belong to the same incident."""
    to = DeliveryTarget("pagerduty", "x", "", credentials={"routing_key": "k"})
    changes = ["firing", "escalated", "acknowledged", "repeated", "resolved", "reopened", "retracted"]
    events = [pagerduty.render(to, Message("msg_1", notification(kind)))[0] for kind in changes]
    assert {event["dedup_key"] for event in events} == {"dcmon/acme/alert/17"}
    actions = ["trigger", "trigger", "acknowledge", "trigger", "resolve", "trigger", "resolve"]
    assert [event["event_action"] for event in events] == actions
    assert all(("payload" in event) is (event["event_action"] == "trigger") for event in events)


def test_signature_has_both_secrets_after_a_rotation() -> None:
    old = webhook.sign([b"old"], "msg_1", 1, b"{}")["webhook-signature"]
    new = webhook.sign([b"new"], "msg_1", 1, b"{}")["webhook-signature"]
    assert webhook.sign([b"new", b"old"], "msg_1", 1, b"{}")["webhook-signature"] == f"{new} {old}"


def test_command_line_offers_every_kind() -> None:
    from dcmon.commands.receiver import create

    kinds = get_type_hints(create)["kind"]
    assert [kind.value for kind in kinds] == list(registry.INTEGRATIONS)
    with pytest.raises(InvalidInput, match="one of webhook"):
        registry.find("pigeon")


# Problems of dcmon itself.


def own(kind: str = "firing", subject: str = "evaluate") -> dict[str, Any]:
    now = datetime(2026, 11, 24, 3, tzinfo=UTC)
    message = Problem(
        "no worker", Severity.CRITICAL, "No worker evaluates windows.", "dcmon worker start evaluate", now, subject
    )
    return problem_notifications.problem_body(Organization(1, "acme", "org_1"), kind, message, now)


def test_problem_of_dcmon_has_a_line() -> None:
    message = "CRITICAL firing: dcmon/no worker: evaluate (No worker evaluates windows.)"
    assert message_text.line(own()) == message
    (event,) = pagerduty.render(
        DeliveryTarget("pagerduty", "pager", "", credentials={"routing_key": "R"}), Message("msg_1", own())
    )
    assert event["payload"]["summary"] == f"[acme] {message}"
    assert "links" not in event


def test_alert_line_without_a_value_has_no_now() -> None:
    assert message_text.line(notification(value=None)) == "HIGH firing: credit/Prediction Drift (Drift Score > 0.2)"
    reason = message_text.line(notification(value=None, reason="The window has no rows."))
    assert reason == "HIGH firing: credit/Prediction Drift (Drift Score > 0.2, The window has no rows.)"


@pytest.mark.parametrize("is_digest", [True, False])
def test_group_of_problems_names_dcmon_status(is_digest: bool) -> None:
    body = message_body.combine([own(), own(subject="notify")], "msg_1", is_digest=is_digest)
    assert body["command"] == "dcmon status"
    assert "No worker evaluates windows." in message_text.plain(body)
    assert "alert list" not in message_text.plain(body)
    mixed = message_body.combine([own(), notification()], "msg_1", is_digest=True)
    assert "notification list" in mixed["command"]

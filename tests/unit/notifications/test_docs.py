"""docs/notifications.md agrees with the code: the verification snippet, the example message, all kinds and states."""

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from dcmon.alerting import alert_payload
from dcmon.alerting.alert_payload import AlertDetails, VersionResult
from dcmon.alerting.alert_views import AlertView
from dcmon.alerting.rule_conditions import ChangeBase
from dcmon.db.tables.org import Alert, AlertRule, Check, Model, Monitor, Result, Version
from dcmon.notifications import message_body, notification_writer
from dcmon.notifications.integrations import message_text, registry, webhook
from dcmon.states import NotificationKind, NotificationState
from tests.helpers.paths import DOCS

PAGE = (DOCS / "notifications.md").read_text()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_docs_snippet_accepts_only_correctly_signed_messages() -> None:
    collected: dict[str, Any] = {}
    exec(blocks("python")[0], collected)
    import base64

    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    body = webhook.encode(json.loads(blocks("json")[0]))
    headers = webhook.sign([b"the new one", key], "msg_1", int(time.time()), body)
    assert collected["is_genuine"](SECRET, headers, body)
    assert not collected["is_genuine"](SECRET, headers, body + b" ")
    assert not collected["is_genuine"](SECRET, {**headers, "webhook-id": "msg_2"}, body)
    old = webhook.sign([key], "msg_1", int(time.time()) - 3600, body)
    assert not collected["is_genuine"](SECRET, old, body)


def make_row(table: Any, **values: Any) -> Any:
    """Return a row as PostgreSQL would; missing values are null."""
    return table(**{column.key: values.get(column.key) for column in table.__table__.columns})


def sent_message() -> dict[str, Any]:
    """Return a message about an alert as it is sent, built without a database."""
    first, last = datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
    alert = make_row(
        Alert, id=17, state="firing", severity="high", first_window_start=first, first_window_end=last,
        last_window_end=last, windows=1, metric="Drift Score", worst_value=0.31, current_value=0.31,
        worst_window_end=last, n=5120, drivers={"age": 0.31},
        details={"moved": [{"name": "age", "before": 0.02, "after": 0.31}], "worst_n": 5120, "first_value": 0.31,
                 "last_value": 0.31},
    )  # fmt: skip
    rule = make_row(AlertRule, id=3, operator="greater_than", threshold=0.2, severity="high", for_windows=2,
              keep_firing=0, min_n=0, no_data="keep", on_error="keep", name="feature drift")  # fmt: skip
    check = make_row(Check, class_name="FeatureDrift", needs_reference=True)
    view = AlertView(
        alert, rule, make_row(Monitor, name="Feature Drift", compared_with="reference"), make_row(Model, name="credit"),
        make_row(Version, name="v1"), check,
    )  # fmt: skip
    result = make_row(Result, window_start=first, window_end=last, state="OK", metrics={"Drift Score": 0.05},
                entries={}, n=4980, reference_revision=1)  # fmt: skip
    about = alert_payload.payload(
        view, AlertDetails(result, result, [VersionResult("v0", result)]), "acme", "https://dcmon.example.org"
    )
    return notification_writer.notification_body(about, "acme", "firing")


def require_alike(shown: Any, actual: Any, where: str = "") -> None:
    """Require the same keys in the same order at every level where both documents have a value."""
    if isinstance(shown, dict) and isinstance(actual, dict) and where not in (".alert.drivers",):
        assert list(shown) == list(actual), where
        for key in shown:
            require_alike(shown[key], actual[key], f"{where}.{key}")
    elif isinstance(shown, list) and isinstance(actual, list) and shown and actual:
        require_alike(shown[0], actual[0], where)


def test_docs_example_has_exactly_the_keys_that_are_sent() -> None:
    shown, actual = json.loads(blocks("json")[0]), sent_message()
    require_alike(shown, actual)
    same = ("sentence", "rule", "condition", "versions", "summary", "window", "compared_with")
    assert [shown["alert"][key] for key in same] == [actual["alert"][key] for key in same]
    assert (shown["link"], shown["command"]) == (actual["link"], actual["command"])


def test_docs_explain_every_key_of_an_alert() -> None:
    explained = PAGE[PAGE.index("## The body") :]
    for key in sent_message()["alert"]:
        assert f"`{key}`" in explained, key


def test_docs_digest_example_has_the_keys_of_a_digest() -> None:
    shown, digest = map(json.loads, blocks("json"))
    assert shown["format"] == digest["format"] == notification_writer.FORMAT
    created = message_body.combine([shown, shown], "msg_1", is_digest=True)
    assert list(created) == list(digest)
    assert list(created["counts"]) == list(digest["counts"])
    assert "Drift Score > 0.2" in message_text.plain(shown)
    assert "age 0.02 → 0.31" in message_text.plain(shown)


@pytest.mark.parametrize("name", [*registry.INTEGRATIONS, *(f"alert.{kind}" for kind in NotificationKind)])
def test_docs_explain_every_kind(name: str) -> None:
    assert re.search(rf"^\| .*`{re.escape(name)}`", PAGE, re.MULTILINE)


def test_docs_name_every_state() -> None:
    assert f"# {', '.join(NotificationState)}" in PAGE
    assert set(NotificationKind) == set(message_text.KIND_TEXTS)


def test_each_base_of_a_change_has_a_text() -> None:
    """The package of messages lies below alerting and can't import the enum."""
    assert set(ChangeBase) == set(message_text.MEASURED_TEXTS)

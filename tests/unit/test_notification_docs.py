"""docs/notifications.md is true: the snippet verifies, the example is what is sent, every kind and state is there."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from dcmon import digests, notifications, receivers
from dcmon.episodes import TOLD
from dcmon.receivers import webhook, words

PAGE = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_snippet_knows_a_genuine_message_from_any_other() -> None:
    found: dict[str, Any] = {}
    exec(blocks("python")[0], found)
    import base64

    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    body = webhook.encode(json.loads(blocks("json")[0]))
    headers = webhook.sign([b"the new one", key], "msg_1", int(time.time()), body)
    assert found["is_genuine"](SECRET, headers, body)
    assert not found["is_genuine"](SECRET, headers, body + b" ")
    assert not found["is_genuine"](SECRET, {**headers, "webhook-id": "msg_2"}, body)
    old = webhook.sign([key], "msg_1", int(time.time()) - 3600, body)
    assert not found["is_genuine"](SECRET, old, body)


def test_the_example_has_the_keys_of_a_message() -> None:
    shown, digest = map(json.loads, blocks("json"))
    assert shown["format"] == digest["format"] == notifications.FORMAT
    made = digests.of([shown, shown], "msg_1", is_digest=True)
    assert list(made) == list(digest)
    assert list(made["counts"]) == list(digest["counts"])
    assert "Drift Score > 0.2" in words.plain(shown)
    assert "age 0.02 → 0.31" in words.plain(shown)


@pytest.mark.parametrize("name", [*receivers.KINDS, *(f"alert.{kind}" for kind in (*TOLD, "repeated"))])
def test_every_kind_is_explained(name: str) -> None:
    assert re.search(rf"^\| .*`{re.escape(name)}`", PAGE, re.MULTILINE)


def test_every_state_is_named() -> None:
    assert f"# {', '.join(notifications.STATES)}" in PAGE
    assert set(TOLD) <= set(words.WHAT)

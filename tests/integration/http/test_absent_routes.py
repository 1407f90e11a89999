"""Routes of the old system that dcmon does not have answer with a sentence that says what to use instead."""

import json
import re

import pytest

from dcmon.app import App
from tests.conftest import Acme
from tests.helpers.endpoint import serving
from tests.helpers.paths import ROOT

ROW = re.compile(r"^\| `([A-Z]+) /(\S*)` \| not there \|", re.MULTILINE)
ABSENT = ROW.findall((ROOT / "docs" / "compatibility.md").read_text())


@pytest.mark.parametrize(("method", "path"), ABSENT)
def test_absent_route_says_what_to_use_instead(app: App, acme: Acme, method: str, path: str) -> None:
    with serving(app, acme.token) as endpoint:
        response = endpoint.request(method, re.sub(r"\{[^}]*\}", "1", path))
    message = json.loads(response.data)["error_message"]

    assert response.status in (404, 405)
    assert "has no route" not in message
    assert len(message.split()) > 5

"""The report of the production suite over HTTP: one page that needs no network, whatever names are in it."""

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dcmon.app import App
from dcmon.monitoring import lifecycle
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from tests.conftest import Acme
from tests.helpers import valued_model
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.valued_model import START
from tests.helpers.waiting import PATIENCE
from tests.integration.conftest import Target
from tests.integration.http.test_rules import send_request

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
RANGE = {"start_time": START.isoformat(), "end_time": (START + timedelta(days=2)).isoformat()}
NOWHERE = {"start_time": "2020-01-01T00:00:00Z", "end_time": "2020-01-02T00:00:00Z"}
EVIL = "</script><img src=x onerror=document.body.remove()>"
LOADING = ("src", "href", "srcset", "data", "action", "poster", "background", "xlink:href")
PROBE = """<script>
addEventListener("load", () => setTimeout(() => {
  const note = document.body.appendChild(document.createElement("pre"));
  note.id = "seen";
  note.textContent = JSON.stringify({
    plots: document.querySelectorAll(".plotly-graph-div svg.main-svg").length, images: document.images.length,
    headings: [...document.querySelectorAll("h2")].map((heading) => heading.innerText),
    fetched: performance.getEntriesByType("resource").map((entry) => entry.name), title: document.title,
  });
}, 3000));
</script></body>"""


class Addresses(HTMLParser):
    """Collects the addresses that attributes of a page name, and the scripts that are in the page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in LOADING]


@pytest.fixture
def endpoint(app: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    """Serve a model with two days of samples and labels, and a reference. A busy machine gets time to compute."""
    app.settings.http.computation_time = timedelta(seconds=PATIENCE)
    valued_model.fill(app, target, days=2)
    with serving(app, acme.token) as client:
        yield client


def suite(endpoint: Endpoint, version: int, **body: Any) -> str:
    headers = {"content-type": "application/json", "accept-encoding": "identity"}
    path = f"model-versions/{version}/suite-run"
    response = endpoint.request("POST", path, json.dumps({**RANGE, **body}).encode(), **headers)
    assert response.status == 200, response.data
    assert response.headers["content-type"].startswith("text/html")
    assert "sandbox" in response.headers["content-security-policy"]
    return response.data.decode()


def require_self_contained(page: str) -> None:
    """Each address is a place in the page itself, and no text names a host that could be asked for something."""
    parser = Addresses()
    parser.feed(page)
    assert {address[:1] for address in parser.addresses} <= {"#"}
    assert not {"img", "link", "iframe", "object", "embed", "form"} & set(parser.tags)
    assert set(re.findall(r"https?://([\w.-]+)", page)) <= {"www.w3.org"}
    assert not re.search(r"cdnjs|unpkg|jsdelivr", page.split("plotly.js v")[0])
    assert "Content-Security-Policy" in page


def seen_by_browser(page: str, directory: Path) -> dict[str, Any]:
    """Render a page where no host can be reached: names of hosts don't resolve."""
    assert BROWSER is not None
    file = directory / "report.html"
    file.write_text(page.replace("</body>", PROBE))
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=30000",
        f"--user-data-dir={directory / 'profile'}", "--dump-dom", file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    note = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert note, done.stderr[-2000:]
    seen: dict[str, Any] = json.loads(unescape(note[1]))
    return seen


def test_report_is_self_contained_and_compares(target: Target, endpoint: Endpoint, tmp_path: Path) -> None:
    page = suite(endpoint, target.version_id)
    require_self_contained(page)
    assert f"<title>Test Suite - Model v1 - Window {START + timedelta(days=2):%Y-%m-%d %H:%M}</title>" in page
    assert "Feature Drift" in page
    assert "Test Dataset" in page
    if BROWSER is not None:
        seen = seen_by_browser(page, tmp_path)
        assert seen["plots"] >= 5
        assert (seen["images"], seen["fetched"]) == (0, [])
        assert seen["headings"]


def test_report_without_a_reference_is_of_production(app: App, target: Target, endpoint: Endpoint) -> None:
    """Names and categories with markup are shown as text: they are no elements of the page."""
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        new = NewVersion(EVIL, {EVIL: "numeric", "job": "categorical"}, {}, classes=[EVIL, "ok"])
        version = versions.create(session, model, new).id
    rows = [
        {
            "_dc_sample_id": f"e{number}", "_dc_time": (START + timedelta(minutes=number)).isoformat(),
            "_dc_prediction": (EVIL, "ok")[number % 2], EVIL: number % 17 + 0.5, "job": (EVIL, "nurse")[number % 3 % 2],
        }
        for number in range(200)
    ]  # fmt: skip
    assert endpoint.samples(version, [json.dumps(row).encode() for row in rows]).status == 200
    labels = [{"_dc_sample_id": f"e{number}", "_dc_label": (EVIL, "ok")[number % 5 % 2]} for number in range(150)]
    assert endpoint.labels(target.model_id, [json.dumps(row).encode() for row in labels]).status == 200
    page = suite(endpoint, version)
    require_self_contained(page)
    assert EVIL not in page
    assert f"Model {escape(EVIL)} - Window" in page
    assert "Test Dataset" not in page
    assert "‹" in page or "\\u2039" in page, "no plot or table has the name of a class or feature"


@pytest.mark.parametrize("task_type", ["binary", "regression"])
def test_report_of_many_features_has_the_chosen_ones(
    app: App, target: Target, endpoint: Endpoint, task_type: str
) -> None:
    """Without a choice the 30 most important features are in it, and with one these; also next to a reference."""
    importance = {f"f{number:02}": 1.0 + number for number in range(35)}
    with app.org(target.org) as session:
        model = models.create(session, NewModel(f"wide {task_type}", task_type))
        classes = ["0", "1"] if task_type == "binary" else None
        features = dict.fromkeys(importance, "numeric")
        new = NewVersion("w1", features, classes=classes, feature_importance=importance)
        version, model_id = versions.create(session, model, new).id, model.id
    output = "01" if task_type == "binary" else (0.5, 2.5)
    rows = [
        {
            "_dc_sample_id": f"w{number}", "_dc_time": (START + timedelta(minutes=number)).isoformat(),
            "_dc_prediction": output[number % 2],
            **{name: (number * 7 + position) % 13 + 0.5 for position, name in enumerate(importance)},
        }
        for number in range(60)
    ]  # fmt: skip
    assert endpoint.samples(version, [json.dumps(row).encode() for row in rows]).status == 200
    labels = [{"_dc_sample_id": f"w{number}", "_dc_label": output[number % 3 % 2]} for number in range(60)]
    assert endpoint.labels(model_id, [json.dumps(row).encode() for row in labels]).status == 200
    page = suite(endpoint, version)
    assert "f34" in page
    assert "f04" not in page
    columns = [*importance, "_dc_prediction", "_dc_label"]
    data = [
        [*(row[name] for name in columns[:-1]), label["_dc_label"]] for row, label in zip(rows, labels, strict=True)
    ]
    document = json.dumps({"columns": columns, "data": data}).encode()
    with app.org(target.org) as session:
        lifecycle.append_reference(session, *versions.get(session, version), document)
    page = suite(endpoint, version, additional_kwargs={"check_conf": {"feature": ["f04", "f07"]}})
    assert "Feature Drift" in page
    assert "f04" in page
    assert "f34" not in page


def test_report_is_compressed_for_who_accepts_it(target: Target, endpoint: Endpoint) -> None:
    headers = {"content-type": "application/json", "accept-encoding": "gzip"}
    path = f"{endpoint.url}/api/v1/model-versions/{target.version_id}/suite-run"
    headers["authorization"] = f"Basic {endpoint.token}"
    response = endpoint.pool.request("POST", path, json=RANGE, headers=headers, timeout=PATIENCE, preload_content=False)
    assert response.headers["content-encoding"] == "gzip"
    packed = response.read(decode_content=False)
    page = gzip.decompress(packed).decode()
    assert page.startswith("<!DOCTYPE html>")
    assert len(packed) < len(page) / 3


def test_report_of_no_rows_or_version_is_refused(target: Target, endpoint: Endpoint) -> None:
    path = f"model-versions/{target.version_id}/suite-run"
    assert "no samples" in send_request(endpoint, "POST", path, NOWHERE, 404)["error_message"]
    send_request(endpoint, "POST", "model-versions/999/suite-run", RANGE, 404)
    unknown = {"filters": [{"column": "wages", "operator": "equals", "value": 1}]}
    assert "wages" in send_request(endpoint, "POST", path, {**RANGE, "filter": unknown}, 400)["error_message"]
    choices = {"check_conf": {"feature": ["wages"]}}
    send_request(endpoint, "POST", path, {**RANGE, "additional_kwargs": choices}, 400)
    send_request(endpoint, "POST", path, {**RANGE, "end_time": "2020-01-01T00:00:00Z"}, 422)

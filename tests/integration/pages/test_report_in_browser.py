"""The page of a report in a browser: what its script draws, and what a pointer shows."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from dcmon.pages.charts import Interval
from dcmon.pages.report import AlertSpan, MonitorSeries, Point, Report, Threshold, render
from tests.helpers.waiting import PATIENCE

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")

START = datetime(2013, 4, 1, tzinfo=UTC)
EVIL = "</script><img src=x onerror=document.body.remove()>"
RULE = Threshold(0.25, "high")
# Moves the pointer to a place of the first chart, given as shares of its width and height, and then drags to the right.
PROBE = """<script>
const seen = { errors: [] };
addEventListener("error", (event) => seen.errors.push(event.message));
const pause = () => new Promise((resume) => setTimeout(resume, 100));
const over = plots[0].over, box = over.getBoundingClientRect();
const point = (type, x, buttons = 0) => over.dispatchEvent(new MouseEvent(type, {
  clientX: box.left + x * box.width, clientY: box.top + 0.5 * box.height, movementX: 9, bubbles: true, view: window,
  buttons,
}));
const colorAt = (plot, time, value) => {
  const [x, y] = [plot.valToPos(time, "x", true), plot.valToPos(value, "y", true)];
  return [...plot.ctx.getImageData(Math.round(x), Math.round(y), 1, 1).data];
};
(async () => {
  await pause();
  seen.canvases = document.querySelectorAll("canvas").length;
  seen.images = document.images.length;
  seen.legend = [...document.querySelectorAll(".legend button")].map((button) => button.textContent);
  const day = 86400, start = figures[0].windows[0].starts[0];
  seen.band = colorAt(plots[0], start + 2.5 * day, 0.05);
  seen.outside = colorAt(plots[0], start + 1.2 * day, 0.05);
  seen.interval = colorAt(plots[0], start + 1.9 * day, 0.36);
  point("mouseenter", 0);
  point("mousemove", (start + 2 * day - plots[0].scales.x.min) / (plots[0].scales.x.max - plots[0].scales.x.min));
  await pause();
  seen.tooltips = [...document.querySelectorAll(".tooltip:not([hidden])")].map((tooltip) => tooltip.innerText);
  point("mousedown", 0.4, 1);
  for (const x of [0.45, 0.5, 0.6]) { await pause(); point("mousemove", x, 1); }
  await pause();
  point("mouseup", 0.6);
  await pause();
  const [first, last] = figures[0].span;
  seen.zoomed = plots.map(({ scales }) => (scales.x.max - scales.x.min) / (last - first));
  const note = document.body.appendChild(document.createElement("pre"));
  note.id = "seen";
  note.textContent = JSON.stringify(seen);
})();
</script></body>"""


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def report() -> Report:
    values = [0.1, 0.4, 0.1, None, 0.3]
    drift = [
        Point(
            day(number), day(number + 1), {} if value is None else {EVIL: value}, 900,
            "NO_DATA" if value is None else "OK", None if value else "no rows",
            intervals={} if value is None else {EVIL: Interval(value - 0.05, value + 0.05)},
        )
        for number, value in enumerate(values)
    ]  # fmt: skip
    alert = AlertSpan(day(2), day(3), "high", 0.4, RULE, EVIL)
    scores = [Point(day(n), day(n + 1), {"F1": 0.8, "AUC": 0.9}, 900, version="v1") for n in range(5)]
    flow = [Point(day(n), day(n + 1), {"rows": 900.0, "lag": 3.0}, 900) for n in range(5)]
    series = [
        MonitorSeries("Drift", "DAY", drift, [RULE], [alert]),
        MonitorSeries("Performance", "DAY", scores),
        MonitorSeries("Flow", "DAY", flow, has_own_axes=True),
        MonitorSeries("New", "WEEK"),
    ]
    return Report("acme", EVIL, "v1", START, day(5), day(6), series)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the page shows in a browser."""
    directory = tmp_path_factory.mktemp("report")
    page = directory / "report.html"
    page.write_text(render(report()).replace("</body>", PROBE))
    return _seen_by_browser(page)


def _seen_by_browser(page: Path) -> dict[str, Any]:
    assert BROWSER is not None
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,1400",
        "--virtual-time-budget=20000", f"--user-data-dir={page.parent / 'profile'}", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    note = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert note, done.stderr[-2000:]
    return json.loads(unescape(note[1]))


def test_page_draws_a_canvas_for_each_axis(seen: dict[str, Any]) -> None:
    assert seen["errors"] == []
    assert seen["canvases"] == 1 + 1 + 2 + 1
    assert seen["legend"] == ["F1", "AUC"]


def test_page_draws_alerts_and_intervals(seen: dict[str, Any]) -> None:
    """The pixels: a band of the severity's color (orange), nothing beside it, and an interval of the line's (blue)."""
    red, _, blue, alpha = seen["band"]
    assert red > blue
    assert alpha > 0
    assert seen["outside"][3] == 0
    red, _, blue, alpha = seen["interval"]
    assert blue > red
    assert alpha > 0


def test_tooltip_has_value_interval_and_alert_as_text(seen: dict[str, Any]) -> None:
    [tooltip] = seen["tooltips"]
    lines = [line for line in tooltip.splitlines() if line]
    assert lines[0] == "2013-04-02 to 2013-04-03, n = 900"
    assert "0.4 (0.35 to 0.45)" in tooltip
    assert f"alert high since 2013-04-03, until 2013-04-04, driven by {EVIL}" in tooltip
    assert seen["images"] == 0


def test_dragging_over_a_chart_zooms_all_charts(seen: dict[str, Any]) -> None:
    assert seen["zoomed"] == [pytest.approx(0.2, abs=0.02)] * seen["canvases"]

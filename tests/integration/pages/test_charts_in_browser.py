"""The charts of a page in a browser: what the script draws, and what a pointer and the keyboard show."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dcmon.db.tables.org import Model, Version
from dcmon.pages.charts import AlertSpan, Interval, MonitorSeries, Point, Threshold
from dcmon.pages.monitor_series import ModelSeries
from dcmon.pages.report import Contents, render
from dcmon.pages.view import FileLinks, View
from tests.helpers.browser import BROWSER, SIZES, Browser, chromium
from tests.helpers.waiting import eventually

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")

START = datetime(2013, 4, 1, tzinfo=UTC)
EVIL = "</script><img src=x onerror=document.body.remove()>"
RULE = Threshold(0.25, "high")
# Moves the pointer to a place of the first chart, given as shares of its width and height, and then drags to the right.
PROBE = """
const seen = {};
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
  return seen;
})()
"""


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def report() -> Contents:
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
    model, version = Model(id=1, name=EVIL, task_type="binary"), Version(id=1, name="v1")
    shown = ModelSeries(model, [version], START, day(5), series, [], len(series))
    return Contents(shown, View("acme", FileLinks(), now=day(6)))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Show the file in a browser."""
    directory = tmp_path_factory.mktemp("report")
    path = directory / "report.html"
    path.write_text(render(report()))
    with chromium(directory / "profile") as browser:
        browser.show("desktop")
        browser.open(path.as_uri())
        yield browser


@pytest.fixture(scope="module")
def seen(page: Browser) -> dict[str, Any]:
    """Return what the page shows to a pointer."""
    shown = page.run(PROBE)
    assert isinstance(shown, dict)
    return shown


def test_page_draws_a_canvas_for_each_axis(seen: dict[str, Any], page: Browser) -> None:
    assert page.errors == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    assert seen["canvases"] == 1 + 1 + 2, "a monitor without a window has a sentence, no empty chart"
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


def test_arrow_keys_move_through_the_windows(page: Browser, seen: dict[str, Any]) -> None:
    """A reader without a pointer comes to a chart by Tab, and reads its windows one by one."""
    shown = "[...document.querySelectorAll('.tooltip:not([hidden])')].map((tooltip) => tooltip.innerText)"
    page.run("document.querySelector('.panel').focus()")
    page.run("plots[0].setScale('x', { min: figures[0].span[0], max: figures[0].span[1] })")
    page.key("Home")
    assert page.run(shown)[0].startswith("2013-04-01 to 2013-04-02")
    page.key("ArrowRight")
    assert page.run(shown)[0].startswith("2013-04-02 to 2013-04-03")
    page.key("End")
    page.key("ArrowLeft")
    assert "no value" in page.run(shown)[0]
    page.key("Escape")
    assert page.run(shown) == []


def test_values_are_readable_without_a_chart(page: Browser, seen: dict[str, Any]) -> None:
    page.run("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    text = page.run("document.body.innerText")
    assert "0.4 (0.35 to 0.45)" in text
    assert "NO_DATA: no rows" in text


def shows_tooltip(page: Browser) -> bool:
    page.key("End")
    return page.run("document.querySelectorAll('.tooltip:not([hidden])').length") == 1


@pytest.mark.parametrize("size", SIZES)
def test_page_is_as_wide_as_the_window_in_any_size(page: Browser, seen: dict[str, Any], size: str) -> None:
    """Nothing makes a phone scroll to the side, also no tooltip of the wider window; tables scroll in themselves.

    Dark and light have different colors.
    """
    page.show("desktop")
    page.run("document.querySelector('.panel').focus()")
    assert eventually(lambda: shows_tooltip(page)), "charts follow the size of the window before, a moment later"
    page.show(size)
    wanted = [SIZES[size][0]] * 2  # a chart follows the window a moment later
    assert eventually(lambda: page.run("[document.documentElement.scrollWidth, innerWidth]") == wanted)
    light = page.run("getComputedStyle(document.body).backgroundColor")
    page.show(size, dark=True)
    assert page.run("getComputedStyle(document.body).backgroundColor") != light

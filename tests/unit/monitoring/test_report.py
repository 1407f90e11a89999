"""The HTML report of a model."""

import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

from dcmon.formatting import format_number
from dcmon.monitoring.report import charts
from dcmon.monitoring.report.html import AlertSpan, MonitorSeries, Point, Report, Threshold, render, write

START = datetime(2013, 4, 1, tzinfo=UTC)
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def point(number: int, value: float | None, reason: str | None = None, version: str = "v1") -> Point:
    metrics = {} if value is None else {"score": value}
    return Point(day(number), day(number + 1), metrics, 900, "OK" if metrics else "NO_DATA", reason, version)


def series(name: str = "Drift", driver: str = "temp 0.9") -> MonitorSeries:
    rule = Threshold(0.2, "high")
    alerts = [AlertSpan(day(2), day(3), "high", 0.4, rule, driver), AlertSpan(day(5), None, "high", 0.3, rule, driver)]
    points = [point(0, 0.1), point(1, 0.4), point(2, 0.1), point(3, None, f"{name} has no rows"), point(4, 0.3)]
    return MonitorSeries(name, "DAY", points, [rule], alerts, "note")


def report(name: str = "Drift") -> Report:
    return Report(name, name, name, START, day(6), day(7), [series(name, name), MonitorSeries("Quiet", "WEEK")])


def figures(page: str) -> list[dict]:
    figures_script = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    assert figures_script
    return json.loads(figures_script[1])


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_report_names_are_escaped() -> None:
    page = render(report(EVIL))
    elements = Elements()
    elements.feed(page)
    assert [tag for tag, _ in elements.tags].count("script") == 3
    assert "img" not in {tag for tag, _ in elements.tags}
    assert not any(name.startswith("on") for _, attributes in elements.tags for name in attributes)
    written = json.dumps(figures(page))
    assert "<img" not in written
    assert "<script" not in written


def test_report_loads_nothing_from_a_network() -> None:
    elements = Elements()
    page = render(report())
    elements.feed(page)
    for _, attributes in elements.tags:
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    library = page.index("plotly.js v")
    end = page.index("</script>", library)
    assert "://" not in page[:library] + page[end:]
    assert "@import" not in page[:library]


def test_chart_gap_has_its_reason() -> None:
    line, gaps = figures(render(report()))[0]["data"]
    assert line["y"] == [0.1, 0.4, 0.1, None, 0.3]
    assert line["connectgaps"] is False
    assert len(gaps["x"]) == 1
    assert "Drift has no rows" in gaps["text"][0]


def test_chart_draws_thresholds_and_alerts() -> None:
    layout = figures(render(report()))[0]["layout"]
    bands = [shape for shape in layout["shapes"] if shape["type"] == "rect"]
    assert (bands[0]["x0"], bands[0]["x1"]) == (day(2).isoformat(), day(3).isoformat())
    assert bands[1]["x1"] > day(6).isoformat()
    assert [shape["y0"] for shape in layout["shapes"] if shape["type"] == "line"] == [0.2]
    assert layout["annotations"][0]["text"] == "&gt; 0.2 high"


def test_chart_has_a_line_per_version_and_metric() -> None:
    points = [Point(day(0), day(1), {"a": 1.0, "b": 2.0}, 9, version=version) for version in ("v1", "v2")]
    page = render(Report("o", "m", "v", START, day(6), day(7), [MonitorSeries("Two", "DAY", points)]))
    figure = figures(page)[0]
    assert [trace["name"] for trace in figure["data"]] == ["v1 · a", "v1 · b", "v2 · a", "v2 · b"]
    assert figure["layout"]["showlegend"] is True


def test_report_worst_value_is_on_the_rules_side() -> None:
    series = MonitorSeries("F1", "DAY", [point(0, 0.9), point(1, 0.31)], [Threshold(0.5, "high", "less_than")])
    page = render(Report("o", "m", "v", START, day(6), day(7), [series]))
    assert '<span class="number">0.31</span>' in page
    assert "No alert in this period." in page


def test_series_state_is_the_highest_open_severity() -> None:
    spans = [AlertSpan(day(0), None, severity, 1.0) for severity in ("low", "critical", "high")]
    assert MonitorSeries("M", "DAY", [point(0, 1.0)], alerts=spans).state == "firing critical"
    assert MonitorSeries("M", "DAY", [point(0, 1.0)]).state == "ok"
    assert MonitorSeries("M", "DAY", [point(0, None)]).state == "no value"


def test_report_file_is_self_contained(tmp_path: Path) -> None:
    write(tmp_path / "report.html", report())
    size = (tmp_path / "report.html").stat().st_size
    assert 4_000_000 < size < 6_000_000


def test_chart_metrics_with_own_units_have_own_axes() -> None:
    """The axes are one above the other."""
    points = [Point(day(0), day(1), {"rows": 900.0, "label ratio": 0.4, "lag": 3.0}, 900), Point(day(1), day(2), {}, 0)]
    rules = [Threshold(100, "high", "less_than", metric="rows"), Threshold(5, "low", metric="Lag")]
    flow = MonitorSeries("Flow", "DAY", points, rules, has_own_axes=True)
    figure = charts.figure(flow, START, day(2))
    lines = {trace["name"]: trace["yaxis"] for trace in figure["data"] if "lines" in trace["mode"]}
    assert lines == {"rows": "y", "label ratio": "y3", "lag": "y4"}
    axes = [figure["layout"][name] for name in ("yaxis", "yaxis3", "yaxis4")]
    assert [axis["title"]["text"] for axis in axes] == ["rows", "label ratio", "lag"]
    bounds = [edge for axis in axes for edge in reversed(axis["domain"])]
    assert bounds == sorted(bounds, reverse=True)
    assert (axes[0]["range"][1] > 900, axes[1]["range"][1] < 1, axes[2]["range"][1] < 6) == (True, True, True)
    assert {(shape["y0"], shape["yref"]) for shape in figure["layout"]["shapes"]} == {(100, "y"), (5, "y4")}
    assert (flow.last, format_number(flow.last)) == (900.0, "900")


def test_chart_draws_only_the_shown_metrics() -> None:
    points = [Point(day(0), day(1), {"a": 1.0, "b": 2000.0}, 9)]
    figure = charts.figure(MonitorSeries("Two", "DAY", points, shown=["b"]), START, day(1))
    assert [trace["name"] for trace in figure["data"]] == ["b"]
    assert MonitorSeries("Two", "DAY", points, shown=["b", "a"]).last == 2000.0

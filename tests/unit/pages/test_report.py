"""The HTML report of a model."""

import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.db.tables.org import Model, Version
from dcmon.formatting import format_number
from dcmon.pages import charts, series_charts
from dcmon.pages.charts import AlertSpan, Interval, MonitorSeries, Point, Threshold
from dcmon.pages.monitor_series import ModelSeries
from dcmon.pages.report import Contents, render, write
from dcmon.pages.view import FileLinks, View
from tests.helpers.examples import examples
from tests.helpers.paths import ROOT

START = datetime(2013, 4, 1, tzinfo=UTC)
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"

VALUES = st.floats(-1e6, 1e6).map(lambda value: float(f"{value:.6g}"))


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


def test_old_alerts_are_behind_a_button_and_open_ones_are_not() -> None:
    old = [AlertSpan(day(number), day(number + 1), "high", 0.4, None, None) for number in range(20)]
    still_open = [AlertSpan(day(30), None, "low", 0.4, None, None)]
    view = View("acme", FileLinks(), now=day(31))

    shown, _, hidden = str(series_charts.alert_table(view, [replace(series(), alerts=old + still_open)])).partition(
        "<details>"
    )

    assert "still open" in shown
    assert (shown.count("<tr>"), hidden.count("<tr>")) == (1 + 8, 1 + 13)
    assert "13 earlier alerts, which are over" in hidden


def report(name: str = "Drift") -> Contents:
    return of(name, [series(name, name), MonitorSeries("Quiet", "WEEK")])


def of(name: str, monitors: list[MonitorSeries]) -> Contents:
    """Return a report on a model whose name, version and organization have this name."""
    model, version = Model(id=1, name=name, task_type="binary"), Version(id=1, name=name)
    shown = ModelSeries(model, [version], START, day(6), monitors, [], len(monitors))
    return Contents(shown, View(name, FileLinks(), now=day(7)))


def figures_json(page: str) -> str:
    figures_script = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    assert figures_script
    return figures_script[1]


def figures(page: str) -> list[dict]:
    return json.loads(figures_json(page))


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
    assert "<" not in figures_json(page)
    assert EVIL in figures(page)[0]["alerts"][0]["text"]


def test_name_does_not_turn_the_text_after_it() -> None:
    page = render(report("\u202eecrep\u2066"))
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", page)
    assert "<h1>\\u202eecrep\\u2066</h1>" in page
    assert figures(page)[0]["name"] == "\\u202eecrep\\u2066"


def test_alert_in_a_chart_begins_with_its_first_window() -> None:
    alert = AlertSpan(day(2), None, "high", 0.4, started=day(1))
    [shown] = charts.figure(replace(series(), alerts=[alert]), day(0), day(6))["alerts"]
    assert shown["text"] == "alert high since 2013-04-02, still open"


def test_page_script_sets_names_only_as_text() -> None:
    script = (ROOT / "dcmon/pages/page.js").read_text()
    assert ".textContent = text" in script
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "setAttribute"):
        assert way not in script


def test_report_loads_nothing_from_a_network() -> None:
    elements = Elements()
    page = render(report())
    elements.feed(page)
    for _, attributes in elements.tags:
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith(("#", "data:,"))
    # The only address on the page is the one in the first comment of uPlot.
    assert page.count("://") == page.count("https://github.com/leeoniya/uPlot") == 1
    assert "@import" not in page


def test_uplot_is_the_published_file_with_its_license() -> None:
    """The files of uplot 1.6.32 on npm, byte by byte: a new version replaces files and digests together."""
    digests = {
        "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    }
    folder = ROOT / "dcmon/pages/uplot"
    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in digests} == digests
    assert "The MIT License" in render(report())


def test_chart_gap_has_its_reason() -> None:
    figure = figures(render(report()))[0]
    assert figure["panels"][0]["lines"][0]["values"] == [0.1, 0.4, 0.1, None, 0.3]
    assert figure["windows"][0]["notes"] == {"3": "no value (NO_DATA): Drift has no rows"}


def test_chart_draws_thresholds_and_alerts() -> None:
    figure = figures(render(report()))[0]
    first, second = figure["alerts"]
    assert (first["start"], first["end"]) == (day(2).timestamp(), day(3).timestamp())
    assert first["text"] == "alert high since 2013-04-03, until 2013-04-04, driven by Drift"
    assert second["end"] == figure["span"][1] > day(6).timestamp()
    assert second["text"] == "alert high since 2013-04-06, still open, driven by Drift"
    assert figure["panels"][0]["thresholds"] == [{"value": 0.2, "severity": "high", "text": "> 0.2 high"}]


def test_chart_has_a_line_per_version_and_metric() -> None:
    points = [Point(day(0), day(1), {"a": 1.0, "b": 2.0}, 9, version=version) for version in ("v1", "v2")]
    page = render(of("m", [MonitorSeries("Two", "DAY", points)]))
    lines = figures(page)[0]["panels"][0]["lines"]
    assert [line["name"] for line in lines] == ["v1 · a", "v1 · b", "v2 · a", "v2 · b"]
    assert [(line["version"], line["color"]) for line in lines] == [("v1", 1), ("v1", 2), ("v2", 3), ("v2", 4)]


def test_chart_shows_the_interval_of_each_value() -> None:
    points = [
        Point(day(0), day(1), {"a": 0.5}, 9, intervals={"a": Interval(0.25, 0.75)}),
        Point(day(1), day(2), {"a": 0.6}, 9),
        Point(day(2), day(3), {"a": 0.7}, 9, intervals={"a": Interval(0.6, 1.5)}),
    ]
    panel = charts.figure(MonitorSeries("M", "DAY", points), START, day(3))["panels"][0]
    line = panel["lines"][0]
    assert (line["lows"], line["highs"]) == ([0.25, None, 0.6], [0.75, None, 1.5])
    assert line["texts"] == ["0.5 (0.25 to 0.75)", "0.6", "0.7 (0.6 to 1.5)"]
    assert panel["range"][1] > 1.5
    assert "lows" not in charts.figure(MonitorSeries("M", "DAY", points[1:2]), START, day(3))["panels"][0]["lines"][0]


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["v1", "v2"]), VALUES, VALUES, VALUES), max_size=12), VALUES)
def test_chart_axis_contains_all_that_is_drawn(rows: list[tuple[str, float, float, float]], threshold: float) -> None:
    points = [
        Point(
            day(place), day(place + 1), {"a": value}, 9, version=version,
            intervals={"a": Interval(min(one, other), max(one, other))},
        )
        for place, (version, value, one, other) in enumerate(rows)
    ]  # fmt: skip
    figure = charts.figure(MonitorSeries("M", "DAY", points, [Threshold(threshold, "high")]), START, day(len(rows)))
    (panel,) = figure["panels"]
    low, high = panel["range"]
    drawn = [value for line in panel["lines"] for name in ("values", "lows", "highs") for value in line[name]]
    assert all(low <= value <= high for value in [*drawn, threshold])
    assert low < high
    start, end = figure["span"]
    assert all(start <= time <= end for windows in figure["windows"] for time in windows["ends"])
    assert sum(len(windows["ends"]) for windows in figure["windows"]) == len(rows)
    for line in panel["lines"]:
        windows = next(windows for windows in figure["windows"] if windows["version"] == line["version"])
        assert len(line["values"]) == len(line["texts"]) == len(windows["ends"])


def test_report_worst_value_is_on_the_rules_side() -> None:
    series = MonitorSeries("F1", "DAY", [point(0, 0.9), point(1, 0.31)], [Threshold(0.5, "high", "less_than")])
    page = render(of("m", [series]))
    assert '<span class="number">0.31</span>' in page
    assert "No alert in this period." in page


def test_series_state_is_the_highest_open_severity() -> None:
    spans = [AlertSpan(day(0), None, severity, 1.0) for severity in ("low", "critical", "high")]
    assert MonitorSeries("M", "DAY", [point(0, 1.0)], alerts=spans).state == "firing critical"
    assert MonitorSeries("M", "DAY", [point(0, 1.0)]).state == "ok"
    assert MonitorSeries("M", "DAY", [point(0, None)]).state == "no value"


def test_report_file_is_small(tmp_path: Path) -> None:
    write(tmp_path / "report.html", render(report()))
    assert 60_000 < (tmp_path / "report.html").stat().st_size < 100_000


def test_chart_metrics_with_own_units_have_own_axes() -> None:
    """The axes are one above the other."""
    points = [Point(day(0), day(1), {"rows": 900.0, "label ratio": 0.4, "lag": 3.0}, 900), Point(day(1), day(2), {}, 0)]
    rules = [Threshold(100, "high", "less_than", metric="rows"), Threshold(5, "low", metric="Lag")]
    flow = MonitorSeries("Flow", "DAY", points, rules, has_own_axes=True)
    panels = charts.figure(flow, START, day(2))["panels"]
    assert [panel["title"] for panel in panels] == ["rows", "label ratio", "lag"]
    assert [[line["name"] for line in panel["lines"]] for panel in panels] == [["rows"], ["label ratio"], ["lag"]]
    highest = [panel["range"][1] for panel in panels]
    assert (highest[0] > 900, highest[1] < 1, highest[2] < 6) == (True, True, True)
    assert [[rule["value"] for rule in panel["thresholds"]] for panel in panels] == [[100], [], [5]]
    assert (flow.last, format_number(flow.last)) == (900.0, "900")


def test_chart_draws_only_the_shown_metrics() -> None:
    points = [Point(day(0), day(1), {"a": 1.0, "b": 2000.0}, 9)]
    figure = charts.figure(MonitorSeries("Two", "DAY", points, shown=["b"]), START, day(1))
    assert [line["name"] for line in figure["panels"][0]["lines"]] == ["b"]
    assert MonitorSeries("Two", "DAY", points, shown=["b", "a"]).last == 2000.0


def test_rule_without_a_line_to_draw_counts_its_alerts() -> None:
    """A rule on features has no threshold on the axis of values, and is a rule all the same."""
    with_rule, without = MonitorSeries("Nulls", "DAY", n_rules=1), MonitorSeries("Scores", "DAY")
    page = render(of("m", [with_rule, without]))
    assert page.count("no rule") == 1

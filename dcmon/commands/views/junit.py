"""Judged results as JUnit XML: a test suite for each model, and a test case for each monitor."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any
from xml.etree import ElementTree

from dcmon.formatting import printable
from dcmon.states import ResultState

Row = Mapping[str, Any]


def document(rows: Sequence[Row]) -> str:
    """Return the XML. A violated rule is a failure, a result of ERROR an error, a missing verdict skips the case."""
    suites = ElementTree.Element("testsuites", name="dcmon")
    for model, of_model in groupby(sorted(rows, key=_monitor), key=lambda row: _monitor(row)[0]):
        suite = ElementTree.SubElement(suites, "testsuite", name=_text(model))
        cases = [_case(suite, model, name, list(group)) for (_, name), group in groupby(of_model, key=_monitor)]
        _count(suite, cases)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ElementTree.Element, model: str, name: str, rows: Sequence[Row]) -> ElementTree.Element:
    """Add the test case of a monitor, whose results may be of several windows and versions."""
    seconds = sum(row.get("seconds") or 0 for row in rows)
    case = ElementTree.SubElement(suite, "testcase", classname=_text(model), name=_text(name), time=f"{seconds:.3f}")
    violated = [_line(row, ", ".join(row["violates"])) for row in rows if row["violates"]]
    broken = [_line(row, str(row["reason"])) for row in rows if row["state"] == ResultState.ERROR]
    without = [_line(row, str(row["reason"] or row["no_verdict"])) for row in rows if _has_no_verdict(row)]
    for element, lines in (("failure", violated), ("error", broken), ("skipped", without)):
        if lines:
            outcome = ElementTree.SubElement(case, element, message=_text(lines[0]))
            if element != "skipped":
                outcome.set("type", "violated rule" if element == "failure" else "error")
                outcome.text = _text("\n".join(lines))
            break
    return case


def _count(suite: ElementTree.Element, cases: Sequence[ElementTree.Element]) -> None:
    counts = {"tests": "*", "failures": "*/failure", "errors": "*/error", "skipped": "*/skipped"}
    for attribute, path in counts.items():
        suite.set(attribute, str(len(suite.findall(path))))
    suite.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")


def _has_no_verdict(row: Row) -> bool:
    return row["state"] != ResultState.OK or bool(row["no_verdict"])


def _monitor(row: Row) -> tuple[str, str]:
    model, _, name = str(row["monitor"]).partition("/")
    return model, name


def _line(row: Row, text: str) -> str:
    """Return what a result says, after its window and version."""
    end, version = row.get("window_end"), row.get("version")
    window = f"window to {end:%Y-%m-%d %H:%M}" if end else "no window"
    return f"{window}{f', version {version}' if version else ''}: {text}"


def _text(text: str) -> str:
    """Return a text that XML can hold: it has no control characters."""
    return printable(text)

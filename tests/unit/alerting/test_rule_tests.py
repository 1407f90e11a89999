"""Rule tests: files with rules, series of values and expected states."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dcmon import cli, errors
from dcmon.alerting import condition_parser, rule_tests
from dcmon.alerting.rule_tests import RuleTest, WindowSpec
from tests.helpers.paths import DOCS

TEXT = """
tests:
  - name: two bad days
    rule: "> 0.2 warn 0.1"
    severity: high
    for: 2
    keep_firing: 1
    series: 0.05 0.3 0.3 NO_DATA _ 0.1x3
    expect: inactive pending firing:high firing firing firing inactivex2
  - rule: 'any feature > 0.3'
    min_n: 10
    series:
      - {entries: {age: 0.4}, n: 9}
      - {entries: {age: 0.4}, n: 10}
      - null
      - {state: ERROR}
    expect: [inactive, firing, firing, firing]
"""


def test_correct_file_of_rule_tests_passes() -> None:
    outcomes = [rule_tests.run(case) for case in rule_tests.read(TEXT.encode())]
    assert [(outcome.name, outcome.is_passed, len(outcome.lines)) for outcome in outcomes] == [
        ("two bad days", True, 8),
        ("any feature > 0.3", True, 4),
    ]


def test_file_may_hold_one_test_or_a_list() -> None:
    assert len(rule_tests.read(b"{rule: '> 1', series: 1 2, expect: inactive firing}")) == 1
    assert len(rule_tests.read(b"[{rule: '> 1', series: '2', expect: firing}]")) == 1


def test_unexpected_state_is_reported_for_its_window() -> None:
    outcome = rule_tests.run(RuleTest(rule="> 0.2", series="0.1 0.3", expect="inactive pending"))
    assert not outcome.is_passed
    assert [(line.number, line.is_right) for line in outcome.lines] == [(1, True), (2, False)]
    assert (outcome.lines[1].actual, outcome.lines[1].reason) == ("firing:medium", "violated: value 0.3")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not a file of rule tests"),
        (b"[]", "The file has no test"),
        (b"tests: [{rule: 1}]", r"tests\[0\].rule"),
        (b"tests: [{rule: '> 1', series: '1', expect: firing, fro: 2}]", "fro"),
        (b"rule: > 0.2\nseries: 1", "in quotes"),
        (b"\xff\xfe\x00", "not a file of rule tests"),
        (b"a: &a [*a]", "not a file of rule tests"),
        (b"[" * 5000, "not a file of rule tests"),
    ],
)
def test_invalid_file_of_rule_tests_is_refused(content: bytes, sentence: str) -> None:
    with pytest.raises(errors.InvalidInput, match=sentence):
        rule_tests.read(content)


@pytest.mark.parametrize(
    ("series", "expect", "more", "sentence"),
    [
        ("1 2", "firing", {}, "2 windows, but 1 states"),
        ("1", "broken", {}, "no state 'broken'"),
        ("1", "firing:urgent", {}, "no severity 'urgent'"),
        ("1", "inactive:high", {}, "only firing has a severity"),
        ("1", "firing", {"warn_severity": "high"}, "no warning level"),
        ("1", "firing", {"rule": "> 1 warn 0.5", "severity": "low"}, "severity above low"),
        ("1", "firing", {"rule": "> 1 warn 0.5", "warn_severity": "high"}, "must be below the rule's own"),
        ("1", "firing", {"for_": 100_000}, "1 to 1000 windows, not 100000"),
        ("1", "firing", {"min_n": -5}, "not -5"),
        ([WindowSpec(state="WEIRD")], "firing", {}, "no state of a window 'WEIRD'"),
        ([WindowSpec(value=1, n=-5)], "firing", {}, "no -5 rows"),
        ("one", "firing", {}, "is not a window"),
        ("1x999999", "firing", {}, "at most 100,000"),
        ("1", "firing", {"for_": 0}, "waits for 1 to 1000"),
        ("1", "firing", {"no_data": "fire"}, "keep, alert or ok"),
        ("1", "firing", {"severity": "urgent"}, "no severity"),
    ],
)
def test_invalid_rule_test_is_refused_with_its_name(
    series: Any, expect: str, more: dict[str, Any], sentence: str
) -> None:
    test = RuleTest(**{"rule": "> 1", "series": series, "expect": expect, "name": "nights", **more})
    with pytest.raises(errors.InvalidInput, match=f"^Test 'nights': .*{sentence}"):
        rule_tests.run(test)


def test_error_names_the_file_and_the_test(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("{name: nights, rule: '> 1', for: 0, series: '2', expect: firing}")
    done = CliRunner().invoke(cli.app, ["rule", "test", str(file)])
    assert str(done.exception).startswith("rules.yaml: Test 'nights': A rule waits for 1 to 1000 windows")


def test_rule_test_command_exits_1_and_shows_differences(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad é.yaml"
    good.write_text(TEXT)
    bad.write_text("{rule: '> 1', series: 1 2, expect: inactive inactive}")
    runner = CliRunner()
    assert runner.invoke(cli.app, ["rule", "test", str(good)]).exit_code == 0
    done = runner.invoke(cli.app, ["rule", "test", str(good), str(bad)])
    assert done.exit_code == 1
    assert "firing:medium" in done.stdout
    assert "> 1: > 1" in done.stdout  # the title of the table: which test, and which rule
    done = runner.invoke(cli.app, ["-o", "json", "rule", "test", str(bad)])
    assert [window["passed"] for window in json.loads(done.stdout)[0]["windows"]] == [True, False]


PAGE = (DOCS / "alerts.md").read_text()


def test_rule_test_file_in_the_docs_passes() -> None:
    content = PAGE.partition("```yaml\n")[2].partition("```")[0]
    outcomes = [rule_tests.run(case) for case in rule_tests.read(content.encode())]
    assert len(outcomes) == 2
    assert all(outcome.is_passed for outcome in outcomes)


def test_conditions_in_the_docs_can_be_parsed() -> None:
    table = PAGE.partition("## Conditions")[2].partition("\n\n")[2].partition("\n\n")[0]
    documented = [match for row in table.splitlines()[2:] for match in re.findall(r"`([^`]+)`", row.split(" | ")[0])]
    assert len(documented) >= 14
    for condition in documented:
        assert condition_parser.parse(
            condition_parser.to_text(condition_parser.parse(condition))
        ) == condition_parser.parse(condition)

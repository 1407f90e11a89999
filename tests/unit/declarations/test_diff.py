"""Plans are differences of documents, and the same for the same documents."""

from datetime import UTC, datetime

from hypothesis import given, settings

from dcmon.declarations import file_reader, rule_matching
from dcmon.declarations.declared_monitors import RuleDeclaration
from dcmon.declarations.diff import Comparison
from dcmon.declarations.document import Document
from dcmon.declarations.file_reader import Source
from dcmon.declarations.state import State
from tests.helpers.declared_worlds import FILES, lines
from tests.helpers.examples import examples

NOW = datetime(2026, 3, 1, tzinfo=UTC)
EMPTY = Document(models={}, receivers={}, mute_times={}, silences=[])


def document(text: str) -> Document:
    return file_reader.read([Source("a.yaml", text.encode())]).require()


def rule(condition: str, severity: str = "medium", name: str | None = None) -> RuleDeclaration:
    return RuleDeclaration.model_validate({"condition": condition, "severity": severity, "name": name})


@given(text=FILES)
@settings(max_examples=examples(15))
def test_plan_is_the_same_each_time(text: str) -> None:
    first, second = (Comparison(State(EMPTY), document(text), NOW).plan() for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert lines(first) == lines(second)


@given(text=FILES)
@settings(max_examples=examples(15))
def test_document_does_not_differ_from_itself(text: str) -> None:
    wanted = document(text)
    ids = {
        (model, name): list(range(len(monitor.rules or ())))
        for model, declared in (wanted.models or {}).items()
        for name, monitor in (declared.monitors or {}).items()
    }
    implicit = Comparison(State(wanted, ids, list(range(9))), wanted, NOW, prunes=True).plan()
    assert {change.noun for change in implicit.changes} <= {"check"}  # those that monitors name by a class


def test_rules_without_names_are_matched_by_what_they_say() -> None:
    stored = [rule("> 0.2", "high"), rule("> 0.1", "low"), rule("> 1", name="x")]
    assert rule_matching.match(stored, [rule("> 0.1", "low"), rule("> 0.2", "critical"), rule("> 2", name="x")]) == [
        1,
        0,
        2,
    ]
    assert rule_matching.match(stored, [rule("> 0.3", "high"), rule("> 0.4", "low"), rule("> 1", name="x")]) == [
        0,
        1,
        2,
    ]
    assert rule_matching.match(stored, [rule("> 1", name="y")]) == [None]

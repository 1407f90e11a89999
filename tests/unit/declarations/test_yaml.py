"""YAML is read with its places, and written so that every reader reads the same."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.declarations import yaml_reader, yaml_writer
from dcmon.declarations.yaml_nodes import Object, mark_at, to_data
from tests.helpers.examples import examples
from tests.helpers.odd_names import ODD_NAMES

TRAPS = [
    "no", "on", "y", "1e3", "12e03", "0o7", "2026-03-01", "12:30:45", "1_000", "0x1f", "~", "=", "<<", ".5", "-.inf",
    "a: b", "# x", "- a", "a\n", "a\nb\n", "\na", " a\n", "a\n\n", "a \nb", "?", "*x", "&x", "!x", "|", ">", "a\r\nb",
    "é\x85b", "\U0001f642\n\U0001f642", "a\n  b\n", "", "🙂" * 75,
]  # fmt: skip
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def read(text: str) -> Any:
    documents, faults = yaml_reader.read(text.encode(), "a.yaml")
    assert faults == []
    return [to_data(document) for document in documents]


def refusals(text: str) -> list[str]:
    return [str(fault) for fault in yaml_reader.read(text.encode(), "a.yaml")[1]]


@given(DATA.map(lambda inner: {"key": inner}))
@settings(max_examples=examples(60))
def test_written_data_is_read_again(data: Any) -> None:
    assert read(yaml_writer.write(data)) == [data]


@pytest.mark.parametrize("text", [*TRAPS, *ODD_NAMES])
def test_odd_text_is_the_same_in_both_versions_of_yaml(text: str) -> None:
    """PyYAML reads YAML 1.1, dcmon 1.2."""
    data = {"value": text, "list": [text], text: 1}
    written = yaml_writer.write(data)
    assert read(written) == [data]
    assert yaml.safe_load(written) == data


@given(st.text("0123456789+-._:,eExobTZ ynNYOFofulstra~=<", max_size=9))
@settings(max_examples=examples(300))
def test_exported_text_survives_each_reader(text: str) -> None:
    """A plain scalar is a text for dcmon's reader of YAML 1.2, and for PyYAML's of 1.1."""
    data = {"value": text, "list": [text], "key": {text: 1}}
    written = yaml_writer.write(data)
    assert read(written) == [data]
    assert yaml.safe_load(written) == data


def test_plain_words_of_old_yaml_are_texts() -> None:
    plain = "[no, on, yes, off, 2026-03-01, 12:30, 0b1, 1_000]"
    assert read(plain) == [["no", "on", "yes", "off", "2026-03-01", "12:30", "0b1", "1_000"]]
    assert read("[true, 1e3, 010, 0x1f, ~, null, '1', 1.50]") == [[True, 1000.0, 10, 31, None, None, "1", 1.5]]


def test_keys_are_texts_as_they_are_written() -> None:
    assert read("1: a\n007: b\ntrue: c\n1.50: d") == [{"1": "a", "007": "b", "true": "c", "1.50": "d"}]


def test_anchors_and_the_merge_key_are_resolved() -> None:
    assert read("a: &a {x: 1, y: no}\nb: {<<: *a, x: 2}\nc: [*a]")[0]["b"] == {"x": 2, "y": "no"}


def test_all_faults_of_a_file_are_reported() -> None:
    assert refusals("a: 1\na: 2\nb: !!int 3\n[x]: 1\nc: .inf\nd: " + "9" * 301) == [
        "a.yaml:2:1: The key 'a' is here twice: it is in line 1 already.",
        "a.yaml:3:4: The tag tag:yaml.org,2002:int can't be used: of all tags only !!str can.",
        "a.yaml:4:1: A key must be a text.",
        "a.yaml:5:4: .inf is not a finite number. A text is in quotes.",
        "a.yaml:6:4: The number 99999999999999999999… has more than 300 digits. A text is in quotes.",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [1,\nb: }", "a.yaml:2:4: This is not YAML: did not find expected node content."),
        ("a: &x [*x]", "a.yaml:1:8: The alias *x contains itself."),
        ("a: *x", "a.yaml:1:4: The alias *x has no anchor before it."),
        ("- " * 60 + "1", "a.yaml:1:103: The file has more than 50 levels."),
        ("a:\n\tb: 1", "a.yaml:2:1: This is not YAML: the line is indented with a tab; YAML needs blanks."),
        ("a: \x01", "a.yaml:1:1: This is not YAML: control characters are not allowed."),
    ],
)
def test_file_that_is_no_yaml_is_refused_at_its_place(text: str, fault: str) -> None:
    assert refusals(text) == [fault]


def test_file_that_is_not_utf8_is_refused() -> None:
    assert str(yaml_reader.read(b"a: 1\nb: \xff", "a.yaml")[1][0]) == "a.yaml:2:1: The file is not text in UTF-8."


def test_alias_bomb_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    assert refusals("\n".join(lines)) == ["a.yaml:6:25: The file has more than 500,000 values."]


def test_place_of_a_path_is_that_of_its_key_or_item() -> None:
    root = yaml_reader.read(b"a:\n  b: [1, 2]\n", "a.yaml")[0][0]
    assert isinstance(root, Object)
    assert [str(mark_at(root, path)) for path in (["a"], ["a", "b"], ["a", "b", 1], ["a", "c"])] == [
        "a.yaml:1:1", "a.yaml:2:3", "a.yaml:2:10", "a.yaml:1:1"
    ]  # fmt: skip

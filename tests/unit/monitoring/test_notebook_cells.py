"""Values become literals of a notebook, never code; a notebook has the format of Jupyter."""

import ast
import json
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.monitoring.notebook_cells import Cell, as_ipynb, as_script, assignment, literal
from tests.helpers.examples import examples

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
EVIL = "x'\"\"\"\n'''\r\\\u2028\u202e\ud800\0{HOST}%s$(id)\nimport os; os.system('id') # é"


@given(value=JSON)
@settings(max_examples=examples(200))
def test_literal_of_any_value_evaluates_to_it(value: Any) -> None:
    assert ast.literal_eval(literal(value)) == value


@given(value=JSON)
@settings(max_examples=examples(100))
def test_assignment_is_one_statement_of_a_constant(value: Any) -> None:
    (statement,) = ast.parse(assignment("NAME", value)).body
    assert isinstance(statement, ast.Assign)
    assert ast.literal_eval(statement.value) == value


def test_literal_escapes_what_can_not_be_seen() -> None:
    shown = literal(EVIL)
    assert ast.literal_eval(shown) == EVIL
    assert shown.isprintable()
    assert "é" in shown


def test_literal_of_infinity_compiles() -> None:
    assert eval(literal([float("inf"), float("-inf")])) == [float("inf"), float("-inf")]


def test_literal_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError):
        literal({"a": {1}})


def test_long_literal_has_a_line_for_each_item() -> None:
    value = {"filters": [{"column": "age" * 9, "operator": "in", "value": list(range(20))}] * 3}
    shown = literal(value)
    assert ast.literal_eval(shown) == value
    assert max(map(len, shown.splitlines())) <= 100


def test_notebook_fits_the_schema_of_jupyter() -> None:
    cells = [Cell("markdown", "# Title\n\ntext"), Cell("code", assignment("NAME", EVIL))]
    document = nbformat.reads(as_ipynb(cells), as_version=4)
    nbformat.validate(document)
    assert [cell.source for cell in document.cells] == [cell.source for cell in cells]
    assert json.loads(as_ipynb(cells))["nbformat"] == 4


def test_script_has_texts_as_comments() -> None:
    script = as_script([Cell("markdown", "# Title\n\ntext"), Cell("code", "NAME = 1")])
    assert script == "# # Title\n#\n# text\n\nNAME = 1\n"

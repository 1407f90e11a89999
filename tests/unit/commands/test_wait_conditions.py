"""The conditions of `dcmon wait`."""

import pytest
import typer

from dcmon.commands.operations.wait import Condition, parse_condition


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("lag=0", Condition("lag", "=", 0)), (" due <= 5 ", Condition("due", "<=", 5)),
        ("health=ok", Condition("health", "=", 0)), ("MIGRATED", Condition("migrated", "=", 0)),
        ("notifications!=3", Condition("notifications", "!=", 3)),
    ],
)  # fmt: skip
def test_condition_is_parsed(text: str, condition: Condition) -> None:
    assert parse_condition(text) == condition


@pytest.mark.parametrize(
    ("text", "message"),
    [("lga=0", "Do you mean 'lag'"), ("lag=", "not a condition"), ("lag=-1", "not a condition"), ("", "not a cond")],
)
def test_wrong_condition_is_refused(text: str, message: str) -> None:
    with pytest.raises(typer.BadParameter, match=message):
        parse_condition(text)


def test_condition_on_an_unknown_value_does_not_hold() -> None:
    assert not Condition("lag", "=", 0).holds(None)
    assert Condition("lag", "<", 3).holds(2)

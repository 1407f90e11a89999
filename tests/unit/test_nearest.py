"""A mistyped name is recognized, and never at a high price."""

import pytest

from dcmon import errors
from dcmon.commands.shared.groups import suggestions
from dcmon.nearest import meant, nearest

KNOWN = ["status", "alert", "Aggregated Feature Drift", "webhook", "worker"]


@pytest.mark.parametrize(
    ("typed", "meaning"),
    [
        ("statsu", "status"), ("alerts", "alert"), ("agregated feature drift", "Aggregated Feature Drift"),
        ("WEBHOOK", "webhook"), ("xyz", None), ("", None), (17, None),
    ],
)  # fmt: skip
def test_nearest_name_is_found(typed: object, meaning: str | None) -> None:
    assert nearest(typed, KNOWN) == meaning
    assert meant(typed, KNOWN) == ("" if meaning is None else f" Do you mean {meaning!r}?")


def test_long_and_many_names_end_at_once() -> None:
    """Without bounds this takes hours, because the time grows with the square of the length."""
    assert nearest("x" * 1_000_000, [("x" * 1_000_000)]) is None
    assert nearest("y" * 200, [f"{'x' * 190}{number}" for number in range(100_000)]) is None


def test_error_suggests_a_name_that_exists() -> None:
    assert str(errors.MonitorNotFound(name="Drfit", known=["Drift", "Nulls"])) == (
        "There is no monitor 'Drfit'. Do you mean 'Drift'? \"dcmon monitor list\" lists the monitors."
    )
    assert "mean" not in str(errors.MonitorNotFound(name="Drfit"))


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [
        ("new", ["create"]),
        ("get", ["list", "show"]),
        ("cre", ["create"]),
        ("rotat", ["rotate"]),
        ("crate", ["create"]),
        ("q", []),
    ],
)  # fmt: skip
def test_verb_of_another_tool_is_understood(typed: str, suggested: list[str]) -> None:
    assert suggestions(typed, ["create", "delete", "list", "rotate", "show"]) == suggested

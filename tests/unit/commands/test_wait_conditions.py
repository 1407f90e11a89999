"""The conditions of `dcmon wait`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import typer

from dcmon.app import App
from dcmon.commands.operations.wait import COUNTS, Condition, _count, _reasons, _result, parse_condition, wait
from dcmon.errors import InvalidInput
from dcmon.health.snapshot import HealthSnapshot, OrganizationHealth
from dcmon.health.status import Status, unknown
from dcmon.output import Output
from dcmon.settings import Settings

NOW = datetime(2026, 3, 1, tzinfo=UTC)


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


def test_result_names_the_conditions_as_understood() -> None:
    """A name alone means 0; -o name prints no bare number."""
    page = _result([parse_condition("lag"), parse_condition("due<=5")], {"lag": 0, "due": 4}, 1.23)
    assert page.data == {"conditions": ["lag=0", "due<=5"], "lag": 0, "due": 4, "seconds": 1.2}
    assert page.names == ["lag=0", "due<=5"]


def test_condition_on_an_unknown_value_does_not_hold() -> None:
    assert not Condition("lag", "=", 0).holds(None)
    assert Condition("lag", "<", 3).holds(2)


def test_backlogs_that_could_not_be_read_are_unknown() -> None:
    locked = OrganizationHealth("globex", unavailable_reason="Organization globex is locked.", is_counted=False)
    raced = OrganizationHealth("initech", is_counted=False)
    snapshot = HealthSnapshot(NOW, organizations=[OrganizationHealth("acme"), locked, raced], is_kafka_up=False)

    current = Status([], [], {"parked_messages": 0}, [], NOW, unknown=unknown(snapshot))

    assert [_count(current, name) for name in COUNTS] == [None, None, None]
    assert _reasons(current, {"lag"}) == ["Kafka does not answer."]
    said = "Organization globex is locked. Organization initech could not be read."
    assert _reasons(current, {"due", "notifications"}) == [said]


def test_reasons_of_many_organizations_are_few() -> None:
    """The line of `dcmon wait` had one for each, also where all say the same, and what PostgreSQL says names none."""
    behind = [OrganizationHealth(f"o{n}", is_counted=False, unavailable_reason="It is at 0001.") for n in range(20)]
    broken = [replace(org, unavailable_reason="No table.", is_unreadable=True) for org in behind]

    assert unknown(HealthSnapshot(NOW, organizations=behind))["problems"] == "It is at 0001."
    assert unknown(HealthSnapshot(NOW, organizations=broken))["problems"] == (
        "Organization o0 can't be read: No table. Organization o1 can't be read: No table."
        " Organization o2 can't be read: No table. In all, 20 organizations can't be read."
    )


def test_lag_without_kafka_is_zero() -> None:
    waiting = {"unread_messages": None, "parked_messages": 0, "windows_due": 3, "notifications_waiting": 0}
    current = Status([], [], waiting, [], NOW, unknown=unknown(HealthSnapshot(NOW)))

    assert [_count(current, name) for name in COUNTS] == [0, 3, 0]
    assert _reasons(current, set(COUNTS)) == []


def test_organization_is_refused() -> None:
    with App(Settings(), Output(quiet=True), org="acme") as app, pytest.raises(InvalidInput, match="leave out --org"):
        wait(app, [Condition("due", "=", 0)], timedelta(), timedelta())

"""The checks, monitors and rules of the demo."""

from dcmon.demo.config import DESCRIPTION, MODEL, WEEKLY, demo_plan
from dcmon.windows import Frequency


def test_demo_has_the_default_monitors_and_one_more() -> None:
    created = demo_plan()
    assert len(created.checks) == 9
    assert len(created.monitors) == 9
    assert sum(len(monitor.rules) for monitor in created.monitors) == 8
    assert {monitor.check for monitor in created.monitors} <= set(created.checks)


def test_weekly_monitors_have_a_reason() -> None:
    assert {monitor.name for monitor in demo_plan().monitors if monitor.frequency == Frequency.WEEK} == set(WEEKLY)
    assert all(bool(monitor.reason) == (monitor.frequency == Frequency.WEEK) for monitor in demo_plan().monitors)


def test_names_have_a_length_that_the_endpoint_accepts() -> None:
    assert all(len(name) <= 50 for name in (MODEL, *(monitor.name for monitor in demo_plan().monitors)))
    assert len(DESCRIPTION) <= 200

"""The chart of an alert shows the time of the alert, as the monitor was then."""

import json
from typing import Any

import pytest
from sqlalchemy import text

from dcmon import db
from dcmon.alerting import alert_views
from dcmon.app import App
from dcmon.pages import alert_section, monitor_series
from dcmon.pages.view import FileLinks, View
from tests.helpers.evaluation import day
from tests.helpers.judged_results import create_rule, store_and_judge, stored_alerts
from tests.integration.conftest import Target


def figure_of_alert(target: Target, alert_id: int) -> dict[str, Any]:
    with db.org_session(target.engine, target.org) as session:
        view, alert = View("acme", FileLinks()), alert_views.get_alert(session, alert_id)
        alert_section.render(session, view, target.org, alert, shows_receivers=False)
    figure: dict[str, Any] = json.loads(json.dumps(view.figures[-1]))
    return figure


def change_monitor(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        session.execute(text("update monitors set revision = revision + 1"))


def ends(figure: dict[str, Any]) -> list[int]:
    return [end for windows in figure["windows"] for end in windows["ends"]]


def second(number: int) -> int:
    return int(day(number).end.timestamp())


@pytest.mark.parametrize("condition", ["> 0.2", "age > 0.2"])
def test_alert_of_an_earlier_revision_is_shown(app: App, target: Target, condition: str) -> None:
    """Right after a change the monitor has no result of its current revision."""
    create_rule(target, condition)
    for number, value in enumerate((0.1, 0.5)):
        store_and_judge(target, number, value)
    (alert,) = stored_alerts(target)
    before = figure_of_alert(target, alert.id)
    assert ends(before) == [second(0), second(1)]

    change_monitor(target)

    assert figure_of_alert(target, alert.id) == before


def test_alert_without_stored_results_is_shown(app: App, target: Target) -> None:
    create_rule(target, "age > 0.2")
    store_and_judge(target, 0, 0.5)
    (alert,) = stored_alerts(target)
    with db.org_session(target.engine, target.org) as session:
        session.execute(text("delete from results"))

    assert ends(figure_of_alert(target, alert.id)) == []


def test_older_alert_is_shown_at_its_time(app: App, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither newer windows nor newer alerts than are read push it out of its own chart."""
    monkeypatch.setattr(monitor_series, "MOST_WINDOWS_OF_ALERT", 4)
    monkeypatch.setattr(monitor_series, "MOST_ALERTS", 1)
    create_rule(target, "> 0.2")
    for number, value in enumerate((0.1, 0.5, 0.1)):
        store_and_judge(target, number, value)
    for number in range(60, 65):
        store_and_judge(target, number, 0.1)
    store_and_judge(target, 100, 0.5)
    old, new = stored_alerts(target)

    figure = figure_of_alert(target, old.id)

    assert ends(figure) == [second(0), second(1), second(2)]
    assert len(figure["alerts"]) == 1
    assert ends(figure_of_alert(target, new.id))[-1] == second(100)

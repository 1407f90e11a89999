"""Labels that do not come: what is found, and what is only late as usual."""

import pytest
from sqlalchemy import text

from dcmon import db
from dcmon.app import App
from dcmon.health import checks, collector
from dcmon.health.organization_healths import COMPLETE_LOOK
from dcmon.health.problem import Problem
from dcmon.settings import Health
from tests.integration.conftest import Target

WATCHED = """
    insert into checks (model_id, name, module_name, class_name, params, needs_labels, needs_reference)
    select id, 'Accuracy', 'deepchecks.tabular.checks', 'SingleDatasetPerformance', '{}', true, false from models;
    insert into monitors (check_id, name, frequency, aggregation_window, lookback)
    select id, 'Accuracy', 'DAY', 1, '30 days' from checks where name = 'Accuracy';"""
ACTIVE = "update versions set watermark = now(), earliest = now() - interval '40 days', newest_logged_at = now();"
ARRIVED = """
    insert into batches (kind, source, model_id, taken, stored, duplicates, quarantined, created_at)
    select 'labels', 'x', model_id, 9, 9, 0, 0, now() - interval '{}' from versions;"""
BUSY = """
    insert into batches (kind, source, model_id, version_id, taken, stored, duplicates, quarantined, created_at)
    select 'samples', 'x', model_id, id, 9, 9, 0, 0, now() - interval '{}' from versions, generate_series(1, {});"""


OFTEN = """
    insert into batches (kind, source, model_id, taken, stored, duplicates, quarantined, created_at)
    select 'labels', 'x', model_id, 9, 9, 0, 0, now() - n * interval '6 hours'
      from versions, generate_series({1} * 4, {0} * 4) n;"""


def rows(days: int, labelled: int = 0, logged: int | None = None) -> str:
    """Return the statement that counts 40 rows of some days ago."""
    return f"""
        insert into quarter_hours (version_id, at, n, n_labelled, logged_at, is_touched)
        select id, now() - interval '{days} days', 40, {labelled},
               now() - interval '{days if logged is None else logged} days', false from versions;"""


FOUND = {
    "no label ever came": WATCHED + rows(9),
    "labels came and stopped": WATCHED + rows(30, 40) + rows(20) + ARRIVED.format("25 days"),
    "labels came with the rows and stopped": WATCHED + rows(30, 40) + rows(20),
    "no label ever came, among many rows": WATCHED + rows(9) + BUSY.format("1 hour", 50_000),
    "labels came and stopped, among many rows": WATCHED
    + rows(30, 40)
    + rows(15)
    + ARRIVED.format("13 days")
    + BUSY.format("1 hour", 50_000),
    "labels came often, and stopped": WATCHED + rows(30, 40) + rows(18) + OFTEN.format(90, 17),
    "labels came often, with a pause of a week, and stopped": WATCHED
    + rows(30, 40)
    + rows(18)
    + OFTEN.format(90, 40)
    + OFTEN.format(33, 17),
}
USUAL = {
    "no monitor needs labels": rows(9),
    "rows are younger than labels take": WATCHED + rows(5),
    "rows of a year ago were loaded yesterday": WATCHED + rows(300, logged=1),
    "labels of other rows came today": WATCHED + rows(9) + ARRIVED.format("1 hour"),
    "labels come every three weeks": WATCHED
    + rows(30, 40)
    + rows(15)
    + ARRIVED.format("34 days")
    + ARRIVED.format("13 days"),
    "labels come every three weeks, with many rows between them": WATCHED
    + rows(30, 40)
    + rows(15)
    + ARRIVED.format("34 days")
    + BUSY.format("30 days", 20_000)
    + ARRIVED.format("13 days")
    + BUSY.format("1 hour", 20_000),
    "labels came often, once with a pause of ten days": WATCHED
    + rows(30, 40)
    + rows(18)
    + OFTEN.format(90, 43)
    + OFTEN.format(33, 17),
    "labels came often, and the longest pause was the first": WATCHED
    + rows(30, 40)
    + rows(18)
    + ARRIVED.format("100 days")
    + OFTEN.format(90, 17),
    "a part of the rows gets a label": WATCHED + rows(20) + rows(2, 1),
    "too few rows to say": WATCHED + rows(9).replace("40", "3"),
}


def problems(app: App, target: Target, statements: str) -> list[Problem]:
    with db.org_session(app.engine, target.org) as session:
        for statement in (ACTIVE + statements).rstrip("; \n").split(";"):
            session.execute(text(statement))
    snapshot = collector.collect(app.engine, app.settings, COMPLETE_LOOK)
    return [problem for problem in checks.find_problems(snapshot, Health()) if problem.code == "labels-missing"]


@pytest.mark.parametrize("case", FOUND)
def test_labels_that_do_not_come_are_a_problem(app: App, target: Target, case: str) -> None:
    (problem,) = problems(app, target, FOUND[case])

    assert problem.subject == "acme/credit/v1"
    assert problem.sentence.startswith("40 rows of credit v1 in acme, logged since ")
    assert ("ever had one" in problem.sentence) is case.startswith("no label ever came")
    assert problem.command == "dcmon --org acme ingest file FILE --labels --model credit"


@pytest.mark.parametrize("case", USUAL)
def test_labels_that_are_late_as_usual_are_none(app: App, target: Target, case: str) -> None:
    assert problems(app, target, USUAL[case]) == []

"""Evaluating a window takes a fixed number of statements, however many monitors and rules are on it."""

import json
from collections.abc import Iterator
from datetime import timedelta
from threading import Event
from typing import NamedTuple

import pytest
from sqlalchemy import select, text

from dcmon.alerting import rules
from dcmon.alerting.rules import Change
from dcmon.app import App
from dcmon.checks.evaluator import CheckEvaluator
from dcmon.db.tables.org import Alert, Baseline, Notification, Result
from dcmon.jobs.evaluate import Evaluator
from dcmon.monitoring import due_windows, model_checks, monitors, window_expansion
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.monitoring.reference_cache import ReferenceCache
from dcmon.notifications import receivers
from dcmon.settings import Webhooks
from dcmon.storage import models
from dcmon.windows import ComparedWith, Frequency
from tests.helpers.evaluation import log_day, monitor_drift_of_age, rows
from tests.helpers.statements import Recorded, recorded_statements
from tests.integration.conftest import Target

FEW, MANY = 8, 40  # monitors
MOST = 15  # statements of a window in which no alert changes
MOST_TO_STORE = 15  # from the lock on the claim on: to judge and store a window with its alerts and notifications
MOST_WITH_ALERTS = 21  # of a window in which alerts open, go on or end, with their notifications
CONDITIONS = {
    "> 0.2": Change(),
    "> 0.3": Change(for_windows=3, keep_firing=1),
    "rise > 50%": Change(),
    "deviation up > 3 over 14 min 2": Change(),
    "rise > 50% against reference": Change(),
}


class Watched:
    """A model whose windows are evaluated one after the other; `day` is the next day to log."""

    def __init__(self, app: App, target: Target, check_evaluator: CheckEvaluator) -> None:
        self.app, self.target = app, target
        self.monitors, self.day = 1, 0
        self._evaluator = Evaluator(app, Event(), ReferenceCache(), check_evaluator)

    def add_monitors(self, total: int) -> None:
        """Add monitors of the share of nulls, each with a rule of every kind, until the model has so many."""
        with self.app.org(self.target.org) as session:
            model = models.get(session, self.target.model_id)
            check = model_checks.get_or_create_check(session, model, "PercentOfNulls")
            for number in range(self.monitors, total):
                monitor = monitors.create(session, check, MonitorSpec(f"Nulls {number}", Frequency.DAY))
                for condition, more in CONDITIONS.items():
                    rules.create(session, monitor.id, rules.parse(condition), "high", more=more)
            session.execute(text("delete from due_windows"))
        self.monitors = total

    def evaluate_day(self, *, nulls: bool = False) -> Recorded:
        """Log a day of rows, evaluate it, and return its statements."""
        new_rows = [json.loads(row) for row in rows(self.day)]
        if nulls:
            new_rows = [row | {"age": None, "job": None} for row in new_rows]
        encoded = [json.dumps(row).encode() for row in new_rows]
        self.app.ingestion.ingest_samples(self.target.org, self.target.version_id, encoded)
        self.day += 1
        log_day(self.app, self.target, self.day, count=1)  # a newer row, so that the day before is complete
        with self.app.org(self.target.org) as session:
            window_expansion.expand(session)
            (claim,) = due_windows.claim(session, 8, timedelta(minutes=10))
        self._evaluator._hold_leases(self.target.org, [claim])  # as the worker holds claims that it has just made
        with recorded_statements() as recorded:
            self._evaluator.evaluate(self.target.org, claim, [claim])
        return recorded

    def count(self, entity: type) -> int:
        with self.app.org(self.target.org) as session:
            return len(session.scalars(select(entity)).all())


def storing(recorded: Recorded) -> int:
    """Return the number of statements that judge and store the window: from `hold` to `finish` of its claim."""
    senders = [statement.sent_by for statement in recorded.statements]
    return senders.index("monitoring/due_windows.py: finish") - senders.index("monitoring/due_windows.py: hold") + 1


@pytest.fixture
def watched(app: App, target: Target) -> Iterator[Watched]:
    monitor_drift_of_age(app, target)
    with app.org(target.org) as session:
        receivers.add(session, "team", "https://hooks.example.org/x", Webhooks())
    with CheckEvaluator(app.settings.evaluate) as check_evaluator:
        yield Watched(app, target, check_evaluator)


class Counted(NamedTuple):
    """The numbers of statements of four windows: no alert changes; alerts of all monitors open, go on, and end."""

    quiet: int
    opening: int
    going_on: int
    ending: int


def count_statements(watched: Watched) -> Counted:
    """Evaluate windows in which the alerts of all monitors open, go on and end, and count the statements."""
    for _ in range(2):  # the first windows of new rules have their baselines and start times
        watched.evaluate_day()
    quiet = watched.evaluate_day()
    assert len(quiet) <= MOST, str(quiet)
    alerts, notifications = watched.count(Alert), watched.count(Notification)
    opening = watched.evaluate_day(nulls=True)
    opened = watched.count(Alert) - alerts
    assert opened >= 3 * watched.monitors
    assert watched.count(Notification) - notifications >= 3 * watched.monitors
    going_on = watched.evaluate_day(nulls=True)
    ending = watched.evaluate_day()
    assert watched.count(Notification) - notifications >= 6 * watched.monitors
    later = watched.evaluate_day()
    assert len(later) <= MOST, str(later)
    for recorded in (quiet, opening, going_on, ending, later):
        assert storing(recorded) <= MOST_TO_STORE, str(recorded)
    return Counted(len(quiet), len(opening), len(going_on), len(ending))


def test_statements_of_a_window_do_not_grow_with_its_rules(watched: Watched) -> None:
    """40 monitors with 200 rules take as many statements as 8 monitors, also when all rules fire."""
    watched.add_monitors(FEW)
    of_few = count_statements(watched)
    watched.add_monitors(MANY)
    assert count_statements(watched) == of_few
    assert max(of_few) <= MOST_WITH_ALERTS


def test_first_window_with_a_baseline_does_not_grow_either(watched: Watched) -> None:
    """The first window of new rules on the reference stores baselines, and judges all earlier results again."""
    watched.evaluate_day()
    watched.add_monitors(FEW)
    of_few = watched.evaluate_day()
    watched.add_monitors(MANY)
    of_many = watched.evaluate_day()
    assert watched.count(Baseline) == MANY - 1
    assert storing(of_many) <= MOST_TO_STORE + 2, str(of_many)
    assert len(of_many) == len(of_few), f"{of_few}\n\n{of_many}"


def test_compared_windows_and_flow_fit_into_the_limit(watched: Watched) -> None:
    """A window has at most 15 statements with rows of an earlier window, arriving rows and baselines, too."""
    watched.add_monitors(FEW)
    with watched.app.org(watched.target.org) as session:
        model = models.get(session, watched.target.model_id)
        drift = model_checks.get_or_create_check(session, model, "FeatureDrift")
        for number in range(4):
            spec = MonitorSpec(f"Moved {number}", Frequency.DAY, compared_with=ComparedWith.PREVIOUS)
            rules.create(session, monitors.create(session, drift, spec).id, rules.parse("> 0.9"), "low")
        flow = model_checks.get_or_create_check(session, model, "DataFlow")
        rows_id = monitors.create(session, flow, MonitorSpec("Rows", Frequency.DAY)).id
        rules.create(session, rows_id, rules.parse("rows < 1"), "low")
        session.execute(text("delete from due_windows"))
    for _ in range(2):
        watched.evaluate_day()
    recorded = watched.evaluate_day()
    assert len(recorded) <= MOST, str(recorded)
    assert watched.count(Result) == 3 * (FEW + 5)

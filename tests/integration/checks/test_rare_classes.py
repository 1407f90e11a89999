"""Drift with a rare class in the reference balances the classes; later labels do not change this."""

import json
from typing import Any

import pytest

from dcmon.app import App
from dcmon.http.routes import version_views
from dcmon.monitoring import lifecycle
from dcmon.storage import versions
from dcmon.windows import ComparedWith
from tests.helpers.evaluation import log_day, rows
from tests.integration.conftest import Target
from tests.integration.monitoring.test_earlier_windows import NAMES, create_comparing_monitor, label, settle, stored


def load_reference(app: App, target: Target, rare: int, of: int = 100) -> None:
    """Load a reference of `of` labelled rows, `rare` of them with the rare class."""
    parsed = [json.loads(row) for row in rows(-1, 0, of)]
    data = [[row[name] for name in NAMES] + [str(int(number < rare))] for number, row in enumerate(parsed)]
    with app.org(target.org) as session:
        document = {"columns": [*NAMES, "_dc_label"], "data": data}
        lifecycle.append_reference(session, *versions.get(session, target.version_id), json.dumps(document).encode())


@pytest.mark.parametrize(("rare", "of", "is_rare"), [(5, 100, True), (6, 100, False), (0, 100, False), (1, 101, True)])
def test_class_with_a_twentieth_of_the_labels_is_rare(
    app: App, target: Target, rare: int, of: int, is_rare: bool
) -> None:
    load_reference(app, target, rare, of)
    with app.org(target.org) as session:
        model, version = versions.get(session, target.version_id)
        assert version_views.details(session, model, version).balance_classes is is_rare


def reasons_of_results(app: App, target: Target, **asked: Any) -> set[str | None]:
    create_comparing_monitor(app, target, **asked)
    for number in range(3):
        log_day(app, target, number, count=60)
        label(app, target, number, 0, 60)
    settle(app, target)
    return {result.reason for result in stored(app, target) if result.state == "OK"}


def test_label_drift_with_a_rare_class_reports_balancing(app: App, target: Target) -> None:
    load_reference(app, target, 3)
    (reason,) = reasons_of_results(app, target, compared_with=ComparedWith.REFERENCE, check="LabelDrift")
    assert reason is not None
    assert reason.startswith("gave both classes the same weight")


def test_drift_from_an_earlier_window_is_not_balanced(app: App, target: Target) -> None:
    load_reference(app, target, 3)
    assert reasons_of_results(app, target, compared_with=ComparedWith.PREVIOUS, check="LabelDrift") == {None}

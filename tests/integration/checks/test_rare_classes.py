"""Where a class is rare in the reference, drift weighs both alike; what is labelled later changes nothing of it."""

import json
from typing import Any

import pytest

from dcmon.app import App
from dcmon.http.versions import _version
from dcmon.monitoring import lifecycle
from dcmon.storage import versions
from dcmon.windows import ComparedWith
from tests.helpers.evaluation import log_day, rows
from tests.integration.conftest import Target
from tests.integration.monitoring.test_earlier_windows import NAMES, compare, label, settle, stored


def refer(app: App, target: Target, rare: int, of: int = 100) -> None:
    """A reference of so many labelled rows, so many of them of the rare class."""
    parsed = [json.loads(row) for row in rows(-1, 0, of)]
    data = [[row[name] for name in NAMES] + [str(int(each < rare))] for each, row in enumerate(parsed)]
    with app.org(target.org) as session:
        document = {"columns": [*NAMES, "_dc_label"], "data": data}
        lifecycle.append_reference(session, *versions.get(session, target.version_id), json.dumps(document).encode())


@pytest.mark.parametrize(("rare", "of", "is_rare"), [(5, 100, True), (6, 100, False), (0, 100, False), (1, 101, True)])
def test_a_class_is_rare_at_a_twentieth_of_the_labels(
    app: App, target: Target, rare: int, of: int, is_rare: bool
) -> None:
    refer(app, target, rare, of)
    with app.org(target.org) as session:
        model, version = versions.get(session, target.version_id)
        assert _version(session, model, version)["balance_classes"] is is_rare


def reasons(app: App, target: Target, **asked: Any) -> set[str | None]:
    compare(app, target, **asked)
    for number in range(3):
        log_day(app, target, number, count=60)
        label(app, target, number, 0, 60)
    settle(app, target)
    return {result.reason for result in stored(app, target) if result.state == "OK"}


def test_drift_with_a_rare_class_says_it_balanced_the_classes(app: App, target: Target) -> None:
    """Drift from a reference with a rare class says that it gave both the same weight."""
    refer(app, target, 3)
    (reason,) = reasons(app, target, how=ComparedWith.REFERENCE, check="LabelDrift")
    assert reason is not None
    assert reason.startswith("gave both classes the same weight")


def test_drift_from_an_earlier_window_never_does(app: App, target: Target) -> None:
    refer(app, target, 3)
    assert reasons(app, target, how=ComparedWith.PREVIOUS, check="LabelDrift") == {None}

"""Evaluating a window of a version: plan, read once for all monitors on it, run the checks, store and judge.

`dcmon worker start evaluate` and `dcmon monitor run` call the same functions: dcmon.planning says what is evaluated,
dcmon.gathering reads the rows, dcmon.children run the checks, and what they answer is stored here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from dcmon import alerts, results
from dcmon.checks.catalogue import library_version
from dcmon.checks.layout import Value
from dcmon.db import Organization
from dcmon.planning import Plan
from dcmon.workload import Answer


def failed(plan: Plan, reason: str) -> list[Answer]:
    """An ERROR for each monitor of a plan: the window can't be evaluated."""
    return [Answer(monitor.id, Value("ERROR", reason=reason)) for monitor, _ in plan.monitors]


def store(
    session: Session, org: Organization, plan: Plan, answers: Sequence[Answer], public_url: str | None
) -> Mapping[str, int]:
    """Store what was found, judge the rules, move alerts, write notifications: in the session's transaction."""
    stored = notified = 0
    monitors = {monitor.id: (monitor, check) for monitor, check in plan.monitors}
    for answer in sorted(answers, key=lambda answer: answer.monitor_id):
        monitor, check = monitors[answer.monitor_id]
        earlier = plan.earlier.get(monitor.id)
        compared = None
        if earlier is not None:
            compared = (earlier.window, earlier.there, earlier.there.n_used(check.needs_labels))
        result = results.put(
            session, monitor, plan.version.id, plan.window, answer.value, plan.there, answer.n,
            plan.version.reference_revision, answer.duration, compared, _how(plan, answer),
        )  # fmt: skip
        if result is not None:
            stored += 1
            notified += alerts.judge(session, org, result, public_url)
    return {"results": stored, "notifications": notified}


def _how(plan: Plan, answer: Answer) -> dict[str, Any]:
    """How a value came about, beside what the result's own columns say."""
    is_sample = answer.limit is not None and answer.n >= answer.limit and answer.n < plan.there.n
    return {
        "rows": "sample" if is_sample else "all",
        "limit": answer.limit,
        "deepchecks": library_version(),
    }

"""Evaluating a window of a version: plan, read once for all monitors on it, run the checks, store and judge.

`dcmon worker start evaluate` and `dcmon monitor run` call the same functions: dcmon.planning says what is evaluated,
dcmon.gathering reads the rows, dcmon.children run the checks, and what they answer is stored here.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from dcmon import alerts, baselines, db, gathering, planning, results
from dcmon.checks.layout import Value
from dcmon.children import Child
from dcmon.db import Organization
from dcmon.gathering import Kept
from dcmon.planning import Plan
from dcmon.settings import Evaluate
from dcmon.tables.org import Check, Model, Monitor, Result, Version
from dcmon.telling import RECENT
from dcmon.windows import Frequency, Shape, Window, floor, step, zone
from dcmon.workload import Answer


def failed(plan: Plan, reason: str) -> list[Answer]:
    """An ERROR for each monitor of a plan: the window can't be evaluated."""
    return [Answer(monitor.id, Value("ERROR", reason=reason)) for monitor, _ in plan.monitors]


def store(
    session: Session,
    org: Organization,
    plan: Plan,
    answers: Sequence[Answer],
    public_url: str | None,
    recent: timedelta | None = RECENT,
) -> Mapping[str, int]:
    """Store what was found, judge the rules, move alerts, write notifications: in the session's transaction.

    `recent`: see dcmon.telling.Voice.
    """
    stored = notified = 0
    monitors = {monitor.id: (monitor, check) for monitor, check in plan.monitors}
    new = [
        answer.monitor_id
        for answer in answers
        if answer.is_baseline
        and baselines.put(session, monitors[answer.monitor_id][0], plan.version, answer.value, answer.n)
    ]
    for answer in sorted(answers, key=lambda answer: answer.monitor_id):
        if answer.is_baseline:
            continue
        monitor, check = monitors[answer.monitor_id]
        earlier = plan.earlier.get(monitor.id)
        compared = None
        if earlier is not None:
            compared = (earlier.window, earlier.there, earlier.there.n_used(check.needs_labels))
        result = results.put(
            session, monitor, plan.version.id, plan.window, answer.value, plan.there, answer.n,
            plan.version.reference_revision, answer.duration, compared,
        )  # fmt: skip
        if result is not None:
            stored += 1
            notified += alerts.judge(session, org, result, public_url, recent=recent)
    for rule in (rule for monitor_id in new for rule in baselines.wanted_by(session, monitor_id)):
        notified += alerts.rejudge(session, org, rule, public_url)
    return {"results": stored, "notifications": notified}


def run_monitor(
    engine: Engine,
    org: Organization,
    monitor_id: int,
    span: tuple[datetime | None, datetime | None],
    settings: Evaluate,
    public_url: str | None,
) -> list[Result]:
    """Evaluate a monitor's windows now, whether or not they are due, and store and judge what was found.

    `span`: windows that end after the first and not after the second; without both, the newest complete window of each
    version. Returns the newest result of each window, in order. Without `public_url` nobody is notified.
    """
    with db.org_session(engine, org) as session:
        wanted = _windows(session, monitor_id, span)
    kept, found = Kept(), []
    with Child(settings) as child:
        for version_id, window in wanted:
            with db.org_session(engine, org, snapshot=True) as session:
                now = datetime.now(UTC)
                plan = planning.plan(session, version_id, window, now, settings, now, only=monitor_id)
                workload, known = gathering.gather(session, org, plan, settings.sample_size, kept)
            answers = [*known, *child.run(workload)]
            with db.org_session(engine, org) as session:
                store(session, org, plan, answers, public_url, None)  # who asks for it is told of old windows too
                found.append(results.latest(session, version_id, window, [monitor_id])[monitor_id])
    return found


def _windows(
    session: Session, monitor_id: int, span: tuple[datetime | None, datetime | None]
) -> list[tuple[int, Window]]:
    monitor = session.get_one(Monitor, monitor_id)
    check = session.get_one(Check, monitor.check_id)
    model = session.get_one(Model, check.model_id)
    shape, local = Shape(Frequency(monitor.frequency), monitor.aggregation_window), zone(model.time_zone)
    after, until = span
    found = []
    for version in session.scalars(select(Version).where(Version.model_id == model.id, Version.watermark.is_not(None))):
        assert version.watermark is not None
        assert version.earliest is not None
        end = floor(min(until or version.watermark, version.watermark), shape.frequency, local)
        while end > version.earliest and (after is None or end > after):
            found.append((version.id, shape.ending(end, local)))
            if after is None:
                break
            end = step(end, shape.frequency, -1, local)
    return sorted(found, key=lambda each: (each[1].end, each[0]))

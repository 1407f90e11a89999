"""Require that a rule names a value that its monitor can have."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.alerting.rule_conditions import Quantifier, Source, Target
from dcmon.checks import catalogue, value_names
from dcmon.checks.dataset_schema import DatasetSchema
from dcmon.checks.value_names import ValueNames
from dcmon.db.tables.org import Check, Model, Monitor, Result, Version
from dcmon.nearest import meant
from dcmon.states import ResultState

RECENT_RESULTS, SHOWN_NAMES = 20, 10


def require(session: Session, monitor: Monitor, check: Check, target: Target) -> None:
    """Require that a condition looks at a value that the monitor's check can have. Raises InvalidInput.

    What a recent result has is accepted, too. Checks of users, and monitors of a model without a version, may have any
    name.
    """
    names = _known_names(session, monitor, check)
    if names is None or _has(names, target) or _is_in_results(session, monitor, target):
        return
    metrics = ", ".join(map(repr, names.metrics[:SHOWN_NAMES]))
    by_class = "".join(f", '{beginning} CLASS'" for beginning in names.metric_beginnings)
    known = (metrics + by_class).removeprefix(", ")
    if target.quantifier != Quantifier.ONE:
        raise errors.InvalidInput(
            f"Check {check.class_name} of monitor {monitor.name!r} has no value for each {target.noun}. Its metrics are"
            f" {known}: leave out '{target.quantifier} {target.noun}'."
        )
    raise errors.InvalidInput(
        f"Check {check.class_name} of monitor {monitor.name!r} has no value {target.name!r}."
        f"{meant(target.name, [*names.metrics, *(names.entries or ())])} Its metrics are {known}{_entries_text(names)}."
    )


def _entries_text(names: ValueNames) -> str:
    if not names.entries:
        return ""
    more = " …" if len(names.entries) > SHOWN_NAMES else ""
    return f", and its features {', '.join(map(repr, names.entries[:SHOWN_NAMES]))}{more}"


def _known_names(session: Session, monitor: Monitor, check: Check) -> ValueNames | None:
    try:
        kind = catalogue.for_config(check.module_name, check.class_name)
    except errors.InvalidInput:  # a user's check that is not installed here
        return None
    if kind.is_own:
        return None
    rows = session.execute(
        select(Model.task_type, Version.features, Version.classes)
        .join(Version, Version.model_id == Model.id)
        .where(Model.id == check.model_id)
    )
    schemas = [DatasetSchema(task_type, features, classes) for task_type, features, classes in rows]
    if not schemas:
        return None
    return value_names.of_check(kind, check.params, monitor.additional_kwargs or {}, schemas)


def _has(names: ValueNames, target: Target) -> bool:
    """Return True if a result may have a value that the target is about."""
    if target.name is None:
        return target.source != Source.ENTRY or names.entries is None or len(names.entries) > 0
    if names.has_metric(target.name):
        return True
    return target.source != Source.METRIC and names.has_entry(target.name)


def _is_in_results(session: Session, monitor: Monitor, target: Target) -> bool:
    """Return True if a recent result has a value that the target is about."""
    of_monitor = select(Result.metrics, Result.entries).where(
        Result.monitor_id == monitor.id, Result.state == ResultState.OK
    )
    for metrics, entries in session.execute(of_monitor.order_by(Result.window_end.desc()).limit(RECENT_RESULTS)):
        known = metrics if target.source == Source.METRIC else {**metrics, **entries}
        if entries and target.name is None:
            return True
        if target.name is not None and target.name.lower() in map(str.lower, known):
            return True
    return False

"""The checks of a model: classes of the catalogue with parameters, which its monitors run."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.checks import catalogue, no_value_reasons, parameters
from dcmon.checks.kinds import DCMON, PERFORMANCE
from dcmon.db.tables.org import Check, Model, Monitor
from dcmon.states import TaskType
from dcmon.storage import sample_tables

MAX_NAME_LENGTH = 100
CLASS_ORDER = (PERFORMANCE, "FeatureDrift", "LabelDrift", "PredictionDrift")


def create_check(
    session: Session, model: Model, name: str, module_name: str, class_name: str, params: Mapping[str, Any]
) -> Check:
    """Add a check of the catalogue to a model. Raises InvalidInput or Conflict.

    A check of dcmon's own with the same name makes room: scripts written for the SDK do not know that it is there.
    """
    kind = catalogue.for_config(module_name, class_name)
    if kind.needs_classes and model.task_type == TaskType.REGRESSION:
        raise errors.InvalidInput(no_value_reasons.no_classes(kind.class_name))
    parameters.require(kind, params)
    if not name.strip() or len(name) > MAX_NAME_LENGTH:
        raise errors.InvalidInput(f"A check's name has 1 to {MAX_NAME_LENGTH} characters.")
    lock_names(session, model)
    existing = session.scalar(select(Check).where(Check.model_id == model.id, Check.name == name))
    if existing is not None and (existing.module_name != DCMON or module_name == DCMON):
        raise errors.Conflict(f"Model {model.name!r} already has a check {name!r}.")
    if existing is not None:
        existing.name = name_beside(name)
    check = Check(
        model_id=model.id,
        name=name,
        module_name=module_name,
        class_name=class_name,
        params=dict(params),
        needs_labels=kind.needs_labels,
        needs_reference=kind.needs_reference,
    )
    session.add(check)
    session.flush()
    return check


def name_beside(name: str) -> str:
    """Return the name of a check of dcmon's own whose name another check of the model has."""
    return f"{name[: MAX_NAME_LENGTH - 8]} (dcmon)"


def lock_names(session: Session, model: Model) -> None:
    """Lock the names of the model's checks until the commit, so that names stay unique."""
    sample_tables.lock_naming(session, f"checks of {model.id}")


def get_or_create_check(
    session: Session, model: Model, name: str, params: Mapping[str, Any] | None = None, new_name: str | None = None
) -> Check:
    """Return the model's check of this name, or add the catalogue's check.

    With `params` a new check is added, which differs from the check of this name in these parameters. `new_name`: the
    name of the new check; None: the same name. Raises InvalidInput.
    """
    existing = session.scalar(select(Check).where(Check.model_id == model.id, Check.name == name))
    if existing is not None and not params:
        return existing
    new_name = new_name if params and new_name else name
    if existing is not None:
        all_params = {**existing.params, **(params or {})}
        return create_check(session, model, new_name, existing.module_name, existing.class_name, all_params)
    try:
        kind = catalogue.find(name)
    except errors.DeepchecksMissing:
        raise  # the name is known
    except errors.InvalidInput as unknown:
        known = ", ".join(repr(check.name) for check in for_model(session, model)) or "none"
        error = errors.CheckNotFound if isinstance(unknown, errors.CheckNotFound) else errors.InvalidInput
        raise error(f"{unknown} The checks of the model: {known}.") from unknown
    return create_check(session, model, new_name, kind.module_name, kind.class_name, params or {})


def for_model(session: Session, model: Model) -> list[Check]:
    """Return the checks of a model: performance first, then drift, then all others by class."""

    def sort_key(check: Check) -> tuple[int, str, int]:
        is_listed = check.class_name in CLASS_ORDER
        return (CLASS_ORDER.index(check.class_name) if is_listed else len(CLASS_ORDER), check.class_name, check.id)

    return sorted(session.scalars(select(Check).where(Check.model_id == model.id)), key=sort_key)


def get_check(session: Session, check_id: int) -> Check:
    """Return the check with that id. Raises NotFound."""
    check = session.get(Check, check_id)
    if check is None:
        raise errors.NotFound(what="check", name=check_id)
    return check


def resolve(session: Session, model: Model, identifier: str, *, is_name: bool) -> Check:
    """Return the check of a model with that id, or with that name. Raises NotFound."""
    if is_name:
        condition = Check.name == identifier
    elif identifier.isdecimal() and len(identifier) <= 9:
        condition = Check.id == int(identifier)
    else:
        raise errors.InvalidInput(f"{identifier!r} is not the id of a check. For a name, add ?identifier_kind=name.")
    check = session.scalar(select(Check).where(Check.model_id == model.id, condition))
    if check is None:
        raise errors.NotFound(what=f"check of model {model.name!r} called", name=identifier)
    return check


class ModelCheck(NamedTuple):
    """A check with its model."""

    check: Check
    model: Model


def get_with_model(session: Session, check_id: int) -> ModelCheck:
    """Return the check with that id, and its model. Raises NotFound."""
    statement = select(Check, Model).join(Model, Model.id == Check.model_id).where(Check.id == check_id)
    row = session.execute(statement).one_or_none()
    if row is None:
        raise errors.NotFound(what="check", name=check_id)
    return ModelCheck(row[0], row[1])


def with_params(session: Session, check: Check, monitor: Monitor, params: Mapping[str, Any]) -> Check:
    """Return the same check with other parameters, for one monitor.

    Other monitors keep their parameters. If a check of the model has the new parameters, it is returned. A check that
    only this monitor uses, and that has its name, is changed; otherwise a new check is added. Raises InvalidInput.
    """
    model = session.get_one(Model, check.model_id)
    parameters.require(catalogue.for_config(check.module_name, check.class_name), params)
    lock_names(session, model)
    existing = for_model(session, model)
    for candidate in existing:
        is_same_class = (candidate.module_name, candidate.class_name) == (check.module_name, check.class_name)
        if is_same_class and candidate.params == dict(params):
            return candidate
    n_other_monitors = session.scalar(
        select(func.count()).where(Monitor.check_id == check.id, Monitor.id != monitor.id)
    )
    if check.name == monitor.name and not n_other_monitors:
        check.params = dict(params)
        return check
    name = _unused_name(monitor.name, {candidate.name for candidate in existing})
    return create_check(session, model, name, check.module_name, check.class_name, params)


def set_params(session: Session, check: Check, params: Mapping[str, Any]) -> None:
    """Change the parameters of a check, for all its monitors. Raises InvalidInput."""
    parameters.require(catalogue.for_config(check.module_name, check.class_name), params)
    check.params = dict(params)
    session.flush()


def _unused_name(name: str, used: set[str]) -> str:
    unused, number = name, 1
    while unused in used:
        number += 1
        unused = f"{name[: MAX_NAME_LENGTH - 6]} {number}"
    return unused

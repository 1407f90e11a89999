"""Check what objects of a document say of one another, without a database."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from dcmon.alerting import condition_parser, rule_targets, rules
from dcmon.checks import catalogue, no_value_reasons
from dcmon.checks.kinds import CheckKind
from dcmon.db.tables.org import Check, Model, Monitor
from dcmon.declarations.declared_models import (
    CheckDeclaration,
    ModelDeclaration,
    VersionDeclaration,
    implicit_check,
    is_class,
)
from dcmon.declarations.declared_monitors import MonitorDeclaration
from dcmon.declarations.document import Document
from dcmon.declarations.values import Problem, problem
from dcmon.errors import InvalidInput
from dcmon.monitoring import monitor_validation
from dcmon.monitoring.monitor_validation import VersionColumns
from dcmon.nearest import meant
from dcmon.notifications import receivers
from dcmon.storage import models, versions
from dcmon.storage.columns import Columns
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion

Path = tuple[str | int, ...]
MAX_NAME_LENGTH = 100  # characters of the names of all objects


def problems(document: Document) -> Iterator[Problem]:
    """Yield what objects can't have together. What only the organization knows is not looked at."""
    yield from _names(document)
    yield from _rule_names(document)
    for name in document.receivers or {}:
        if len(name) <= MAX_NAME_LENGTH:
            yield from _refused(partial(receivers.require_name, name), ("receivers", name))
    for name, model in (document.models or {}).items():
        yield from _model(model, name)


def remarks(document: Document) -> Iterator[Problem]:
    """Yield names that the organization must know, because the document does not declare them."""
    known = document.models or {}
    for name, receiver in (document.receivers or {}).items():
        for number, model in enumerate(receiver.models or ()):
            if model not in known:
                yield problem(
                    f"Model {model!r} is not in these files, so the organization must have it.{meant(model, known)}",
                    "receivers", name, "models", number,
                )  # fmt: skip
    for name, declared in known.items():
        for monitor_name, monitor in (declared.monitors or {}).items():
            if declared.checks is None and not is_class(monitor.check):
                yield problem(
                    f"The check {monitor.check!r} is not in these files, so model {name!r} must have it."
                    f"{meant(monitor.check, catalogue.class_names())}",
                    "models", name, "monitors", monitor_name, "check",
                )  # fmt: skip


def _names(document: Document) -> Iterator[Problem]:
    """Yield names that are too long, and former names that are declared, too."""
    sections: list[tuple[Path, Mapping[str, object] | None]] = [
        (("models",), document.models), (("receivers",), document.receivers), (("mute_times",), document.mute_times)
    ]  # fmt: skip
    for name, model in (document.models or {}).items():
        sections += [(("models", name, key), getattr(model, key)) for key in ("versions", "checks", "monitors")]
    for path, section in sections:
        former = dict[str, str]()
        for name, declared in (section or {}).items():
            if len(name) > MAX_NAME_LENGTH:
                yield problem(
                    f"The name has {len(name)} characters; at most {MAX_NAME_LENGTH} are possible.", *path, name
                )
            old: str | None = getattr(declared, "renamed_from", None)
            if old is not None and (old in (section or {}) or old in former):
                other = former.get(old, old)
                yield problem(
                    f"{old!r} can't be its former name: {other!r} is declared here.", *path, name, "renamed_from"
                )
            former |= {} if old is None else {old: name}


def _rule_names(document: Document) -> Iterator[Problem]:
    first: dict[str, Path] = {}
    for name, model in (document.models or {}).items():
        for monitor_name, monitor in (model.monitors or {}).items():
            for number, rule in enumerate(monitor.rules or ()):
                path: Path = ("models", name, "monitors", monitor_name, "rules", number, "name")
                if rule.name is not None:
                    yield from _refused(partial(rules.require_name, rule.name), path)
                if rule.name is not None and rule.name in first:
                    other = " / ".join(map(str, first[rule.name][1:4:2]))
                    yield problem(f"Another rule has the name {rule.name!r}: it is on {other}.", *path)
                elif rule.name is not None:
                    first[rule.name] = path


def _model(model: ModelDeclaration, name: str) -> Iterator[Problem]:
    path: Path = ("models", name)
    if model.task is not None and len(name) <= MAX_NAME_LENGTH:
        yield from _refused(partial(models.require_valid, NewModel(name, model.task)), path)
        for version_name, version in (model.versions or {}).items():
            table, new = Model(name=name, task_type=model.task), new_version(version_name, version)
            yield from _refused(partial(versions.require_valid, table, new), (*path, "versions", version_name))
    for check_name, check in (model.checks or {}).items():
        kind = _kind(check)
        if kind is not None and kind.needs_classes and model.task == "regression":
            yield problem(no_value_reasons.no_classes(kind.class_name), *path, "checks", check_name, "class")
    for monitor_name, monitor in (model.monitors or {}).items():
        if len(monitor_name) <= MAX_NAME_LENGTH:  # else that is the fault
            yield from _monitor(model, monitor_name, monitor, (*path, "monitors", monitor_name))


def new_version(name: str, version: VersionDeclaration) -> NewVersion:
    """Return the version to create."""
    return NewVersion(
        name, version.features, version.additional or {}, version.feature_importance, version.classes,
        version.label_map, version.file_columns,
    )  # fmt: skip


def declared_check(model: ModelDeclaration, name: str) -> CheckDeclaration | None:
    """Return the check that a monitor names: a declared one, or a class; None if the document does not know it."""
    if model.checks is not None and name in model.checks:
        return model.checks[name]
    return implicit_check(name) if is_class(name) else None


def _kind(check: CheckDeclaration) -> CheckKind | None:
    try:
        return check.kind()
    except InvalidInput:
        return None


def _monitor(model: ModelDeclaration, name: str, monitor: MonitorDeclaration, path: Path) -> Iterator[Problem]:
    check = declared_check(model, monitor.check)
    if check is None:
        if model.checks is not None:
            known = list(model.checks)
            listed = f" The checks of the model: {', '.join(map(repr, known))}." if known else ""
            hint = meant(monitor.check, [*known, *catalogue.class_names()]) or listed
            yield problem(
                f"The model has no check {monitor.check!r}, and no class has this name.{hint}", *path, "check"
            )
        return
    kind = _kind(check)
    if kind is None:
        return
    spec, columns = monitor.spec(name, None), _columns(model)
    yield from _refused(partial(monitor_validation.require_for_versions, kind, spec, model.task, columns), path)
    stored_check = Check(
        name=monitor.check, module_name=kind.module_name, class_name=kind.class_name, params=check.parameters,
        needs_labels=kind.needs_labels, needs_reference=kind.needs_reference,
    )  # fmt: skip
    stored = Monitor(name=name, additional_kwargs=monitor.kwargs)
    for number, rule in enumerate(monitor.rules or ()):
        condition = condition_parser.parse(rule.condition)
        yield from _refused(
            partial(rule_targets.require, stored, stored_check, condition),
            (*path, "rules", number, "condition"),
        )


def _columns(model: ModelDeclaration) -> Sequence[VersionColumns]:
    """Return the versions of a model that the document declares as a whole; else none: then any column is accepted."""
    if model.task is None or model.versions is None:
        return ()
    declared = model.versions.items()
    return [
        VersionColumns(
            name, version.features, version.classes,
            Columns(model.task, version.features, version.additional or {}, version.classes).filterable,
        )
        for name, version in reversed(declared)
    ]  # fmt: skip


def _refused(check: Callable[[], None], path: Path) -> Iterator[Problem]:
    try:
        check()
    except InvalidInput as error:
        yield problem(error, *path)

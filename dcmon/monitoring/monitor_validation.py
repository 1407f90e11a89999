"""Refuse a monitor's specification if no version can be evaluated with it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.checks import catalogue, data_flow
from dcmon.checks.kinds import CheckKind
from dcmon.db.tables.org import Check, Dashboard, Model
from dcmon.monitoring.model_checks import MAX_NAME_LENGTH
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.nearest import meant
from dcmon.storage import filters, sample_tables, versions
from dcmon.storage.filters import Filters
from dcmon.windows import ComparedWith, can_compare

OPTIONS = {
    "feature": "--feature",
    "scorer": "--scorer",
    "class": "--class",
    "aggregation method": "--aggregation",
    "max features": "--max-features",
    "metric": "--metric",
}
NO_AGGREGATION = "none"  # deepchecks' name for one metric for each feature


class VersionColumns(NamedTuple):
    """What a monitor can choose of a version. `filterable`: the types of columns that filters may name."""

    name: str
    features: Mapping[str, str]
    classes: Sequence[str] | None
    filterable: Mapping[str, str]


def require_valid(session: Session, check: Check, spec: MonitorSpec) -> None:
    """Raise InvalidInput or NotFound if no version can be evaluated with a specification.

    The message suggests what to write instead. For a model without a version, filters on any column and choices of any
    feature are valid.
    """
    if spec.dashboard_id is not None and session.get(Dashboard, spec.dashboard_id) is None:
        raise errors.NotFound(what="dashboard", name=spec.dashboard_id)
    kind, model = catalogue.for_config(check.module_name, check.class_name), session.get_one(Model, check.model_id)
    newest_first = [
        VersionColumns(
            version.name, version.features, version.classes, sample_tables.columns(model, version).filterable
        )
        for version in reversed(versions.entries(session, model))
    ]
    require_for_versions(kind, spec, model.task_type, newest_first)


def require_for_versions(
    kind: CheckKind, spec: MonitorSpec, task_type: str | None, newest_first: Sequence[VersionColumns]
) -> None:
    """Raise InvalidInput if no version can be evaluated with a specification.

    `task_type`: None where it is not known; then all scorers are accepted.
    """
    _require_in_range(spec)
    kwargs = spec.additional_kwargs or {}
    filters.require(spec.data_filters, {version.name: version.filterable for version in newest_first})
    if kind.is_flow:
        _require_flow(spec.data_filters, kwargs)
    conf = {name: chosen for name, chosen in (kwargs.get("check_conf") or {}).items() if chosen}
    _require_known(kind, conf)
    if kind.reads_features and newest_first:
        _require_features(_as_list(conf.get("feature")), [version.features for version in newest_first])
    if "scorer" in kind.choices and task_type is not None:
        _require_scorers(kind, _as_list(conf.get("scorer")), task_type)
    classes = [str(name) for name in _as_list(conf.get("class"))]
    _require_classes(classes, [version.classes for version in newest_first])
    if methods := _as_list(conf.get("aggregation method")):
        _require_one_of("aggregation", methods[:1], (*kind.aggregations, NO_AGGREGATION))
    _require_max_features(_as_list(conf.get("max features")))
    _require_comparable(kind, spec)


def _require_max_features(chosen: Sequence[Any]) -> None:
    if any(isinstance(number, bool) or not isinstance(number, int) or number < 1 for number in chosen[:1]):
        raise errors.InvalidInput(f"A monitor reads at least 1 feature, not {chosen[0]!r} (--max-features).")


def _require_in_range(spec: MonitorSpec) -> None:
    if not spec.name.strip() or len(spec.name) > MAX_NAME_LENGTH:
        raise errors.InvalidInput(f"A monitor's name has 1 to {MAX_NAME_LENGTH} characters.")
    if not 1 <= spec.aggregation_window <= 1000:
        raise errors.InvalidInput(f"A window spans 1 to 1000 units, not {spec.aggregation_window}.")
    if spec.rows is not None and spec.rows < 0:
        raise errors.InvalidInput("The number of rows that a monitor reads must not be negative.")


def _require_flow(data_filters: Filters, additional_kwargs: Mapping[str, Any]) -> None:
    if (data_filters or {}).get("filters"):
        raise errors.InvalidInput("DataFlow counts all rows that arrive, so it takes no filter.")
    data_flow.require_metrics(_as_list(additional_kwargs.get("res_conf")))


def _require_known(kind: CheckKind, conf: Mapping[str, Any]) -> None:
    for name in conf:
        if name in OPTIONS and name not in kind.choices:
            options = ", ".join(OPTIONS[choice] for choice in kind.choices) or "nothing"
            raise errors.InvalidInput(
                f"{kind.class_name} has no choice of {name} ({OPTIONS[name]}). It takes {options}."
            )


def _require_features(chosen: Sequence[str], features_by_version: Sequence[Mapping[str, str]]) -> None:
    """Require that one version has all of these features."""
    if any(set(chosen) <= features.keys() for features in features_by_version):
        return
    known = sorted({name for features in features_by_version for name in features})
    _require_one_of("feature", chosen, known)
    raise errors.InvalidInput(f"No version of the model has all of these features: {', '.join(chosen)}.")


def _require_classes(chosen: Sequence[str], classes_by_version: Sequence[Sequence[str] | None]) -> None:
    """Require that one version has all of these classes.

    A version that names no classes may have any class.
    """
    named = [names for names in classes_by_version if names]
    if named and len(named) == len(classes_by_version) and not any(set(chosen) <= set(names) for names in named):
        _require_one_of("class", chosen, sorted({name for names in named for name in names}))
        raise errors.InvalidInput(f"No version of the model has all of these classes: {', '.join(chosen)}.")


def _require_scorers(kind: CheckKind, chosen: Sequence[str], task_type: str) -> None:
    is_estimate = kind == catalogue.ESTIMATED_PERFORMANCE
    known = frozenset(catalogue.estimated_scorers(task_type)) if is_estimate else catalogue.known_scorers(task_type)
    for scorer in chosen:
        name = catalogue.scorer_name(str(scorer))
        if name not in known and scorer not in known:
            raise errors.InvalidInput(
                f"There is no scorer {scorer!r} for a {task_type} model.{meant(name, known)}"
                f' "dcmon check show {kind.class_name}" lists all.'
            )


def _require_one_of(choice: str, chosen: Iterable[str], known: Sequence[str]) -> None:
    for name in chosen:
        if name not in known:
            raise errors.UnknownChoice(choice, name, known)


def _require_comparable(kind: CheckKind, spec: MonitorSpec) -> None:
    if spec.compared_with is ComparedWith.REFERENCE:
        return
    if not kind.needs_reference:
        comparing = (check.class_name for check in catalogue.KINDS if check.needs_reference and not check.is_alias)
        raise errors.InvalidInput(
            f"{kind.class_name} reads only one window, so it can't compare."
            f" Checks that compare: {', '.join(comparing)}."
        )
    if kind.uses_late_labels:
        raise errors.InvalidInput(
            f"{kind.class_name} calibrates probabilities on the reference's labels, so it can't compare with an earlier"
            " window (leave out --compare)."
        )
    if not can_compare(spec.grid, spec.compared_with):
        raise errors.InvalidInput(
            "A window that is longer than a week can't be compared with the same window a week ago."
            " Compare it with the previous window (--compare previous)."
        )


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]

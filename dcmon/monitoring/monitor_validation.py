"""What a monitor chooses of its check, and with what it compares: refused when no version of its model fits."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.checks import catalogue, data_flow
from dcmon.checks.kinds import CheckKind
from dcmon.db.tables.org import Check, Model
from dcmon.storage import filters, sample_tables, versions
from dcmon.storage.filters import Filters
from dcmon.windows import ComparedWith, WindowGrid, can_compare

OPTIONS = {
    "feature": "--feature",
    "scorer": "--scorer",
    "class": "--class",
    "aggregation method": "--aggregation",
    "metric": "--metric",
}
ALL_APART = "none"  # the library's word for a metric per feature


def require_valid(
    session: Session,
    model: Model,
    check: Check,
    shape: WindowGrid,
    data_filters: Filters,
    additional_kwargs: Mapping[str, Any] | None,
    compared_with: ComparedWith,
) -> None:
    """Refuse what no version of the model could be evaluated with. Raises InvalidInput, which says what to write.

    A model without a version yet may be given filters on any column and any feature.
    """
    kind = catalogue.entry(check.module_name, check.class_name)
    there = list(reversed(versions.entries(session, model)))
    filters.require(data_filters, {version.name: sample_tables.columns(model, version).filterable for version in there})
    if kind.is_flow:
        _require_flow(data_filters, additional_kwargs or {})
    conf = {name: chosen for name, chosen in ((additional_kwargs or {}).get("check_conf") or {}).items() if chosen}
    _require_known(kind, conf)
    if kind.reads_features and there:
        _require_features(_listed(conf.get("feature")), [version.features for version in there])
    if "scorer" in kind.choices:
        _require_scorers(_listed(conf.get("scorer")), model.task_type)
    _require_classes([str(each) for each in _listed(conf.get("class"))], [version.classes for version in there])
    if methods := _listed(conf.get("aggregation method")):
        _require_one_of("aggregation", methods[:1], (*kind.aggregations, ALL_APART))
    _require_comparable(kind, shape, compared_with)


def _require_flow(data_filters: Filters, additional_kwargs: Mapping[str, Any]) -> None:
    if (data_filters or {}).get("filters"):
        raise errors.InvalidInput("DataFlow counts every row that comes: it takes no filter.")
    data_flow.require_metrics(_listed(additional_kwargs.get("res_conf")))


def _require_known(kind: CheckKind, conf: Mapping[str, Any]) -> None:
    for name in conf:
        if name in OPTIONS and name not in kind.choices:
            may = ", ".join(OPTIONS[each] for each in kind.choices) or "nothing"
            raise errors.InvalidInput(f"{kind.class_name} has no choice of {name} ({OPTIONS[name]}): it takes {may}.")


def _require_features(wanted: Sequence[str], versions_features: Sequence[Mapping[str, str]]) -> None:
    """Each must be a feature; all of them of one version."""
    if any(set(wanted) <= features.keys() for features in versions_features):
        return
    known = sorted({name for features in versions_features for name in features})
    _require_one_of("feature", wanted, known)
    raise errors.InvalidInput(f"No version of the model has all of these features: {', '.join(wanted)}.")


def _require_classes(wanted: Sequence[str], versions_classes: Sequence[Sequence[str] | None]) -> None:
    """All of them are classes of one version; one that names no classes may have any."""
    named = [names for names in versions_classes if names]
    if named and len(named) == len(versions_classes) and not any(set(wanted) <= set(names) for names in named):
        _require_one_of("class", wanted, sorted({name for names in named for name in names}))
        raise errors.InvalidInput(f"No version of the model has all of these classes: {', '.join(wanted)}.")


def _require_scorers(wanted: Sequence[str], task_type: str) -> None:
    known = catalogue.known_scorers(task_type)
    for each in wanted:
        if catalogue.scorer_name(str(each)) not in known and each not in known:
            near = get_close_matches(catalogue.scorer_name(str(each)), known, 1)
            said = f"Do you mean {near[0]!r}? " if near else ""
            raise errors.InvalidInput(
                f"There is no scorer {each!r} for a {task_type} model. {said}"
                '"dcmon check show SingleDatasetPerformance" lists all.'
            )


def _require_one_of(what: str, wanted: Iterable[str], known: Sequence[str]) -> None:
    for each in wanted:
        if each not in known:
            near = get_close_matches(str(each), known, 1)
            there = f"Do you mean {near[0]!r}?" if near else f"There are {', '.join(known[:30])}."
            raise errors.InvalidInput(f"There is no {what} {each!r}. {there}")


def _require_comparable(kind: CheckKind, shape: WindowGrid, compared_with: ComparedWith) -> None:
    if compared_with is ComparedWith.REFERENCE:
        return
    if not kind.needs_reference:
        raise errors.InvalidInput(
            f"{kind.class_name} looks at one window alone, so there is nothing to compare. Checks that compare: "
            + ", ".join(each.class_name for each in catalogue.KINDS if each.needs_reference and not each.is_alias)
            + "."
        )
    if not can_compare(shape, compared_with):
        raise errors.InvalidInput("A window that is longer than a week has none of a week ago: compare with previous.")


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]

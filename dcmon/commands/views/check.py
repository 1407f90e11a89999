"""Checks, as rows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dcmon.checks import catalogue, data_flow, parameters
from dcmon.output import Fields, Page, Part, Table
from dcmon.states import TaskType

if TYPE_CHECKING:
    from dcmon.checks.kinds import CheckKind

GROUPS = {"data_integrity": "integrity", "train_test_validation": "validation", "model_evaluation": "evaluation"}
OPTIONS = {
    "feature": "--feature", "scorer": "--scorer", "class": "--class", "aggregation method": "--aggregation",
    "max features": "--max-features", "metric": "--metric",
}  # fmt: skip
KEYS = ("check", "group", "needs", "choices", "also_called")  # of a row in JSON
TASKS: tuple[str, ...] = (TaskType.BINARY, TaskType.MULTICLASS, TaskType.REGRESSION)


def rows() -> list[dict[str, Any]]:
    """List the checks that return numbers.

    They are those of deepchecks, those of dcmon itself, and the checks of installed packages.
    """
    from dcmon.checks import plugins

    aliases: dict[str, list[str]] = {}
    for kind in catalogue.KINDS:
        aliases.setdefault(kind.implementation, []).append(kind.class_name)
    listed = [_row(kind, aliases[kind.implementation][1:]) for kind in catalogue.KINDS if not kind.is_alias]
    listed += [_row(kind, []) for kind in catalogue.DCMON_KINDS]
    known = {kind.class_name for kind in catalogue.KINDS}
    for name, check in plugins.registered().items():
        if name not in known:
            listed.append({"check": name, "group": f"own, of {plugins.package_name(check)}"})
    return [{key: row.get(key) for key in KEYS} for row in listed]


def detail(name: str) -> Page:
    """Show a check with its parameters and its scorers. Raises InvalidInput for an unknown name."""
    kind = catalogue.find(name)
    row = {
        "check": kind.class_name,
        "group": GROUPS.get(kind.group, kind.group),
        "class": f"{kind.module_name}.{kind.class_name}" if not kind.is_own else kind.implementation,
        "needs": _needs(kind),
        "reads": sorted(kind.column_types) if kind.column_types else None,
        "choices": [OPTIONS[choice] for choice in kind.choices],
        "aggregations": [*kind.aggregations, "none"] if kind.aggregations else [],
        "metrics": list(data_flow.METRICS) if kind.is_flow else [],
        "parameters": _parameters(kind),
        "described_at": kind.docs_link,
    }
    names = catalogue.estimated_scorers if kind == catalogue.ESTIMATED_PERFORMANCE else catalogue.scorers
    scorers = {task: list(names(task)) for task in TASKS} if "scorer" in kind.choices else None
    return Page({**row, "scorers": scorers}, _parts(row, scorers))


def _parameters(kind: "CheckKind") -> Mapping[str, Any]:
    from dcmon.checks import plugins

    return plugins.parameters(kind) if kind.is_own else parameters.defaults(kind)


def _parts(row: dict[str, Any], scorers: dict[str, list[str]] | None) -> list[Part]:
    defaults = [{"parameter": key, "default": value} for key, value in row["parameters"].items()]
    parts: list[Part] = [
        Fields({key: value for key, value in row.items() if value and key != "parameters"}),
        Table(defaults, ["parameter", "default"], title="Parameters (--param)", empty="It takes no parameters."),
    ]
    if scorers:
        parts.append(Table(_scorer_rows(scorers), ["scorer", *scorers], title="Scorers (--scorer)"))
    return parts


def _scorer_rows(scorers: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Return a row for each scorer, with the tasks that it can be used for."""
    names = sorted({name for task_scorers in scorers.values() for name in task_scorers})
    return [{"scorer": name, **{task: name in scorers[task] for task in scorers}} for name in names]


def _row(kind: "CheckKind", aliases: list[str]) -> dict[str, Any]:
    return {
        "check": kind.class_name,
        "group": GROUPS.get(kind.group, kind.group),
        "needs": _needs(kind),
        "choices": [OPTIONS[choice] for choice in kind.choices],
        "also_called": aliases,
    }


def _needs(kind: "CheckKind") -> list[str]:
    needs = {"labels": kind.needs_labels, "reference": kind.needs_reference}
    return [name for name, is_needed in needs.items() if is_needed]

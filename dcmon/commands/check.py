"""Checks that monitors can watch: list, show."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.checks import data_flow
from dcmon.commands import group

if TYPE_CHECKING:
    from dcmon.checks.kinds import CheckKind

app = group(__doc__)

GROUPS = {"data_integrity": "integrity", "train_test_validation": "validation", "model_evaluation": "evaluation"}
OPTIONS = {
    "feature": "--feature", "scorer": "--scorer", "class": "--class", "aggregation method": "--aggregation",
    "metric": "--metric",
}  # fmt: skip


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List the checks of deepchecks that give numbers, and the own checks of installed packages.

    Example: dcmon check list
    """
    from dcmon.checks import catalogue, plugins

    aliases: dict[str, list[str]] = {}
    for kind in catalogue.KINDS:
        aliases.setdefault(kind.implementation, []).append(kind.class_name)
    rows = [_row(kind, aliases[kind.implementation][1:]) for kind in catalogue.KINDS if not kind.is_alias]
    rows.append(_row(catalogue.DATA_FLOW, []))
    for name, each in plugins.registered().items():
        if name not in {kind.class_name for kind in catalogue.KINDS}:
            rows.append({"check": name, "group": f"own, of {plugins.package(each)}"})
    if ctx.obj.output.is_json:
        rows = [{name: row.get(name) for name in ("check", "group", "needs", "choices", "also_called")} for row in rows]
    ctx.obj.output.table(rows, ["check", "group", "needs", "choices"], whole=["check"])


def _row(kind: "CheckKind", aliases: list[str]) -> dict[str, Any]:
    return {
        "check": kind.class_name,
        "group": GROUPS.get(kind.group, kind.group),
        "needs": _needs(kind),
        "choices": [OPTIONS[each] for each in kind.choices],
        "also_called": aliases,
    }


def _needs(kind: "CheckKind") -> list[str]:
    wanted = {"labels": kind.needs_labels, "reference": kind.needs_reference}
    return [name for name, is_needed in wanted.items() if is_needed]


@app.command()
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A check's class, or the name of an own one: dcmon check list.")],
) -> None:
    """Show what a check needs, and what can be chosen of it: scorers, aggregations, parameters with their defaults.

    Example: dcmon check show SingleDatasetPerformance
    """
    from dcmon.checks import catalogue

    kind = catalogue.named(name)
    about: dict[str, Any] = {
        "check": kind.class_name,
        "group": GROUPS.get(kind.group, kind.group),
        "class": f"{kind.module_name}.{kind.class_name}" if not kind.is_own else kind.implementation,
        "needs": _needs(kind),
        "reads": sorted(kind.column_types) if kind.column_types else None,
        "choices": [OPTIONS[each] for each in kind.choices],
        "aggregations": [*kind.aggregations, "none"] if kind.aggregations else [],
        "metrics": list(data_flow.METRICS) if kind.is_flow else [],
        "parameters": {} if kind.is_flow else _parameters(kind),
        "described_at": kind.docs_link,
    }
    scorers = {task: list(catalogue.scorers(task)) for task in ("binary", "multiclass", "regression")}
    if ctx.obj.output.is_json:
        ctx.obj.output.value({**about, "scorers": scorers if "scorer" in kind.choices else None})
        return
    ctx.obj.output.value({key: value for key, value in about.items() if value and key != "parameters"})
    rows = [{"parameter": key, "default": value} for key, value in about["parameters"].items()]
    ctx.obj.output.table(rows, ["parameter", "default"], title="Parameters (--param)", empty="It takes no parameters.")
    if "scorer" in kind.choices:
        _show_scorers(ctx, scorers)


def _show_scorers(ctx: typer.Context, scorers: dict[str, list[str]]) -> None:
    """One a row, and for which models: too many for a line."""
    names = sorted({name for each in scorers.values() for name in each})
    rows = [{"scorer": name, **{task: name in each for task, each in scorers.items()}} for name in names]
    ctx.obj.output.table(rows, ["scorer", *scorers], title="Scorers (--scorer)")


def _parameters(kind: "CheckKind") -> dict[str, Any]:
    from dcmon.checks import introspection

    return introspection.parameters(kind)

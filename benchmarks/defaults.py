"""Measure what the default monitors and rules find, and how often they are wrong.

python -m benchmarks.defaults faults [--features 8 30 100] [--rows 300 1000 5000] [--task regression]
python -m benchmarks.defaults healthy [--features 8 30] [--rows 300 1000] [--hourly --days 30]

faults: after twenty healthy windows a fault begins, and stays for two. Counted are the models that alert within two
windows, and name the feature. healthy: years without a fault, in several worlds; counted are the alerts a year of all
default rules of a model together. Only the checks and the rules run, without a database: benchmarks.system_defaults
measures the whole system.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from benchmarks.default_faults import FAULTS, Fault, named
from benchmarks.default_worlds import CLASSES, WORLDS, Model, Table, World
from benchmarks.measurement import print_progress
from dcmon.alerting.condition_parser import parse
from dcmon.alerting.rule_conditions import Condition
from dcmon.alerting.state_machine import Policy, ViolationSpan, find_spans
from dcmon.checks import defaults, own_defaults
from dcmon.checks.check_run import CheckSetup
from dcmon.checks.dataset_schema import CheckValue
from dcmon.checks.kinds import CheckKind
from dcmon.checks.runner import run
from dcmon.monitoring.default_monitors import with_own_settings
from dcmon.states import ResultState
from dcmon.statistics.columns import Rows
from dcmon.windows import Frequency
from tests.helpers.observed_window import ObservedWindow

START, YEAR, SEED = datetime(2026, 1, 5, tzinfo=UTC), 365, 2026
HEALTHY_WINDOWS, FAULTY_WINDOWS = 20, 2


@dataclass(frozen=True)
class Judged:
    """A default rule on a check, with the results of its monitor so far."""

    name: str
    is_own: bool
    kind: CheckKind
    params: Mapping[str, object]
    additional_kwargs: Mapping[str, object]
    policy: Policy
    is_on_rows: bool = False


def default_rules(frequency: Frequency = Frequency.DAY, task: str = "binary") -> list[Judged]:
    """Return the default rules of a model: those of the SDK, and dcmon's own, without the quarantine's."""
    rules = [
        Judged(
            default.name, False, default.kind, default.params, default.monitor.additional_kwargs or {},
            Policy(
                with_own_settings(Condition(default.rule.operator, default.rule.threshold), frequency),
                default.rule.severity, min_n=own_defaults.MIN_N, keep_firing=own_defaults.keep_firing(frequency),
            ),
        )
        for default in defaults.for_task(task, frequency)
        if default.monitor is not None and default.rule is not None
    ]  # fmt: skip
    for default in own_defaults.for_frequency(frequency):
        for monitor in default.monitors:
            for rule in monitor.rules:
                policy = Policy(
                    parse(rule.condition), rule.severity, for_windows=rule.for_windows, min_n=rule.min_n,
                    keep_firing=own_defaults.keep_firing(frequency) if rule.keep_firing is None else rule.keep_firing,
                )  # fmt: skip
                conf = monitor.additional_kwargs or {}
                judged = Judged(monitor.name, True, default.kind, {}, conf, policy, default.kind.is_flow)
                if "quarantine" not in rule.condition:
                    rules.append(judged)
    return rules


def spans(
    model: Model, rules: Iterable[Judged], reference: Rows, windows: Iterable[Rows], step: timedelta
) -> Iterator[tuple[Judged, list[ViolationSpan]]]:
    """Evaluate all windows, and yield each rule with its alerts."""
    rules, series = list(rules), dict[tuple[str, str], list[ObservedWindow]]()
    for number, rows in enumerate(windows):
        start = START + number * step
        for key, rule in {(rule.name, rule.kind.class_name): rule for rule in rules}.items():
            value = _value(model, rule, rows, reference)
            n = rows.n_labelled if rule.kind.needs_labels else rows.n
            series.setdefault(key, []).append(
                ObservedWindow(start, start + step, value.state, value.metrics, value.entries, n)
            )
    for rule in rules:
        yield rule, find_spans(series[rule.name, rule.kind.class_name], rule.policy)


def _value(model: Model, rule: Judged, rows: Rows, reference: Rows) -> CheckValue:
    if rule.is_on_rows:
        return CheckValue(ResultState.OK, {"rows": float(rows.n)})
    setup = CheckSetup(rule.kind, rule.params, rule.additional_kwargs, model.schema)
    return run(setup, rows, reference if rule.kind.needs_reference else None)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose models, worlds and faults."""
    parser.add_argument("--features", type=int, nargs="+", default=[8, 30, 100])
    parser.add_argument("--rows", type=int, nargs="+", default=[300, 1000, 5000], help="rows a window")
    parser.add_argument("--reference", type=int, nargs="+", default=[1000, 5000], help="rows of the reference")
    parser.add_argument("--task", choices=list(CLASSES), default="binary")
    parser.add_argument("--hourly", action="store_true", help="windows of an hour instead of a day")
    parser.add_argument("--days", type=int, default=YEAR)
    parser.add_argument("--importance", action="store_true", help="give each feature the same importance")
    parser.add_argument("--worlds", nargs="+", default=[], choices=[world.name for world in WORLDS])
    parser.add_argument("--faults", nargs="+", default=[], choices=[fault.name for fault in FAULTS])


@dataclass(frozen=True)
class Size:
    """How many features, rows of the reference, and rows of a window a model has."""

    features: int
    reference: int
    rows: int


def sizes(arguments: argparse.Namespace) -> Iterator[Size]:
    """Yield the chosen sizes, and show each as progress."""
    for n_features in arguments.features:
        for n_reference in arguments.reference:
            for n in arguments.rows:
                print_progress(f"{n_features} features, {n_reference} rows of reference, {n} rows a window")
                yield Size(n_features, n_reference, n)


def main() -> None:
    """Print the figures as JSON lines."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defaults", description=__doc__)
    parser.add_argument("what", choices=["faults", "healthy"])
    parser.add_argument("--models", type=int, default=1)
    add_arguments(parser)
    arguments = parser.parse_args()
    for size in sizes(arguments):
        if arguments.what == "faults":
            for world in chosen_worlds(arguments, WORLDS[:1]):
                _measure_faults(arguments, world, size)
        else:
            for world in chosen_worlds(arguments, WORLDS):
                _measure_healthy(arguments, world, size)


def chosen_worlds(arguments: argparse.Namespace, default: Iterable[World]) -> list[World]:
    """Return the worlds that are named, or the default ones."""
    return [world for world in WORLDS if world.name in arguments.worlds] or list(default)


def frequency(arguments: argparse.Namespace) -> Frequency:
    """Return the chosen frequency."""
    return Frequency.HOUR if arguments.hourly else Frequency.DAY


def _measure_faults(arguments: argparse.Namespace, world: World, size: Size) -> None:
    faults = named(arguments.faults, arguments.task)
    found, false_alerts = {fault.name: 0 for fault in faults}, 0
    rules = [rule for rule in default_rules(frequency(arguments), arguments.task) if rule.is_own]
    step = timedelta(hours=1) if arguments.hourly else timedelta(days=1)
    for number in range(arguments.models):
        model, table = new_model(world, arguments, size, number)
        reference = reference_rows(model, table, size)
        healthy = [model.rows(draw_window(model, arguments, size.rows, number)) for number in range(HEALTHY_WINDOWS)]
        since = START + HEALTHY_WINDOWS * step
        for fault in faults:
            broken = [
                model.rows(
                    broken_table(model, fault, draw_window(model, arguments, size.rows, HEALTHY_WINDOWS + number))
                )
                for number in range(FAULTY_WINDOWS)
            ]
            alerts = [
                span
                for _, found_spans in spans(model, rules, reference, [*healthy, *broken], step)
                for span in found_spans
            ]
            found[fault.name] += any(
                span.fired is not None and span.first.window_start >= since and span.metric in fault.names
                for span in alerts
            )
            false_alerts += sum(span.first.window_start < since for span in alerts)
    figure = {
        "figure": "faults found within two windows and named", **labels(arguments, world, size),
        "models": arguments.models, "importance": arguments.importance,
        "found": {name: round(count / arguments.models, 2) for name, count in found.items()},
        "false_alerts": false_alerts,
    }  # fmt: skip
    print(json.dumps(figure), flush=True)


def labels(arguments: argparse.Namespace, world: World, size: Size) -> dict[str, object]:
    return {
        "world": world.name, "task": arguments.task, "window": frequency(arguments).value, "features": size.features,
        "reference": size.reference, "rows": size.rows,
    }  # fmt: skip


def new_model(world: World, arguments: argparse.Namespace, size: Size, number: int = 0) -> tuple[Model, Table]:
    """Return a model, and its reference."""
    generator = np.random.default_rng([SEED, size.features, size.reference, number])
    model = Model(world, size.features, generator, arguments.task, importance=arguments.importance)
    return model, model.draw_reference(size.reference)


def reference_rows(model: Model, table: Table, size: Size) -> Rows:
    """Return a reference as columns. Ordered days are a sample of days that have as many rows as a window."""
    rows, n_days = model.rows(table), model.world.reference_days
    return replace(rows, n_selected_from=n_days * size.rows) if n_days else rows


def draw_window(model: Model, arguments: argparse.Namespace, n: int, number: int) -> Table:
    """Draw the rows of a window: a day, or an hour."""
    return model.draw(n, number // 24, number % 24) if arguments.hourly else model.draw(n, number)


def broken_table(model: Model, fault: Fault, table: Table) -> Table:
    """Return a table with a fault."""
    fault.break_rows(table, model.generator)
    return table


def _measure_healthy(arguments: argparse.Namespace, world: World, size: Size) -> None:
    counts = Counter[str]()
    n_windows = arguments.days * (24 if arguments.hourly else 1)
    step = timedelta(hours=1) if arguments.hourly else timedelta(days=1)
    for number in range(arguments.models):
        model, reference = new_model(world, arguments, size, number)
        windows = (
            model.rows(draw_window(model, arguments, rows_of(model, arguments, size.rows, number), number))
            for number in range(n_windows)
        )
        rules = default_rules(frequency(arguments), arguments.task)
        for rule, alerts in spans(model, rules, reference_rows(model, reference, size), windows, step):
            n_fired = sum(span.fired is not None for span in alerts)
            counts[f"{rule.name}{'' if rule.is_own else ' (SDK)'}"] += n_fired
    own = sum(count for name, count in counts.items() if not name.endswith("(SDK)"))
    figure = {
        "figure": f"alerts a model in {arguments.days} days", **labels(arguments, world, size),
        "value": round(counts.total() / arguments.models, 1), "own": round(own / arguments.models, 1),
        "by_rule": {name: round(count / arguments.models, 1) for name, count in counts.items() if count},
    }  # fmt: skip
    print(json.dumps(figure), flush=True)


def rows_of(model: Model, arguments: argparse.Namespace, n: int, number: int) -> int:
    """Return how many rows a window has: with noise, and fewer at weekends."""
    day = number // 24 if arguments.hourly else number
    expected = n * (model.world.weekend_rows if day % 7 >= 5 else 1.0)
    return max(1, int(model.generator.poisson(expected * model.generator.lognormal(0, 0.1))))


if __name__ == "__main__":
    main()

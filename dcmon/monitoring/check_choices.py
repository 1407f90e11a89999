"""What can be chosen of a check: scorers, aggregations, features and classes. Each name is accepted as listed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from dcmon.checks import catalogue, data_flow
from dcmon.checks.kinds import CheckKind
from dcmon.db.tables.org import Check, Model, Version
from dcmon.states import TaskType
from dcmon.statistics.scorer_names import LIBRARY_PREFIX
from dcmon.storage import sampling, versions
from dcmon.storage.columns import PREDICTION
from dcmon.storage.sampling import RowSelection
from dcmon.windows import Window

MAX_FEATURES = 1_000
MAX_READ = 1_000  # rows in which the classes of a version that names none are looked for
REGRESSION_SCORERS = ("RMSE", "MSE", "MAE", "R2")
PER_CLASS = "per_class"


@dataclass(frozen=True)
class Option:
    """A name that can be chosen. `is_aggregate`: False for a number of each class; None where it has no meaning."""

    name: str
    is_aggregate: bool | None = None


@dataclass(frozen=True)
class Choice:
    """A key of check_conf, or res_conf, with its names.

    `options`: None if they are not known yet. `is_for_aggregates`: False if the choice has a meaning only beside a
    chosen name that is no aggregate.
    """

    kind: str
    options: Sequence[Option] | None
    is_for_aggregates: bool | None = None


@dataclass(frozen=True)
class CheckChoices:
    """What check_conf and res_conf of a check can have; None if nothing can be chosen."""

    check_conf: Sequence[Choice] | None
    res_conf: Choice | None


def of_check(session: Session, check: Check) -> CheckChoices:
    """Return what can be chosen of a check. Raises InvalidInput if its package is not installed here."""
    kind, model = catalogue.for_config(check.module_name, check.class_name), session.get_one(Model, check.model_id)
    if kind.is_flow:
        return CheckChoices(None, Choice("metric", [Option(name) for name in data_flow.METRICS]))
    newest_first = versions.entries(session, model)
    if "scorer" in kind.choices:
        classes = None if model.task_type == TaskType.REGRESSION else _classes(session, model, newest_first)
        return CheckChoices([Choice("scorer", _scorers(kind, model.task_type))], classes)
    if not kind.reads_features:
        return CheckChoices(None, None)
    methods = [Choice("aggregation method", [Option(name, True) for name in kind.aggregations])]
    features = Choice("feature", _features(newest_first), is_for_aggregates=False)
    return CheckChoices([*(methods if kind.aggregations else []), features], None)


def _scorers(kind: CheckKind, task_type: str) -> list[Option]:
    if kind == catalogue.ESTIMATED_PERFORMANCE:
        names: Sequence[str] = catalogue.estimated_scorers(task_type)
    elif task_type == TaskType.REGRESSION:
        return [Option(name, True) for name in REGRESSION_SCORERS]
    else:
        names = [name for name in catalogue.scorers(task_type) if not name.startswith(LIBRARY_PREFIX)]
    return [Option(name.replace("_", " ").title(), not name.endswith(PER_CLASS)) for name in names]


def _features(newest_first: Sequence[Version]) -> list[Option]:
    """Return the features of all versions: those of the newest first, the most important first."""
    names = dict[str, None]()
    for version in newest_first:
        importance = version.feature_importance or {}
        names |= dict.fromkeys(sorted(version.features, key=lambda name: (-importance.get(name, 0.0), name)))
    return [Option(name) for name in list(names)[:MAX_FEATURES]]


def _classes(session: Session, model: Model, newest_first: Sequence[Version]) -> Choice:
    """Return the classes of all versions: those that it names, otherwise those of some of its predictions."""
    names = set[str]()
    for version in newest_first:
        names.update(version.classes or _predicted(session, model, version))
    options = [Option(name) for name in sorted(names)] if newest_first else None
    return Choice("class", options, is_for_aggregates=False)


def _predicted(session: Session, model: Model, version: Version) -> set[str]:
    if version.earliest is None or version.watermark is None:
        return set()
    window = Window(version.earliest, version.watermark + timedelta(microseconds=1))
    statistics = sampling.window_statistics(session, version.id, window.start, window.end)
    sample = sampling.sample_rows(session, window, RowSelection(model, version, MAX_READ), statistics)
    position = sample.names.index(PREDICTION)
    return {str(row[position]) for row in sample.rows if row[position] is not None}

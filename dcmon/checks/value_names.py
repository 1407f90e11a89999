"""The names of the metrics and entries that a monitor's check can have. It loads nothing heavy: commands import it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dcmon.checks.dataset_schema import DatasetSchema, chosen_features
from dcmon.checks.kinds import MEAN_DRIFT, PERFORMANCE, CheckKind
from dcmon.statistics.scorer_names import DEFAULT_SCORERS

PER_CLASS = "_per_class"
# What the aggregate of the features is called after the method, and the method by default (checks.runner).
_AGGREGATES: Mapping[str, tuple[str, str]] = {
    "FeatureDrift": ("l3_weighted", "Drift Score"),
    "PercentOfNulls": ("max", "Null Ratio"),
    "NewCategoryTrainTest": ("max", "New Categories Ratio"),
    "MixedNulls": ("max", "Percent Mixed Nulls"),
    "StringMismatch": ("max", "Percent Mismatched Strings"),
}
_METRICS: Mapping[str, tuple[str, ...]] = {
    "LabelDrift": ("Label Drift Score",),
    "NewLabelTrainTest": ("Samples with New Labels",),
    "DriftBeyondNoise": ("Max Drift", MEAN_DRIFT),
    "NullRise": ("Max Null Rise",),
    "RepeatedValueRise": ("Max Repeated Value Rise",),
    "NewValueRise": ("Max New Value Rise",),
    "PredictionDriftBeyondNoise": ("Max Prediction Drift",),
    "ScoreFall": ("Max Score Fall",),
}
_PREDICTION_DRIFT = ("Prediction Drift Score", "Max Drift Score", "Mean Drift Score", "Weighted Drift Score")
_WITHOUT_ENTRIES = ("LabelDrift", PERFORMANCE)


@dataclass(frozen=True)
class ValueNames:
    """The names of the values of a check.

    `metrics`: their names. `metric_beginnings`: what others begin with, before the name of a class. `entries`: their
    names; None if they depend on the rows, as new labels do.
    """

    metrics: Sequence[str]
    metric_beginnings: Sequence[str] = ()
    entries: Sequence[str] | None = None

    def has_metric(self, name: str) -> bool:
        """Return True if a metric may have this name, in any case."""
        wanted = name.lower()
        begins = tuple(f"{beginning.lower()} " for beginning in self.metric_beginnings)
        return wanted in map(str.lower, self.metrics) or wanted.startswith(begins)

    def has_entry(self, name: str) -> bool:
        """Return True if an entry may have this name, in any case."""
        return self.entries is None or name.lower() in map(str.lower, self.entries)


def of_check(
    kind: CheckKind, params: Mapping[str, Any], monitor_choices: Mapping[str, Any], schemas: Collection[DatasetSchema]
) -> ValueNames | None:
    """Return the names of the values of a check of the catalogue that reads rows; None for other checks.

    `monitor_choices`: the monitor's additional_kwargs. `schemas`: of the versions of the model, at least one.
    """
    conf, chosen = monitor_choices.get("check_conf") or {}, monitor_choices.get("res_conf")
    known = _all_names(kind, params, conf, schemas)
    if known is None or not chosen:
        return known
    last = [*known.metrics, *known.metric_beginnings]
    selected = [name for name in known.metrics if name in chosen or name.split(" ")[-1] in chosen]
    beginnings = known.metric_beginnings if not selected or set(chosen) - set(last) else ()
    return ValueNames(selected, beginnings, known.entries)


def _all_names(
    kind: CheckKind, params: Mapping[str, Any], conf: Mapping[str, Any], schemas: Collection[DatasetSchema]
) -> ValueNames | None:
    name = kind.implementation
    if name == PERFORMANCE:
        return _scores(conf.get("scorer") or params.get("scorers"), schemas)
    if name == "PredictionDrift":
        return ValueNames(_PREDICTION_DRIFT, ("Drift Score class",))
    features = _unique(feature for schema in schemas for feature in _read_features(kind, params, conf, schema))
    if name in _AGGREGATES:
        default, title = _AGGREGATES[name]
        method = (_listed(conf.get("aggregation method")) or [params.get("aggregation_method", default)])[0]
        is_plain = method is None or method == "none"
        metrics = features if is_plain else [f"{str(method).replace('_', ' ').title()} {title}"]
        return ValueNames(metrics, entries=features)
    if name not in _METRICS:
        return None
    entries = () if name in _WITHOUT_ENTRIES else features if kind.reads_features else None
    return ValueNames(_METRICS[name], entries=entries)


def _scores(chosen: Any, schemas: Collection[DatasetSchema]) -> ValueNames:
    """Return the names of scores; those of scorers by class begin with the scorer's name."""
    scorers = chosen or DEFAULT_SCORERS[next(iter(schemas)).task_type]
    by_name = scorers if isinstance(scorers, Mapping) else {str(scorer): str(scorer) for scorer in _listed(scorers)}
    per_class = [
        str(name).removesuffix(PER_CLASS)
        for name, scorer in by_name.items()
        if str(scorer).lower().replace(" ", "_").endswith(PER_CLASS)
    ]
    metrics = [str(name) for name in by_name if str(name).removesuffix(PER_CLASS) not in per_class]
    return ValueNames(metrics, per_class, ())


def _read_features(
    kind: CheckKind, params: Mapping[str, Any], conf: Mapping[str, Any], schema: DatasetSchema
) -> list[str]:
    if not kind.reads_features:
        return []
    chosen = _listed(conf.get("feature")) or _listed(params.get("columns")) or chosen_features(schema)
    types = kind.column_types
    return [name for name in chosen if types is None or schema.features.get(name) in types]


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))

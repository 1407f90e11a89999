"""Random rows and random parameters for the checks of the catalogue, the same for the same seed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from dcmon.checks.catalogue import KINDS, CheckKind
from dcmon.checks.dataset_schema import DatasetSchema
from dcmon.checks.kinds import FEATURE_AGGREGATIONS, PERFORMANCE
from dcmon.statistics.scorer_names import known_scorers, scorers
from tests.helpers.check_inputs import WORLDS
from tests.helpers.deepchecks_library import LABEL, PREDICTION, PROBABILITIES, Case, World

SIZES = ((11, 2000), (300, 1000), (1000, 300), (40, 60), (5, 300), (300, 9), (1, 40), (2, 2), (120, 120), (900, 900))
LARGE_SIZES = (*SIZES, (2500, 2500), (2500, 15))
TASK_TYPES = ("binary", "multiclass", "regression")
CLASS_NAMES = ("a", "b", "c", "d", "e")


@dataclass(frozen=True)
class RandomCase:
    """A check with parameters, on random rows. `is_balanced`: True if the version gives all classes the same weight."""

    seed: str
    world: World
    case: Case
    is_balanced: bool = False

    @property
    def schema(self) -> DatasetSchema:
        """The columns of the version."""
        world = self.world
        return DatasetSchema(world.task_type, world.columns, world.classes, world.importance, self.is_balanced)


def random_cases(seed: int, per_world: int, sizes: Sequence[tuple[int, int]] = SIZES) -> Iterator[RandomCase]:
    """Yield random checks on the random rows of a seed, for each task type."""
    for task_type in TASK_TYPES:
        random = np.random.default_rng((seed, TASK_TYPES.index(task_type)))
        world = random_world(random, task_type, sizes[seed % len(sizes)])
        yield from _cases_of_world(random, f"seed {seed}, {task_type}", world, per_world)


def odd_cases(seed: int, per_world: int) -> Iterator[RandomCase]:
    """Yield random checks on the unusual rows of tests.helpers.check_inputs."""
    for number, ((task_type, name), world) in enumerate(WORLDS.items()):
        random = np.random.default_rng((seed, number))
        yield from _cases_of_world(random, f"seed {seed}, {task_type}, {name}", world, per_world)


def _cases_of_world(random: np.random.Generator, seed: str, world: World, count: int) -> Iterator[RandomCase]:
    for number in range(count):
        case = random_case(random, world, number)
        yield RandomCase(f"{seed}, case {number}", world, case, is_balanced=bool(random.random() < 0.15))


# --- Rows ---------------------------------------------------------------------------------------------------------


def random_world(random: np.random.Generator, task_type: str, size: tuple[int, int]) -> World:
    """Return rows of random columns, as many in the window and in the reference as `size` says."""
    columns = _random_columns(random)
    classes = None if task_type == "regression" else list(CLASS_NAMES[: _n_classes(random, task_type)])
    draws = {name: _column_of(random, kind) for name, kind in columns.items()}
    output = _regression_output(random) if classes is None else _class_output(random, classes)
    frames = []
    for n in size:
        frame = pd.DataFrame({name: _with_nulls(random, draw(random, n)) for name, draw in draws.items()}, dtype=object)
        frames.append(frame.assign(**{name: _objects(values) for name, values in output(random, n).items()}))
    if classes is not None and random.random() < 0.15:
        classes = None  # a version without named classes has no probabilities
        frames = [frame.assign(**{PROBABILITIES: None}) for frame in frames]
    return World(task_type, columns, classes, _importance(random, columns), *frames)


def _n_classes(random: np.random.Generator, task_type: str) -> int:
    return 2 if task_type == "binary" else int(random.choice([2, 3, 3, 3, 4, 5]))


def _random_columns(random: np.random.Generator) -> dict[str, str]:
    kinds = ["numeric", "numeric", "integer", "bigint", "categorical", "categorical", "boolean", "text", "datetime"]
    chosen = random.choice([*kinds, "array_float"], random.integers(1, 7))
    if random.random() < 0.9:
        chosen = np.append(chosen, ["numeric", "categorical"])
    return {f"{kind} {number}": str(kind) for number, kind in enumerate(chosen)}


def _importance(random: np.random.Generator, columns: Mapping[str, str]) -> dict[str, float] | None:
    form = random.choice(["none", "normalized", "any sum", "almost 1", "some zero", "zero", "incomplete"])
    if form == "none":
        return None
    weights = random.random(len(columns)) * 5
    if form in ("normalized", "almost 1"):
        weights = weights / weights.sum() * (1 if form == "normalized" else 1.0007)
    if form == "some zero":
        weights[random.random(len(weights)) < 0.5] = 0
    if form == "zero":
        weights[:] = 0
    importance = dict(zip(columns, weights.tolist(), strict=True))
    if form == "incomplete":
        del importance[next(iter(columns))]
    return importance


_Draw = Callable[[np.random.Generator, int], Any]


def _column_of(random: np.random.Generator, kind: str) -> _Draw:
    """Return a function that draws values of one distribution, which moves a little between two draws."""
    if kind == "numeric":
        return _NUMBERS[random.choice(list(_NUMBERS))]
    if kind == "integer":
        return lambda random, n: random.integers(0, random.choice([1, 5, 2**31 - 1]), n).tolist()
    if kind == "bigint":
        start = int(random.choice([0, 2**53, 2**60]))
        return lambda random, n: [start + int(value) for value in random.integers(0, 300, n)]
    if kind == "boolean":
        share = random.choice([0, 0.02, 0.5, 1])
        return lambda random, n: (random.random(n) < share).tolist()
    if kind == "datetime":
        return lambda random, n: [
            datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=int(second)) for second in random.integers(0, 9**6, n)
        ]
    if kind == "array_float":
        return lambda random, n: [vector.tolist() for vector in random.normal(size=(n, 2))]
    return _texts_of(random)


_NUMBERS: Mapping[str, _Draw] = {
    "normal": lambda random, n: random.normal(random.choice([0, 0.1, 1]), 1, n),
    "small integers": lambda random, n: random.integers(0, 5, n).astype(float),
    "rounded": lambda random, n: np.round(random.exponential(size=n), 1),
    "mostly zero": lambda random, n: np.where(random.random(n) < 0.8, 0.0, random.normal(size=n)),
    "constant": lambda random, n: np.full(n, 3.0),
    "heavy tails": lambda random, n: random.lognormal(0, 4, n) * random.choice([-1, 1], n),
    "huge": lambda random, n: random.normal(size=n) * 1e307,
    "tiny": lambda random, n: random.normal(size=n) * 1e-300,
}
_WORDS = (
    *("", " ", "null", "NULL", "Null", "N/A", "n/a", "na", "None", "nan", "NaN", "-", "?", "_", "Zürich 🏔", "Ωmega"),
    *("ωmega", "1", "01", "1.0", " 1", "1e5", "1e400", "9" * 30, "inf", "true", "True", "Ok", "O.K.", "ok", "ß", "SS"),
    *("İ", "i̇", "１", "٣", "\n", "a b", "A-B", "Other rare categories", "é", "e\u0301"),
)


def _texts_of(random: np.random.Generator) -> _Draw:
    count = int(random.choice([1, 2, 3, 8, 40]))
    form = random.choice(["names", "names", "words", "numbers"])
    if form == "words":
        names = random.choice(_WORDS, min(count, len(_WORDS)), replace=False).tolist()
    else:
        names = [str(number) if form == "numbers" else f"c{number}" for number in range(count)]
    concentration = random.choice([0.1, 1, 10])

    def draw(random: np.random.Generator, n: int) -> Any:
        return random.choice(np.array(names, dtype=object), n, p=random.dirichlet(np.ones(len(names)) * concentration))

    return draw


def _with_nulls(random: np.random.Generator, values: Any) -> "pd.Series[Any]":
    share = random.choice([0, 0, 0, 0.05, 0.5, 1], p=[0.3, 0.2, 0.1, 0.2, 0.12, 0.08])
    objects = _objects(values)
    return objects.where(random.random(len(objects)) >= share, None)


def _objects(values: Any) -> "pd.Series[Any]":
    return pd.Series(list(values), dtype=object)


def _regression_output(random: np.random.Generator) -> Callable[[np.random.Generator, int], dict[str, Any]]:
    form = random.choice(["positive", "normal", "huge", "constant", "exact"], p=[0.5, 0.25, 0.05, 0.1, 0.1])
    missing = random.choice(["none", "labels", "predictions", "both", "all labels"], p=[0.5, 0.15, 0.15, 0.15, 0.05])

    def draw(random: np.random.Generator, n: int) -> dict[str, Any]:
        labels = (
            random.gamma(2, 3, n) if form == "positive" else random.normal(0, 1, n) * (1e200 if form == "huge" else 1)
        )
        labels = np.full(n, 4.0) if form == "constant" else labels
        predictions = labels if form == "exact" else np.abs(labels + random.normal(size=n) / 2) + 0.01
        outputs = {LABEL: _objects(labels), PREDICTION: _objects(predictions)}
        if missing in ("labels", "both"):
            outputs[LABEL] = outputs[LABEL].where(random.random(n) < 0.7, None)
        if missing in ("predictions", "both"):
            outputs[PREDICTION] = outputs[PREDICTION].where(random.random(n) < 0.7, None)
        if missing == "all labels":
            outputs[LABEL] = _objects([None] * n)
        return outputs

    return draw


def _class_output(
    random: np.random.Generator, classes: Sequence[str]
) -> Callable[[np.random.Generator, int], dict[str, Any]]:
    """Return a function that draws labels, predictions and probabilities of classes."""
    labels_of = random.choice(["all", "few", "one", "without one", "unknown"], p=[0.45, 0.15, 0.1, 0.15, 0.15])
    predictions_of = random.choice(["probable", "any", "one", "unknown", "none"], p=[0.55, 0.2, 0.08, 0.07, 0.1])
    probabilities_of = random.choice(["all", "some", "lengths", "rounded", "none"], p=[0.5, 0.15, 0.05, 0.15, 0.15])
    missing = random.choice([0, 0.2, 1], p=[0.65, 0.32, 0.03])
    names = np.array(classes, dtype=object)

    def draw(random: np.random.Generator, n: int) -> dict[str, Any]:
        probabilities = random.dirichlet(np.linspace(2, 0.5, len(names)), n)
        probable = names[probabilities.argmax(axis=1)]
        labels = np.where(random.random(n) < 0.6, probable, random.choice(names, n))
        labels = _some_of(random, labels_of, labels, names)
        predictions = probable if predictions_of in ("probable", "none") else random.choice(names, n)
        predictions = _some_of(random, predictions_of, predictions, names)
        if probabilities_of == "rounded":
            probabilities = np.round(probabilities, 1)
        vectors = _objects(probabilities.tolist())
        outputs = {
            LABEL: _objects(labels).where(random.random(n) >= missing, None),
            PREDICTION: _objects(predictions).where(
                (predictions_of != "none") & (random.random(n) >= missing / 4), None
            ),
            PROBABILITIES: vectors.where((probabilities_of != "none") & (random.random(n) >= 0), None),
        }
        if probabilities_of == "some":
            outputs[PROBABILITIES] = vectors.where(random.random(n) < 0.7, None)
        if probabilities_of == "lengths":
            outputs[PROBABILITIES] = _objects(row if random.random() < 0.8 else [*row, 0.5] for row in vectors)
        return outputs

    return draw


def _some_of(random: np.random.Generator, form: str, values: Any, names: Any) -> Any:
    if form == "one":
        return np.full(len(values), names[0 if random.random() < 0.5 else -1], dtype=object)
    if form == "few":
        return np.where(random.random(len(values)) < 0.97, names[0], values)
    if form == "without one":
        return np.where(values == names[-1], names[0], values)
    if form == "unknown":
        return np.where(random.random(len(values)) < 0.1, "zebra", values)
    return values


# --- Parameters ---------------------------------------------------------------------------------------------------


def random_case(random: np.random.Generator, world: World, number: int) -> Case:
    """Return a check with random parameters and choices of a monitor; `number` chooses the check, in turn."""
    usable = [kind for kind in KINDS if not kind.is_alias and kind.implementation in _PARAMETERS]
    kind = usable[number % len(usable)]
    params, conf = dict[str, Any](), dict[str, Any]()
    for name, values in _PARAMETERS[kind.implementation].items():
        if random.random() < 0.25:
            params[name] = _one_of(random, values)
    if kind.reads_features:
        params |= _feature_parameters(random, world)
        conf |= _feature_choices(random, world)
    if kind.implementation == PERFORMANCE:
        params |= _scorer_parameters(random, world)
        if random.random() < 0.15:
            conf["class"] = [_one_of(random, CLASS_NAMES)]
    res_conf = [_one_of(random, (*CLASS_NAMES, *world.columns))] if random.random() < 0.03 else None
    return Case(kind.class_name, params, conf, res_conf)


def _one_of(random: np.random.Generator, values: Sequence[Any]) -> Any:
    return values[int(random.integers(len(values)))]


_DRIFT: Mapping[str, Sequence[Any]] = {
    "numerical_drift_method": ("EMD", "KS", "kolmogorov-smirnov", "emd", "t-test"),
    "categorical_drift_method": ("cramers_v", "PSI", "PSI", "cramer_v", "psi", "chi2"),
    "margin_quantile_filter": (0, 0.01, 0.1, 0.3, 0.5, 0.025, 0.2),
    "max_num_categories_for_drift": (None, 1, 2, 5, 40),
    "min_category_size_ratio": (0, 0.01, 0.1, 0.3, 1, 0.05, 1.5),
    "show_categories_by": ("largest_difference", "train_largest", "test_largest", "size"),
    "min_samples": (1, 2, 10, 50, 500, 0),
    "ignore_na": (True, False),
}
_PARAMETERS: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "FeatureDrift": {**_DRIFT, "sort_feature_by": ("drift score", "feature importance", "drift + importance", "name")},
    "LabelDrift": {**_DRIFT, "balance_classes": (True, False)},
    "PredictionDrift": {
        **_DRIFT,
        "balance_classes": (True, False),
        "drift_mode": ("auto", "proba", "prediction", "proba", "both"),
        "aggregation_method": ("weighted", "mean", "none", None, "max", "l3_weighted"),
    },
    "NewLabelTrainTest": {},
    "NewCategoryTrainTest": {},
    "MixedNulls": {
        "null_string_list": (["free"], ["c1", "ok"], ["", "nan"], [], None, [3]),
        "check_nan": (True, False),
    },
    "PercentOfNulls": {},
    "StringMismatch": {},
    PERFORMANCE: {},
}


def _feature_parameters(random: np.random.Generator, world: World) -> dict[str, Any]:
    names, params = list(world.columns), dict[str, Any]()
    if random.random() < 0.2:
        params["aggregation_method"] = _one_of(random, (*FEATURE_AGGREGATIONS, "none", None, "median"))
    if random.random() < 0.15:
        params["columns"] = random.permutation(names)[: random.integers(1, 4)].tolist()
    if random.random() < 0.15:
        params["ignore_columns"] = random.permutation(names)[: random.integers(1, 3)].tolist()
    return params


def _feature_choices(random: np.random.Generator, world: World) -> dict[str, Any]:
    conf = dict[str, Any]()
    if random.random() < 0.2:
        conf["feature"] = random.permutation(list(world.columns))[: random.integers(1, 4)].tolist()
    if random.random() < 0.5:
        conf["aggregation method"] = [_one_of(random, (*FEATURE_AGGREGATIONS, "none"))]
    return conf


def _scorer_parameters(random: np.random.Generator, world: World) -> dict[str, Any]:
    known = sorted(known_scorers(world.task_type))
    form = random.choice(["default", "one", "some", "named"], p=[0.1, 0.6, 0.2, 0.1])
    if form == "default":
        return {}
    chosen = [str(name) for name in random.choice(known, 1 if form == "one" else 3, replace=False)]
    if form == "named":
        return {"scorers": {f"metric {number}": name for number, name in enumerate(chosen)}}
    if random.random() < 0.1:
        # The library knows only its own scorers in this notation, and not those of scikit-learn.
        in_table = {name for task_type in TASK_TYPES for name in scorers(task_type)}
        chosen = [name.replace("_", " ").title() if name in in_table else name for name in chosen]
    return {"scorers": chosen}


def kind_named(class_name: str) -> CheckKind:
    """Return a check of the catalogue."""
    return next(kind for kind in KINDS if kind.class_name == class_name)

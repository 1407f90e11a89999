"""Whether dcmon's value of a check is the library's, but for what dcmon does in another way on purpose.

docs/decisions.md, "Statistics of dcmon's own", lists these differences; this module holds no other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from cachetools import LRUCache

from dcmon.checks import runner
from dcmon.checks.check_run import CheckSetup
from dcmon.checks.dataset_schema import CheckValue
from dcmon.checks.decoding import decode
from dcmon.checks.kinds import PERFORMANCE
from dcmon.states import ResultState
from dcmon.statistics.scorer_names import DEFAULT_SCORERS, LIBRARY_PREFIX, RATES, scorer_name
from dcmon.statistics.scorers import reads_probabilities
from dcmon.storage.column_blocks import ColumnarSample
from tests.helpers.check_worlds import RandomCase, kind_named
from tests.helpers.deepchecks_library import LABEL, PREDICTION, PROBABILITIES, Case, World
from tests.helpers.expected_values import areas, classes_of, is_defined, textbook_rates, with_known_labels
from tests.helpers.mended_library import mended_library, with_boolean_texts
from tests.helpers.packed_rows import packed

TOLERANCE = 1e-12  # absolute for numbers up to 1, relative for larger ones

# How scikit-learn and the library fail where rows do not determine a score: logarithms of negative numbers, a rate of a
# class that no row has, and no row with a label and a prediction.
NOT_DETERMINED = (
    "Mean Squared Logarithmic Error cannot be used",
    "Mean Tweedie deviance error",
    "index 1 is out of bounds for axis 0 with size 1",
    "index 0 is out of bounds for axis 0 with size 0",
    "Can't create a Dataset object with an empty dataframe",
)

# Scorers for models with two classes only, and for models with more only: for other models they are an error, also
# where the library says first that all labels are of one class.
OF_TWO_CLASSES = frozenset(
    {
        "average_precision",
        *("precision", "recall", "f1", "jaccard", *RATES, *(LIBRARY_PREFIX + rate for rate in RATES)),
        *("balanced_accuracy", "neg_brier_score", "neg_log_loss", "matthews_corrcoef", "top_k_accuracy"),
        *("positive_likelihood_ratio", "neg_negative_likelihood_ratio"),
    }
)
OF_MORE_CLASSES = frozenset(
    {
        *("roc_auc_per_class", *(f"{metric}_samples" for metric in ("precision", "recall", "f1", "jaccard"))),
        *(f"{LIBRARY_PREFIX}{rate}_{form}" for rate in RATES for form in ("macro", "micro", "weighted", "per_class")),
    }
)


@dataclass
class Expected:
    """What the library says, as dcmon must say it.

    `states`: the states that the result may have. `differences`: the intended differences that it contains.
    `reason`: what the library says itself.
    """

    states: set[str]
    metrics: dict[str, float]
    entries: dict[str, float] = field(default_factory=dict)
    differences: set[str] = field(default_factory=set)
    reason: str = ""

    def is_met_by(self, value: CheckValue) -> bool:
        """Return True if state and numbers of a value are the expected ones."""
        return (
            value.state in self.states
            and are_close(self.metrics, value.metrics)
            and are_close(self.entries, value.entries)
        )


def are_close(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    """Return True if both have the same names, and numbers that are equal but for rounding."""
    return first.keys() == second.keys() and all(
        abs(number - second[name]) <= TOLERANCE * max(1, abs(number)) for name, number in first.items()
    )


class Judge:
    """Both runners on the same rows. The rows of a world are prepared once for all its cases."""

    def __init__(self) -> None:
        self._sides = LRUCache[tuple[str, int], tuple[World, Any]](8)
        self._changed = LRUCache[tuple[str, int], tuple[World, World]](4)

    def value(self, case: RandomCase) -> CheckValue:
        """Return dcmon's value."""
        return runner.run(_setup(case), *self._prepared("dcmon", case, lambda sample: decode(sample, case.schema)))

    def expected(self, case: RandomCase) -> Expected:
        """Return the library's value, with the intended differences."""
        if case.case.class_name == PERFORMANCE and case.world.task_type != "regression":
            return _Scores(self, case).expected()
        if case.case.class_name == "NewCategoryTrainTest":
            case = replace(case, world=self.changed(with_boolean_texts, case.world))
        expected = self.library_value(case)
        if _leaves_no_feature(case) and "sort_feature_by" not in expected.reason:
            return Expected({ResultState.INSUFFICIENT}, {}, {}, {"no feature left"})
        if ResultState.ERROR in expected.states and self._lacks_rows(case):
            return Expected({ResultState.NO_DATA}, {}, {}, {"rows are judged before parameters"})
        return _as_not_determined(expected)

    def library_value(self, case: RandomCase) -> Expected:
        """Return the library's value."""
        from tests.helpers import library_runner  # only when a test needs it: it loads deepchecks

        differences = set[str]()
        sides = self._prepared("library", case, lambda sample: library_runner.prepared(sample, case.schema))
        with mended_library(differences):
            value = library_runner.run(_setup(case), *sides)
        return Expected({value.state}, value.metrics, value.entries, differences, value.reason or "")

    def changed(self, change: Callable[[World], World], world: World) -> World:
        """Return a changed world, the same one for all cases."""
        key = change.__name__, id(world)
        if key not in self._changed or self._changed[key][0] is not world:
            self._changed[key] = world, change(world)
        return self._changed[key][1]

    def _lacks_rows(self, case: RandomCase) -> bool:
        """Return True if the rows lack what the check reads, whatever its parameters are."""
        plain = replace(case, case=Case(case.case.class_name))
        return ResultState.NO_DATA in self.library_value(plain).states

    def _prepared(self, name: str, case: RandomCase, prepare: Callable[[ColumnarSample], Any]) -> Any:
        world, key = case.world, (name, id(case.world))
        if key not in self._sides or self._sides[key][0] is not world:
            samples = packed(world.current, case.schema, blocks=2), packed(world.reference, case.schema)
            self._sides[key] = world, tuple(map(prepare, samples))
        return self._sides[key][1]


def _setup(case: RandomCase) -> CheckSetup:
    kwargs = {"check_conf": case.case.conf, "res_conf": case.case.res_conf}
    return CheckSetup(kind_named(case.case.class_name), case.case.params, kwargs, case.schema)


def _as_not_determined(expected: Expected) -> Expected:
    """Return INSUFFICIENT in place of an error whose reason are the rows."""
    if ResultState.ERROR in expected.states and any(words in expected.reason for words in NOT_DETERMINED):
        return Expected({ResultState.INSUFFICIENT}, {}, {}, {"rows that do not determine a score are no error"})
    return expected


def _leaves_no_feature(case: RandomCase) -> bool:
    """Return True if columns and ignore_columns leave no feature that the check reads, though the version has one."""
    kind, params = kind_named(case.case.class_name), case.case.params
    if not kind.reads_features or case.case.conf.get("feature"):
        return False
    columns, ignored = params.get("columns"), params.get("ignore_columns") or []
    if columns and ignored:
        return False
    names = columns or [name for name in case.world.columns if name not in ignored]
    types = kind.column_types or frozenset(case.world.columns.values())
    return not any(case.world.columns[name] in types for name in names)


class _Scores:
    """What a performance check of classes must say, scorer by scorer."""

    def __init__(self, judge: Judge, case: RandomCase) -> None:
        self.judge, self.case = judge, case
        self.world = judge.changed(with_known_labels, case.world)
        self.differences = set[str]()
        if len(self.world.current) < len(case.world.current):
            self.differences.add("rows with an unknown label left out")

    def expected(self) -> Expected:
        """Return the numbers of all scorers; if none has one, the states that they have alone."""
        results = [self._of_scorer(name, scorer) for name, scorer in self._scorers()]
        metrics = {name: number for result in results for name, number in result.metrics.items()}
        states: set[str] = {ResultState.OK} if metrics else {state for result in results for state in result.states}
        return Expected(states, metrics, {}, self.differences)

    def _scorers(self) -> list[tuple[str | None, str]]:
        chosen = self.case.case.conf.get("scorer") or self.case.case.params.get("scorers")
        chosen = chosen or DEFAULT_SCORERS[self.case.world.task_type]
        return list(chosen.items()) if isinstance(chosen, Mapping) else [(None, scorer) for scorer in chosen]

    def _of_scorer(self, metric: str | None, scorer: str) -> Expected:
        name, title = scorer_name(scorer), metric or scorer.removesuffix("_per_class")
        used = self._used_rows(name)
        result = self._library(metric, scorer)
        if ResultState.NO_DATA in result.states:
            return result
        n_classes = len(classes_of(used))
        if name in (OF_MORE_CLASSES if n_classes == 2 else OF_TWO_CLASSES):
            return Expected({ResultState.ERROR}, {})
        if name.startswith(RATES):
            self.differences.add("textbook's rate")
            return self._by_hand(title, textbook_rates(name, used))
        if name == "roc_auc_per_class":
            return self._by_hand(title, areas(used))
        if name.startswith(LIBRARY_PREFIX):
            self.differences.add("library's rate by its own name")
            return self._library(title, name.removeprefix(LIBRARY_PREFIX))
        return self._without_absent(result, title, name, used)

    def _library(self, metric: str | None, scorer: str) -> Expected:
        params = {"scorers": [scorer] if metric is None else {metric: scorer}}
        conf = {key: chosen for key, chosen in self.case.case.conf.items() if key != "scorer"}
        case = replace(self.case, world=self.world, case=replace(self.case.case, params=params, conf=conf))
        result = _as_not_determined(self.judge.library_value(case))
        self.differences |= result.differences
        return result

    def _used_rows(self, scorer: str) -> World:
        """Return the rows that a scorer reads, with the predictions that it reads."""
        rows, classes = self.world.current, self.world.classes
        is_derived = rows[PREDICTION].isna().all() and classes is not None
        is_used = rows[LABEL].notna() & (is_derived | rows[PREDICTION].notna())
        if classes and (is_derived or reads_probabilities(scorer)):
            is_used &= rows[PROBABILITIES].map(lambda vector: vector is not None and len(vector) == len(classes))
        rows = rows[is_used].reset_index(drop=True)
        if is_derived and classes:
            rows[PREDICTION] = [classes[int(np.argmax(vector))] for vector in rows[PROBABILITIES]]
        if classes and len(classes) == 2:
            # The library takes each class that is not the first one for the second one.
            rows[PREDICTION] = rows[PREDICTION].where(rows[PREDICTION] == classes[0], classes[1])
        return replace(self.world, current=rows)

    def _by_hand(self, title: str, numbers: Mapping[str, float]) -> Expected:
        """Return numbers that are named "metric class" or "metric" by another title, if the monitor chose them."""
        metrics = {
            " ".join([title, *name.split(" ")[1:]]): number
            for name, number in numbers.items()
            if self._is_chosen(title, name)
        }
        return Expected({ResultState.OK if metrics else ResultState.INSUFFICIENT}, metrics)

    def _is_chosen(self, title: str, name: str) -> bool:
        class_name = name.split(" ")[1] if " " in name else None
        classes, res_conf = self.case.case.conf.get("class"), self.case.case.res_conf
        if classes and class_name is not None and class_name not in classes:
            return False
        return not res_conf or class_name in res_conf or (class_name is None and title in res_conf)

    def _without_absent(self, result: Expected, title: str, scorer: str, used: World) -> Expected:
        """Leave out the scores of classes that the rows do not have."""
        names = {name: " ".join([scorer, *name.removeprefix(title).split(" ")[1:]]) for name in result.metrics}
        metrics = {name: number for name, number in result.metrics.items() if is_defined(names[name], scorer, used)}
        if len(metrics) == len(result.metrics):
            return result
        self.differences.add("no score of an absent class")
        return Expected({ResultState.OK if metrics else ResultState.INSUFFICIENT}, metrics)

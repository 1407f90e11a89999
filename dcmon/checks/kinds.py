"""Describe a check: what it needs, and what a monitor can choose of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

PACKAGE = "deepchecks.tabular.checks"
PERFORMANCE = "SingleDatasetPerformance"  # the only check that computes scorers
REGISTRY = "dcmon.checks"  # the group of entry points in which a user's package registers its checks
PLUGIN = "own"  # the group of all checks that users' packages register
DCMON = "dcmon"  # the module and the group of dcmon's own checks
DATA_FLOW_CLASS = "DataFlow"  # the only check that reads no rows
MEAN_DRIFT = "Mean Drift"  # the metric of DriftBeyondNoise for many small changes together
FEATURE_AGGREGATIONS = ("mean", "max", "weighted", "l3_weighted", "l5_weighted")
NUMERIC_TYPES = frozenset({"numeric", "integer", "bigint"})
CATEGORICAL_TYPES = frozenset({"categorical", "boolean"})
STRING_TYPES = frozenset({"categorical", "text"})

Choice = Literal["scorer", "class", "feature", "aggregation method", "max features", "metric"]


@dataclass(frozen=True)
class CheckKind:
    """One check that returns numbers, of deepchecks or of a user's package (group "own").

    `implementation`: the class that runs (for an alias another class than `class_name`); for a user's check
    MODULE:CLASS, as its package registers it. `choices`: the keys that `check_conf` may have. `column_types`: the types
    of columns that the check reads; None if it reads all columns or no column. `needs_classes`: True if the check can't
    check a regression. `uses_late_labels`: True if the check does not wait for labels, but uses those that are there,
    and is evaluated again when more come.
    """

    class_name: str
    implementation: str
    group: str
    module: str
    needs_labels: bool
    needs_reference: bool
    reads_predictions: bool = False
    choices: tuple[Choice, ...] = ()
    column_types: frozenset[str] | None = None
    needs_classes: bool = False
    uses_late_labels: bool = False

    @property
    def is_own(self) -> bool:
        """True if a user's package registers the check."""
        return self.group == PLUGIN

    @property
    def is_flow(self) -> bool:
        """True if the check counts arriving rows, and does not read them."""
        return self.is_dcmons and self.class_name == DATA_FLOW_CLASS

    @property
    def is_dcmons(self) -> bool:
        """True if the check is dcmon's own, so that deepchecks has no check of this name."""
        return self.group == DCMON

    @property
    def is_alias(self) -> bool:
        """True if this is a second class name of a check of deepchecks."""
        return not self.is_own and self.implementation != self.class_name

    @property
    def module_name(self) -> str:
        """The module in a check's config; for a user's check the group of entry points."""
        if self.is_dcmons:
            return DCMON
        return REGISTRY if self.is_own else f"{PACKAGE}.{self.group}.{self.module}"

    @property
    def module_names(self) -> frozenset[str]:
        """All modules by which a config may name the class."""
        if self.is_dcmons:
            return frozenset({DCMON})
        return frozenset({self.module_name, f"{PACKAGE}.{self.group}", PACKAGE})

    @property
    def docs_link(self) -> str | None:
        """The link to deepchecks' description; None if the check is not of deepchecks."""
        if self.is_own or self.is_dcmons:
            return None
        return f"https://docs.deepchecks.com/stable/tabular/auto_checks/{self.group}/plot_{self.module}.html"

    @property
    def reads_features(self) -> bool:
        """True if a monitor can choose features."""
        return "feature" in self.choices

    @property
    def aggregations(self) -> tuple[str, ...]:
        """The methods that aggregate the values of features to one value.

        Empty if the check has no value for each feature.
        """
        return FEATURE_AGGREGATIONS if "aggregation method" in self.choices else ()


@dataclass(frozen=True)
class OwnCheckDescription:
    """What dcmon reads from the class of a user's check.

    `refused`: why the class can't be used; None if it can. `parameters`: with their defaults, without those that dcmon
    sets itself.
    """

    refused: str | None = None
    needs_labels: bool = False
    needs_reference: bool = False
    choices: tuple[Choice, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)

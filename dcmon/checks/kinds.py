"""What is known of a check without loading it: what it needs, and what can be chosen of it."""

from dataclasses import dataclass
from typing import Literal

PACKAGE = "deepchecks.tabular.checks"
REGISTRY = "dcmon.checks"  # the group of entry points that a user's package registers its checks in
PLUGIN = "own"
DATA_FLOW_GROUP = "dcmon"  # the module and the group of dcmon's own check, which reads no rows
FEATURE_AGGREGATIONS = ("mean", "max", "weighted", "l3_weighted", "l5_weighted")
NUMERIC_TYPES = frozenset({"numeric", "integer", "bigint"})
CATEGORICAL_TYPES = frozenset({"categorical", "boolean"})
STRING_TYPES = frozenset({"categorical", "text"})

Choice = Literal["scorer", "class", "feature", "aggregation method", "metric"]


@dataclass(frozen=True)
class CheckKind:
    """One check that reduces to numbers: of deepchecks, or of a user's own (group "own").

    `implementation` is the class that runs (an alias runs what it is an alias of), of an own check as its package
    registers it, MODULE:CLASS; `choices` are the keys that `check_conf` may carry; `column_types` those that the check
    reads, None when it reads every column or none; `needs_classes`: it says nothing of a regression.
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

    @property
    def is_own(self) -> bool:
        """Whether it is a check of the user's own."""
        return self.group == PLUGIN

    @property
    def is_flow(self) -> bool:
        """Whether it counts what comes in, and reads no rows."""
        return self.group == DATA_FLOW_GROUP

    @property
    def is_alias(self) -> bool:
        """Whether it is another name of a check."""
        return not self.is_own and self.implementation != self.class_name

    @property
    def module_name(self) -> str:
        """The module as deepchecks writes it into a check's config; of an own check where it is registered."""
        if self.is_flow:
            return DATA_FLOW_GROUP
        return REGISTRY if self.is_own else f"{PACKAGE}.{self.group}.{self.module}"

    @property
    def module_names(self) -> frozenset[str]:
        """All modules the class can be named by."""
        return frozenset({self.module_name, f"{PACKAGE}.{self.group}", PACKAGE})

    @property
    def docs_link(self) -> str | None:
        """Where deepchecks describes it; None for one that is not deepchecks' own."""
        if self.is_own or self.is_flow:
            return None
        return f"https://docs.deepchecks.com/stable/tabular/auto_checks/{self.group}/plot_{self.module}.html"

    @property
    def reads_features(self) -> bool:
        """Whether features can be chosen."""
        return "feature" in self.choices

    @property
    def aggregations(self) -> tuple[str, ...]:
        """How its values by feature can be made one; none where it has no such values."""
        return FEATURE_AGGREGATIONS if "aggregation method" in self.choices else ()

"""Monitors and their alert rules as files declare them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field

from dcmon import durations
from dcmon.alerting import condition_parser, rules
from dcmon.alerting.rules import Change
from dcmon.alerting.state_machine import MissingValuePolicy
from dcmon.checks import defaults
from dcmon.declarations.values import (
    ALL,
    ConditionText,
    Declaration,
    Duration,
    Line,
    Problem,
    Prose,
    fault,
    problem,
)
from dcmon.errors import InvalidInput
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.severity import Severity
from dcmon.storage import filter_parser
from dcmon.windows import ComparedWith, Frequency

COMPARE: Mapping[str, ComparedWith] = {
    "reference": ComparedWith.REFERENCE, "previous": ComparedWith.PREVIOUS, "week": ComparedWith.WEEK_BEFORE,
}  # fmt: skip
SeverityName = Literal["low", "medium", "high", "critical"]
Policy = Literal["keep", "ok", "alert"]
assert {*get_args(SeverityName)} == {*Severity}
assert {*get_args(Policy)} == {*MissingValuePolicy}


class RuleDeclaration(Declaration):
    """An alert rule on a monitor. A key that is left out has its default."""

    ALWAYS: ClassVar = ("severity",)

    name: Line | None = Field(None, description="Name in commands and silences; unique in the organization.")
    condition: ConditionText
    severity: SeverityName = Field("medium", description="Severity of its alerts.")
    warn_severity: SeverityName | None = Field(
        None, description="Severity of the warning level; default: the one below the rule's own."
    )
    for_windows: int = Field(1, alias="for", description="Windows in a row that must violate it before it fires.")
    keep_firing: int = Field(0, description="Windows without violation after which the alert still fires.")
    min_n: int = Field(0, description="Windows with fewer rows have no verdict.")
    no_data: Policy = Field("keep", description="What a window without data does to the alert.")
    on_error: Policy = Field("keep", description="What a window with an error does to the alert.")
    inhibit: bool = Field(True, description="Hold back notifications while a more severe alert of the monitor fires.")
    active: bool = Field(True, description="False: the rule judges no results.")
    counts: Literal["sample_count", "label_count", "label_ratio"] | None = Field(
        None, description="Of a data-ingestion rule: what it counts."
    )

    def problems(self) -> list[Problem]:
        """Return what a rule can't have, as creating it would say."""
        try:
            rules.preview(None, self.change())
        except InvalidInput as error:
            return [problem(error)]
        return []

    def values(self) -> dict[str, Any]:
        """Return the fields by their keys; the severity of warnings only where it is not the default."""
        return {**super().values(), "warn_severity": stored_warn_severity(self.severity, self.warn_severity)}

    def change(self) -> Change:
        """Return all settings, for a new rule or a change of one."""
        condition = condition_parser.parse(self.condition)
        warn_severity = self.warn_severity or (None if condition.warn is None else _below(self.severity))
        return Change(
            condition, self.severity, warn_severity,
            self.name or "", self.for_windows, self.keep_firing, self.min_n, self.no_data, self.on_error, self.inhibit,
            self.active,
        )  # fmt: skip


def _below(severity: str) -> str | None:
    rank = Severity(severity).rank
    return list(Severity)[rank - 1] if rank else None


def stored_warn_severity(severity: str, warn_severity: str | None) -> Any:
    """Return the severity of warnings as files have it: None where it is the default."""
    return None if warn_severity == _below(severity) else warn_severity


def _filters(typed: str) -> str:
    try:
        return filter_parser.write(filter_parser.parse([typed]))
    except InvalidInput as error:
        raise fault(str(error)) from error


class FilterDeclaration(Declaration):
    """A filter as the HTTP API has it, for values that a text can't have."""

    column: str
    operator: str
    value: Any = None


class MonitorDeclaration(Declaration):
    """A monitor of a model. A key that is left out has its default; without `rules`, rules are left as they are."""

    ALWAYS: ClassVar = ("check", "frequency")
    SECTIONS: ClassVar = ("rules",)

    renamed_from: Line | None = Field(None, description="Former name: the monitor is renamed, and keeps its results.")
    check: Line = Field(description="Name of a check of the model, or a class of checks, like FeatureDrift.")
    description: Prose = ""
    frequency: Literal["HOUR", "DAY", "WEEK", "MONTH"] = Field("DAY", description="How often a window ends.")
    aggregation_window: int = Field(1, ge=1, le=1000, description="Length of a window, in units of the frequency.")
    lookback: Duration | None = Field(None, description="How far its graph reaches back; default: by the frequency.")
    compare: Literal["reference", "previous", "week"] = Field(
        "reference", description="What a window is compared with."
    )
    rows: Annotated[int, Field(ge=1)] | Literal["all"] | None = Field(
        None, description="Rows that it reads of a window at most; default: DCMON_EVALUATE__SAMPLE_SIZE."
    )
    features: list[str] | None = Field(None, description="Only these features.")
    scorers: list[str] | None = Field(None, description="Only these scorers.")
    classes: list[str] | None = Field(None, description="Only these classes.")
    aggregation: str | None = Field(None, description="How the values of features become one value.")
    max_features: int | None = Field(None, ge=1, description="Only so many features, the most important ones.")
    metrics: list[str] | None = Field(None, description="Only these metrics.")
    filters: Annotated[str, AfterValidator(_filters)] | list[FilterDeclaration] | None = Field(
        None, description="Only rows that match, like: age >= 30 and city in ('Oslo', 'Rome')."
    )
    on_dashboard: bool = Field(False, description="Show it on the organization's dashboard.")
    additional_kwargs: dict[str, Any] | None = Field(
        None, description="Choices as the HTTP API has them, where no other key can say them."
    )
    rules: list[RuleDeclaration] | None = Field(None, description="Its alert rules; left out: as they are.")

    def problems(self) -> list[Problem]:
        """Return what needs no database to be refused."""
        if self.additional_kwargs is not None and self.has_choices:
            return [problem("Give either additional_kwargs or features, scorers, metrics …", "additional_kwargs")]
        return []

    def values(self) -> dict[str, Any]:
        """Return the fields by their keys, each in its one form."""
        lookback = (
            None if self.lookback == durations.to_text(defaults.LOOKBACK[Frequency(self.frequency)]) else self.lookback
        )
        choices = {**_written_choices(self.kwargs), "filters": _plain_filters(self.data_filters)}
        return {**super().values(), **choices, "lookback": lookback}

    @property
    def has_choices(self) -> bool:
        """True if a choice of the check is declared by a key of its own."""
        return any((self.features, self.scorers, self.classes, self.aggregation, self.max_features, self.metrics))

    @property
    def kwargs(self) -> dict[str, Any] | None:
        """The choices as a monitor stores them; None if there is none."""
        if self.additional_kwargs is not None:
            return self.additional_kwargs
        return _kwargs(self)

    @property
    def data_filters(self) -> dict[str, Any] | None:
        """The filters as a monitor stores them."""
        if isinstance(self.filters, str):
            return filter_parser.parse([self.filters])
        items = [item.model_dump() for item in self.filters or ()]
        return {"filters": items} if items else None

    def spec(self, name: str, dashboard_id: int | None) -> MonitorSpec:
        """Return the specification of the monitor."""
        frequency = Frequency(self.frequency)
        lookback = defaults.LOOKBACK[frequency] if self.lookback is None else durations.parse(self.lookback)
        rows = 0 if self.rows == ALL else self.rows
        return MonitorSpec(
            name, frequency, self.aggregation_window, lookback, self.description, self.data_filters, self.kwargs,
            dashboard_id, COMPARE[self.compare], rows if isinstance(rows, int) else None,
        )  # fmt: skip


def _kwargs(declared: Any) -> dict[str, Any] | None:
    choices = {
        "feature": declared.features, "scorer": declared.scorers, "class": declared.classes,
        "aggregation method": [declared.aggregation] if declared.aggregation else None,
        "max features": [declared.max_features] if declared.max_features else None,
    }  # fmt: skip
    conf = {name: chosen for name, chosen in choices.items() if chosen}
    return {"check_conf": conf, "res_conf": declared.metrics or None} if conf or declared.metrics else None


def of_spec(spec: MonitorSpec, check: str, rules_of_monitor: Sequence[RuleDeclaration]) -> MonitorDeclaration:
    """Return the declaration of a monitor that exists."""
    usual = defaults.LOOKBACK[spec.frequency]
    values: dict[str, Any] = {
        "renamed_from": None, "check": check, "description": spec.description, "frequency": spec.frequency.value,
        "aggregation_window": spec.aggregation_window, "lookback": durations.to_text(spec.lookback or usual),
        "compare": next(word for word, meaning in COMPARE.items() if meaning is spec.compared_with),
        "rows": ALL if spec.rows == 0 else spec.rows, "filters": _written_filters(spec.data_filters),
        "on_dashboard": spec.dashboard_id is not None, "rules": list(rules_of_monitor),
        **_written_choices(spec.additional_kwargs),
    }  # fmt: skip
    return MonitorDeclaration.model_construct(**values)


def _written_choices(kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the keys that say the choices of a monitor; the last resort is additional_kwargs."""
    keys: dict[str, Any] = dict.fromkeys(
        ("features", "scorers", "classes", "aggregation", "max_features", "metrics", "additional_kwargs")
    )
    meant = without_nulls(kwargs)
    if not meant:
        return keys
    conf = meant.get("check_conf") or {}
    try:
        named = {
            "features": conf.get("feature"), "scorers": conf.get("scorer"), "classes": conf.get("class"),
            "aggregation": (conf.get("aggregation method") or [None])[0],
            "max_features": (conf.get("max features") or [None])[0], "metrics": meant.get("res_conf"),
        }  # fmt: skip
        declared = MonitorDeclaration(check="-", **named)
    except (ValueError, TypeError, KeyError, AttributeError):
        return {**keys, "additional_kwargs": meant}
    if without_nulls(declared.kwargs) != meant:
        return {**keys, "additional_kwargs": meant}
    return {**keys, **named}


def without_nulls(value: Any) -> Any:
    """Return a value without the keys that are null, which mean the same as keys that are absent."""
    if isinstance(value, Mapping):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _written_filters(filters: Mapping[str, Any] | None) -> Any:
    items = (filters or {}).get("filters")
    if not items:
        return None
    plain = [
        {"column": item.get("column"), "operator": str(item.get("operator")), "value": item.get("value")}
        for item in items
    ]
    try:
        written = filter_parser.write(filters)
        if _text_of(filter_parser.parse([written])) == _text_of({"filters": plain}):
            return written
    except (InvalidInput, KeyError, TypeError, ValueError):
        pass
    return [FilterDeclaration.model_construct(**item) for item in plain]


def _plain_filters(filters: Mapping[str, Any] | None) -> Any:
    written = _written_filters(filters)
    return [item.values() for item in written] if isinstance(written, list) else written


def _text_of(filters: Any) -> str:
    """Return filters as a text that tells 1 from 1.0 and from True."""
    return repr([(item["column"], str(item["operator"]), item.get("value")) for item in (filters or {})["filters"]])

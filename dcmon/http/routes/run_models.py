"""What the routes that compute values take and return."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, Field, model_validator

from dcmon.http.fields import Time
from dcmon.monitoring.ad_hoc_runs import Lookback, TimeSpan, WindowValue
from dcmon.monitoring.check_choices import CheckChoices, Choice
from dcmon.monitoring.drill_down import GroupValue
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.states import ResultState
from dcmon.windows import Frequency

FIRST_YEAR, LAST_YEAR = 1900, 3100  # beyond them the calendar has no room for the windows around a time
MAX_CHOSEN, MAX_FILTERS, MAX_TEXT = 1_000, 100, 10_000
EXAMPLE_TIME = "2026-03-01T00:00:00+00:00"


def _in_calendar(time: datetime) -> datetime:
    if not FIRST_YEAR <= time.year <= LAST_YEAR:
        raise ValueError(f"the year must be from {FIRST_YEAR} to {LAST_YEAR}")
    return time


CalendarTime = Annotated[Time, AfterValidator(_in_calendar)]
Scalar = bool | int | float | Annotated[str, Field(max_length=MAX_TEXT)] | None
ChoiceName = Literal["feature", "scorer", "class", "aggregation method", "property", "max features", "metric"]
FilterOperator = Literal[
    "greater_than", "greater_than_equals", "less_than", "less_than_equals", "equals", "not_equals", "in"
]
Names = Annotated[list[Annotated[str, Field(max_length=MAX_TEXT)]], Field(min_length=1, max_length=MAX_CHOSEN)]


class RunFilter(BaseModel):
    """A condition on a column. value: null, with equals or not_equals, means a row without a value."""

    column: Annotated[str, Field(max_length=MAX_TEXT)]
    operator: FilterOperator
    value: Scalar | Annotated[list[Scalar], Field(max_length=MAX_CHOSEN)] = None


class RunFilters(BaseModel):
    """Conditions, all of which must hold."""

    filters: list[RunFilter] = Field([], max_length=MAX_FILTERS)


class RunChoices(BaseModel):
    """What to compute: check_conf narrows the check, res_conf its metrics. Choices that a check lacks are ignored."""

    check_conf: dict[ChoiceName, Annotated[list[str | int], Field(min_length=1, max_length=MAX_CHOSEN)] | None]
    res_conf: Names | None = None


class RunBody(BaseModel):
    """Which rows to read, and what to compute of them."""

    filter: RunFilters | None = None
    additional_kwargs: RunChoices | None = None

    def to_spec(self, frequency: Frequency = Frequency.DAY, units: int = 1) -> MonitorSpec:
        """Return the specification of a monitor that computes the same."""
        return MonitorSpec(
            "values of a request", frequency, units,
            data_filters=None if self.filter is None else self.filter.model_dump(),
            additional_kwargs=None if self.additional_kwargs is None else self.additional_kwargs.model_dump(),
        )  # fmt: skip


class SpanBody(BaseModel):
    """Rows with a time in [start_time, end_time). A time without an offset is in UTC."""

    start_time: CalendarTime = Field(examples=[EXAMPLE_TIME])
    end_time: CalendarTime

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end_time < self.start_time:
            raise ValueError("end_time is before start_time")
        return self

    @property
    def span(self) -> TimeSpan:
        """The span of time to read."""
        return TimeSpan(self.start_time, self.end_time)


class WindowBody(RunBody, SpanBody):
    """Rows with a time in [start_time, end_time). A time without an offset is in UTC."""


class LookbackBody(WindowBody):
    """The last windows, at most 31, that end from the end of the unit of start_time to that of end_time.

    frequency: null for the one that fits the range. aggregation_window: how many units of it a window has.
    """

    frequency: Frequency | None = None
    aggregation_window: int = Field(1, ge=0, le=1000)


class MonitorRunBody(BaseModel):
    """end_time: of the lookback of the monitor; null for now."""

    end_time: CalendarTime | None = None


Metrics = dict[str, float]


class WindowTimes(BaseModel):
    """A window [start, end)."""

    start: str
    end: str


class ValueDetails(BaseModel):
    """What is known of a value beside its numbers.

    state: why there are numbers or none. n: from how many rows the value is; n_rows, n_labelled: how many the window
    has. monitor_id, revision, computed_at: of the stored result that has the value; null if it was computed now.
    intervals: of the metrics, [low, high] at 95 %.
    """

    state: ResultState
    reason: str | None
    n: int
    n_rows: int
    n_labelled: int
    intervals: dict[str, list[float]]
    reference_revision: int
    monitor_id: int | None
    revision: int | None
    computed_at: str | None


class LookbackDetails(BaseModel):
    """The windows of a lookback, and what is known of each value, in the order of `output`."""

    frequency: Frequency
    aggregation_window: int
    time_zone: str
    windows: list[WindowTimes]
    versions: dict[str, list[ValueDetails]]


class LookbackResponse(BaseModel):
    """For each version the numbers of each window; null for a window without a value. time_labels: ends of windows."""

    output: dict[str, list[Metrics | None]]
    time_labels: list[str]
    details: LookbackDetails


class DetailedValues(BaseModel):
    """The numbers of each version, and what is known of them."""

    output: dict[str, Metrics | None]
    details: dict[str, ValueDetails]


class OptionShown(BaseModel):
    """A name to choose. is_agg: false for a number of each class."""

    name: str
    is_agg: bool | None


class ChoiceShown(BaseModel):
    """A key of check_conf, or res_conf. is_agg_shown: false if it matters only beside a name whose is_agg is false."""

    type: str
    values: list[OptionShown] | None
    is_agg_shown: bool | None


class InfoResponse(BaseModel):
    """What can be chosen of a check; null: nothing."""

    check_conf: list[ChoiceShown] | None
    res_conf: ChoiceShown | None


class FiltersShown(BaseModel):
    """Filters as a body takes them."""

    filters: list[RunFilter]


class GroupShown(BaseModel):
    """The numbers of a group of rows; null without a value. filters: those that the rows of the group match."""

    name: str
    value: Metrics | None
    count: int
    filters: FiltersShown


class DetailedGroup(GroupShown):
    """The numbers of a group of rows, and what is known of them."""

    details: ValueDetails


Values = dict[str, Metrics | None]
V = TypeVar("V")


def lookback_response(lookback: Lookback) -> LookbackResponse:
    """Return the response for a lookback."""
    schedule = lookback.monitor.schedule
    return LookbackResponse(
        output={name: [value.metrics for value in values] for name, values in lookback.values.items()},
        time_labels=[window.end.isoformat() for window in lookback.windows],
        details=LookbackDetails(
            frequency=schedule.grid.frequency,
            aggregation_window=schedule.grid.units,
            time_zone=lookback.monitor.model.time_zone,
            windows=[
                WindowTimes(start=window.start.isoformat(), end=window.end.isoformat()) for window in lookback.windows
            ],
            versions={name: [details(value) for value in values] for name, values in lookback.values.items()},
        ),
    )


def values_response(values: Mapping[str, WindowValue], with_details: bool) -> Values | DetailedValues:
    """Return the response for one value of each version."""
    output = {name: value.metrics for name, value in values.items()}
    if not with_details:
        return output
    return DetailedValues(output=output, details={name: details(value) for name, value in values.items()})


def groups_response(groups: Sequence[GroupValue], with_details: bool) -> list[GroupShown] | list[DetailedGroup]:
    """Return the response for the values of groups of rows."""
    plain = [
        GroupShown(
            name=group.name,
            value=group.value.metrics,
            count=group.n,
            filters=FiltersShown.model_validate(group.filters),
        )
        for group in groups
    ]
    if not with_details:
        return plain
    return [
        DetailedGroup(**shown.model_dump(), details=details(group.value))
        for shown, group in zip(plain, groups, strict=True)
    ]


def details(value: WindowValue) -> ValueDetails:
    """Return what is known of a value."""
    result = value.result
    return ValueDetails(
        state=value.value.state,
        reason=value.value.reason,
        n=value.n,
        n_rows=value.n_rows,
        n_labelled=value.n_labelled,
        intervals=value.value.intervals,
        reference_revision=value.reference_revision,
        monitor_id=None if result is None else result.monitor_id,
        revision=None if result is None else result.revision,
        computed_at=None if result is None else result.computed_at.isoformat(),
    )


def info_response(choices: CheckChoices) -> InfoResponse:
    """Return the response for what can be chosen of a check."""
    check_conf, res_conf = choices.check_conf, choices.res_conf
    return InfoResponse(
        check_conf=None if check_conf is None else [_choice(choice) for choice in check_conf],
        res_conf=None if res_conf is None else _choice(res_conf),
    )


def _choice(choice: Choice) -> ChoiceShown:
    options = choice.options
    values = None if options is None else [OptionShown(name=one.name, is_agg=one.is_aggregate) for one in options]
    return ChoiceShown(type=choice.kind, values=values, is_agg_shown=choice.is_for_aggregates)

"""Groups of options that several commands take. A command gets each group as one parsed value.

The functions import what they parse into only when a command runs, so that --help stays light.
"""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.arguments import column_mapping, constants

if TYPE_CHECKING:
    from dcmon.alerting.rules import Change
    from dcmon.commands.operations.monitor import CheckChoices
    from dcmon.commands.operations.receiver import TypedAddress
    from dcmon.commands.operations.source import SourceChange, TypedTarget
    from dcmon.ingestion.dead_letters import DeadLetterFilter
    from dcmon.ingestion.files.dialect import Dialect
    from dcmon.ingestion.files.rejection_limit import RejectionLimit
    from dcmon.ingestion.quarantine import QuarantineFilter

Command = TypeVar("Command", bound=Callable[..., None])


def option_group(name: str, parse: Callable[..., Any]) -> Callable[[Command], Command]:
    """Return a decorator that parses a group of options for a command.

    The command gets the value that `parse` returns as its parameter `name`. Typer reads the signature of a command;
    there, the parameters of `parse` take the place of `name`.
    """
    group = inspect.signature(parse).parameters

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**typed: Any) -> None:
            value = parse(**{option: typed.pop(option) for option in group})
            command(**typed, **{name: value})

        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(command).parameters.values():
            parameters += group.values() if parameter.name == name else [parameter]
        keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        run.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run  # type: ignore[return-value]

    return decorate


def _parse_target(
    model: options.TargetModel = None,
    version: options.TargetVersion = None,
    labels: options.OnlyLabels = False,
    map_: options.Mapping = None,
    ignore_extra: options.IgnoreExtra = False,
    set_: options.Constants = None,
    *,
    dialect: "Dialect",
) -> "TypedTarget":
    from dcmon.commands.operations.source import TypedTarget
    from dcmon.states import RowKind

    kind = RowKind.LABELS if labels else RowKind.SAMPLES
    return TypedTarget(model, version, kind, column_mapping(map_, ignore_extra), dialect, constants(set_))


def _parse_source_change(
    url: options.NewLocation = None,
    version: options.ChangedVersion = None,
    map_: options.Mapping = None,
    ignore_extra: options.IgnoreExtra = False,
    set_: options.Constants = None,
    reset: options.ResetOfFiles = None,
    model: Annotated[str | None, typer.Option("--model", hidden=True, help="It can't change.")] = None,
    labels: Annotated[bool, typer.Option("--labels", hidden=True, help="It can't change.")] = False,
    *,
    dialect: "Dialect",
) -> "SourceChange":
    """Parse what changes of a source. Raises BadParameter for what can't."""
    from dcmon.commands.operations.source import SourceChange, require_same_owner

    require_same_owner(model, has_labels=labels)

    return SourceChange(url, version, column_mapping(map_, ignore_extra), dialect, constants(set_), set(reset or ()))


def _parse_dialect(
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    decimal: options.Decimal = None,
    thousands: options.Thousands = None,
    null: options.Null = None,
    time_zone: options.FileTimeZone = None,
    date_order: options.FileDateOrder = None,
) -> "Dialect":
    """Parse how files are written. Raises InvalidInput."""
    from dcmon.ingestion.files import dialect

    typed = {"delimiter": delimiter, "encoding": encoding, "decimal": decimal, "thousands": thousands}
    return dialect.create(typed | {"time_zone": time_zone, "date_order": date_order}, null)


def _parse_limit(max_rejected: options.MaxRejected = None) -> "RejectionLimit":
    """Parse how many rows of a file may be rejected. Raises InvalidInput."""
    from dcmon.ingestion.files import rejection_limit

    return rejection_limit.DEFAULT_LIMIT if max_rejected is None else rejection_limit.parse(max_rejected)


def _parse_choices(
    feature: options.Feature = None,
    scorer: options.Scorer = None,
    class_: options.Class = None,
    aggregation: options.Aggregation = None,
    max_features: options.MaxFeatures = None,
    metric: options.Metric = None,
) -> "CheckChoices":
    from dcmon.commands.operations.monitor import CheckChoices

    return CheckChoices(feature, scorer, class_, aggregation, metric, max_features)


def _parse_policy(
    severity: options.Severity = None,
    warn_severity: options.WarnSeverity = None,
    for_: options.For = None,
    keep_firing: options.KeepFiring = None,
    min_n: options.MinN = None,
    no_data: options.NoData = None,
    on_error: options.OnError = None,
) -> "Change":
    from dcmon.alerting.rules import Change

    return Change(
        severity=severity, warn_severity=warn_severity, for_windows=for_, keep_firing=keep_firing, min_n=min_n,
        no_data=no_data, on_error=on_error,
    )  # fmt: skip


def _parse_address(
    target: options.ReceiverTarget = None,
    header: options.Header = None,
    key: options.Key = None,
    group: options.EventGroup = None,
    class_: options.EventClass = None,
) -> "TypedAddress":
    from dcmon.commands.operations.receiver import TypedAddress

    return TypedAddress(target, header, key, group, class_)


def _parse_listed_rows(
    model: options.OnlyModel = None,
    version: options.OnlyVersion = None,
    reason: options.Reason = None,
    since: options.LoggedSince = None,
    until: options.LoggedUntil = None,
    source: options.RowSource = None,
) -> "QuarantineFilter":
    from dcmon.ingestion.quarantine import QuarantineFilter

    return QuarantineFilter((), model, version, reason, since, source, until)


def _parse_chosen_rows(
    ids: options.RowIds = None,
    model: options.OnlyModel = None,
    version: options.OnlyVersion = None,
    reason: options.Reason = None,
    since: options.LoggedSince = None,
    until: options.LoggedUntil = None,
    source: options.RowSource = None,
    all_: options.AllRows = False,
) -> "QuarantineFilter":
    """Parse which rows to change. Raises InvalidInput unless ids, options or --all choose them."""
    from dcmon import errors
    from dcmon.ingestion.quarantine import QuarantineFilter

    listed = _parse_listed_rows(model, version, reason, since, until, source)
    if sum([bool(ids), not listed.is_all, all_]) > 1:
        raise errors.InvalidInput("Give ids, or options that choose rows, or --all, but only one of the three.")
    if not (ids or all_) and listed.is_all:
        raise errors.InvalidInput(
            'Give ids of rows, or --model, --reason, … or --all. "dcmon quarantine list" counts the rows.'
        )
    return QuarantineFilter(tuple(ids)) if ids else listed


def _parse_chosen_dead_letters(
    ids: options.DeadLetterIds = None,
    topic: options.DeadLetterTopic = None,
    reason: options.DeadLetterReason = None,
    since: options.DeadLetterSince = None,
    until: options.DeadLetterUntil = None,
    all_: options.AllDeadLetters = False,
) -> "DeadLetterFilter":
    """Parse which dead letters to change. Raises InvalidInput unless ids, options or --all choose them."""
    from dcmon import errors
    from dcmon.ingestion.dead_letters import DeadLetterFilter

    is_filtered = any(option is not None for option in (topic, reason, since, until))
    if sum([bool(ids), is_filtered, all_]) != 1:
        raise errors.InvalidInput(
            "Give ids, or options that choose dead letters, or --all, and only one of the three."
            ' "dcmon dead-letter list" lists them.'
        )
    return DeadLetterFilter(tuple(ids or ()), topic, reason, since, until=until)


# Decorators of commands. The first word is the parameter that gets the value.
file_dialect = option_group("dialect", _parse_dialect)
rejection_limit = option_group("limit", _parse_limit)
check_choices = option_group("choices", _parse_choices)
rule_policy = option_group("policy", _parse_policy)
receiver_address = option_group("address", _parse_address)
listed_rows = option_group("row_filter", _parse_listed_rows)
chosen_rows = option_group("row_filter", _parse_chosen_rows)
chosen_dead_letters = option_group("chosen", _parse_chosen_dead_letters)


def source_change(command: Command) -> Command:
    """Parse the options that change a source as `change`; those of its dialect are a group of their own."""
    return file_dialect(option_group("change", _parse_source_change)(command))


def row_target(command: Command) -> Command:
    """Parse the options of a target of rows as `target`; those of its dialect are a group of their own."""
    return file_dialect(option_group("target", _parse_target)(command))

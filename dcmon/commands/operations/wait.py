"""Wait until conditions on the backlogs and the health of dcmon hold."""

import operator
import re
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import typer
from sqlalchemy.exc import DBAPIError

from dcmon import errors
from dcmon.commands.operations import status
from dcmon.commands.operations.status import LOCK_WAIT
from dcmon.db.migrations import MigrationState
from dcmon.nearest import unknown
from dcmon.output_parts import Fields, Page
from dcmon.tenancy import schema_migration

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.health.status import Status

OPERATORS: dict[str, Callable[[int, int], bool]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge,
}  # fmt: skip
# What `dcmon status` counts under other names.
COUNTS = {
    "lag": ("unread_messages", "parked_messages"),
    "due": ("windows_due",),
    "notifications": ("notifications_waiting",),
}
HEALTH, MIGRATED = "health", "migrated"
NAMES = (*COUNTS, HEALTH, MIGRATED)
KEYS = {**COUNTS, HEALTH: ("problems",)}  # of the reasons why a value is not known
_CONDITION = re.compile(r"\s*([a-z]+)\s*(?:(==?|!=|<=?|>=?)\s*(\d+|ok|true))?\s*")


class TimeOver(errors.DcmonError):
    """The time is over (--timeout), and this does not hold: {waited}."""

    exit_code = 124  # as that of timeout(1)


class Condition(NamedTuple):
    """A condition as typed: a name, an operator and a number."""

    name: str
    operator: str
    number: int

    def holds(self, value: int | None) -> bool:
        """Return True if the value is known and meets the condition."""
        return value is not None and OPERATORS[self.operator](value, self.number)

    def __str__(self) -> str:
        return f"{self.name}{self.operator}{self.number}"


def parse_condition(text: str) -> Condition:
    """Parse a condition like "lag=0"; a name alone means 0: nothing is left to do. Raises BadParameter."""
    match = _CONDITION.fullmatch(text.lower())
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a condition like lag=0 or due<=5.", param_hint="--for")
    name, sign, number = match.groups()
    if name not in NAMES:
        raise typer.BadParameter(unknown("condition", name, NAMES), param_hint="--for")
    return Condition(name, sign or "=", 0 if number in (None, "ok", "true") else int(number))


def wait(app: "App", conditions: Sequence[Condition], timeout: timedelta, every: timedelta) -> Page:
    """Look again and again until all conditions hold; return them, the values and the seconds that it took.

    A remark says what is waited for, whenever it changes. Raises TimeOver, or InvalidInput with --org: what is counted
    is that of all organizations.
    """
    if app.typed_org is not None:
        raise errors.InvalidInput("dcmon wait counts all organizations together: leave out --org.")
    started_at, last = time.monotonic(), ""
    while True:
        values, reason = _read(app, {condition.name for condition in conditions})
        open_ones = [condition for condition in conditions if not condition.holds(values.get(condition.name))]
        seconds = time.monotonic() - started_at
        if not open_ones:
            return _result(conditions, values, seconds)
        shown = ", ".join(f"{open_one} ({_shown(values.get(open_one.name))})" for open_one in open_ones) + (
            reason and f": {reason}"
        )
        if seconds >= timeout.total_seconds():
            raise TimeOver(waited=shown.rstrip("."))
        if shown != last:
            app.output.remark(f"waiting for {shown}")
            last = shown
        time.sleep(min(max(every.total_seconds(), 0.1), timeout.total_seconds() - seconds + 0.01))


def _result(conditions: Sequence[Condition], values: dict[str, int | None], seconds: float) -> Page:
    """Return the conditions as they were understood: of "lag" that is "lag=0"."""
    held = list(map(str, conditions))
    data = {"conditions": held, **values, "seconds": round(seconds, 1)}
    return Page(data, [Fields({**data, "conditions": ", ".join(held)})], names=held)


def _shown(value: int | None) -> str:
    return "not known" if value is None else f"now {value:,}"


def _read(app: "App", names: set[str]) -> tuple[dict[str, int | None], str]:
    """Return the values of conditions, None where one is not known, and the reason for that."""
    app.lock_wait = LOCK_WAIT
    try:
        values = dict[str, int | None]()
        if MIGRATED in names:
            states = schema_migration.states(app.engine)
            values[MIGRATED] = sum(schema.state != MigrationState.CURRENT for schema in states)
        if names - {MIGRATED}:
            current = status.collect(app, is_exact=True)
            if current.failure is not None:
                raise current.failure
            values |= {name: _count(current, name) for name in COUNTS.keys() & names}
            if HEALTH in names:
                values[HEALTH] = None if _reasons(current, {HEALTH}) else len(current.problems)
            return values, " ".join(_reasons(current, names))
    except (errors.Unreachable, errors.Unavailable, errors.SchemaOutOfDate, errors.NothingRuns) as error:
        return {}, str(error)
    except DBAPIError as error:  # a table is locked, for example
        return {}, str(error.orig or error).strip().partition("\n")[0]
    return values, ""


def _count(current: "Status", name: str) -> int | None:
    """Return what a condition counts; None where a part of it is not known. Without Kafka there are no messages."""
    if any(key in current.unknown for key in COUNTS[name]):
        return None
    return sum(current.waiting[key] or 0 for key in COUNTS[name])


def _reasons(current: "Status", names: set[str]) -> list[str]:
    """Return why values of conditions are not known, each reason once."""
    keys = [key for name in KEYS if name in names for key in KEYS[name]]
    return list(dict.fromkeys(current.unknown[key] for key in keys if key in current.unknown))

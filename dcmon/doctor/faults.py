"""The faults that `dcmon doctor` knows. To add one, write a function with the decorator `fault`:

    @fault("redis-evicts", "Redis drops the counts of rate limits", Part.REDIS, Severity.LOW)
    def eviction(installation: Installation) -> Iterator[Fact]:
        ...
        yield Fact(sentence with true numbers, paths and names, command that can be typed)

Then add a section with its code to docs/doctor.md, and inject it in tests/integration/doctor.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from dcmon.doctor.installation import Installation
from dcmon.health.problem import ProblemName
from dcmon.severity import Severity


class Part(StrEnum):
    """The parts of an installation. Each is examined in its own thread, for a limited time."""

    SETTINGS = "settings"
    FILES = "files"
    ENDPOINT = "endpoint"
    REDIS = "redis"
    KAFKA = "kafka"
    POSTGRESQL = "postgresql"
    SCHEMAS = "schemas"
    HEALTH = "health"
    ORGANIZATIONS = "organizations"
    AUDIT = "audit"
    DOCTOR = "doctor"


# Parts that are examined one after the other, each if nothing that was found before makes it impossible.
NEED_DATABASE = ((Part.SCHEMAS,), (Part.HEALTH, Part.ORGANIZATIONS, Part.AUDIT))


class Fact(NamedTuple):
    """What an installation shows of a fault. `sentence`: true numbers, paths and names. `command`: what mends it.

    `organization`: whose; empty if it is not of one. `since`: None if it is not known. `severity`: None for that of
    the fault.
    """

    sentence: str
    command: str
    organization: str = ""
    since: datetime | None = None
    severity: Severity | None = None


Look = Callable[[Installation], Iterator[Fact]]


@dataclass(frozen=True)
class Fault:
    """Something that can be wrong. `look` yields a fact each time that it is; None: another look finds it, too."""

    code: str
    title: str
    part: Part
    severity: Severity
    look: Look | None = None


@dataclass(frozen=True)
class Finding:
    """A fault that an installation has."""

    fault: Fault
    fact: Fact

    @property
    def severity(self) -> Severity:
        return self.fact.severity or self.fault.severity

    @property
    def rank(self) -> tuple[int, str, str]:
        """Sort key: the most severe first."""
        return -self.severity.rank, self.fault.code, self.fact.sentence


FAULTS: dict[str, Fault] = {}


def fault(code: str, title: str, part: Part, severity: Severity) -> Callable[[Look], Look]:
    """Register a function that looks for a fault. Raises ValueError if the code is taken."""

    def register(look: Look) -> Look:
        add(Fault(code, title, part, severity, look))
        return look

    return register


def add(new: Fault) -> Fault:
    """Register a fault. Raises ValueError if the code is taken."""
    if new.code in FAULTS:
        raise ValueError(f"Two faults have the code {new.code}.")
    FAULTS[new.code] = new
    return new


# The problems of `dcmon status`, found by its own health checks; their severity is that of the problem.
PROBLEM_TITLES = {
    ProblemName.NO_LEADER: "No scheduler leads",
    ProblemName.NO_WORKER: "No worker of a kind runs",
    ProblemName.NO_ENDPOINT: "No endpoint takes samples",
    ProblemName.WORKER_HANGS: "A worker runs, and does no work",
    ProblemName.CRASHES: "Processes crash again and again",
    ProblemName.MISSED_RUN: "A job of the scheduler is overdue",
    ProblemName.EVALUATION_STUCK: "Windows wait, and nothing is evaluated",
    ProblemName.EVALUATION_BEHIND: "Evaluation is behind",
    ProblemName.RULES_FAIL: "A rule could not judge a result",
    ProblemName.NOTIFICATIONS_STUCK: "Notifications can't be delivered",
    ProblemName.NOTIFICATIONS_GIVEN_UP: "Notifications were given up",
    ProblemName.NO_KAFKA: "Kafka does not answer",
    ProblemName.INGESTION_BEHIND: "Messages in Kafka are not stored in time",
    ProblemName.PARKED: "Messages are parked",
    ProblemName.DEAD_LETTERS: "Messages could not be read",
    ProblemName.QUARANTINE_GROWS: "Rows are lost to the quarantine",
    ProblemName.SOURCE_LOSES_ROWS: "A watched source loses rows",
    ProblemName.SCHEMA_BEHIND: "A schema is behind this release",
    ProblemName.SCHEMA_AHEAD: "A schema is ahead of this release",
    ProblemName.LOCKED: "An organization is locked",
    ProblemName.POSTGRESQL_FULL: "PostgreSQL runs out of connections or locks",
    ProblemName.WRAPAROUND: "PostgreSQL must be frozen",
    ProblemName.LONG_TRANSACTION: "A transaction is open and idle",
    ProblemName.DISK_FULL: "The disk is nearly full",
    ProblemName.PING_FAILS: "The ping of the dead man's switch fails",
    ProblemName.PROCESS_STOPPED: "A process is stopped by a signal",
    ProblemName.RECEIVER_FAILS: "Messages to a receiver fail",
    ProblemName.RECEIVER_UNREACHABLE: "A receiver can't be reached",
    ProblemName.RECEIVER_PAUSED: "A receiver is paused without an end",
    ProblemName.ALERT_UNDELIVERED: "A critical alert reached no receiver",
    ProblemName.NO_REFERENCE: "Monitors have no reference",
    ProblemName.LABELS_MISSING: "Labels do not come",
    ProblemName.MONITOR_WITHOUT_VALUES: "A monitor never has a value",
    ProblemName.MONITOR_FAILS: "A monitor ends with an error",
    ProblemName.HEALTH_ORG_UNKNOWN: "DCMON_HEALTH__ORG names no organization",
    ProblemName.POSTGRESQL_HANGS: "PostgreSQL runs, and does not answer",
    ProblemName.POSTGRESQL_UNREACHABLE: "PostgreSQL can't be reached",
    ProblemName.POSTGRESQL_REFUSES: "PostgreSQL refuses the user or the password",
    ProblemName.TABLE_LOCKED: "A session has locked a table of dcmon",
    ProblemName.ORGANIZATION_UNREADABLE: "An organization can't be read",
}
# organization_faults looks for these, too: a worker may not have probed yet, and the doctor names every pause.
ALSO_LOOKED_FOR = (ProblemName.RECEIVER_UNREACHABLE, ProblemName.RECEIVER_PAUSED)
for name, title in PROBLEM_TITLES.items():
    if name not in ALSO_LOOKED_FOR:
        add(Fault(name.code, title, Part.HEALTH, Severity.HIGH))
PART_HANGS = add(Fault("part-hangs", "A part did not answer in time", Part.DOCTOR, Severity.HIGH))
LOOK_FAILED = add(Fault("look-failed", "dcmon doctor could not look at something", Part.DOCTOR, Severity.MEDIUM))

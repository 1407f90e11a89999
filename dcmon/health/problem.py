"""A problem of dcmon itself, and the names of all problems.

A problem has a sentence, a severity, its start, and the command to type next.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from dcmon.severity import Severity

# A path, not a name: dcmon is on no index yet, and the name may be that of another package (docs/install.md).
UPGRADE = "pip install ./dcmon-*.whl  # the wheel of the newer release: see dcmon docs install"


class ProblemName(StrEnum):
    """The names of the problems: `dcmon status`, notifications and silences use them."""

    NO_LEADER = "no leader"
    NO_WORKER = "no worker"
    NO_ENDPOINT = "no endpoint"
    WORKER_HANGS = "worker hangs"
    CRASHES = "crashes"
    MISSED_RUN = "missed scheduler run"
    EVALUATION_STUCK = "evaluation stuck"
    EVALUATION_BEHIND = "evaluation behind"
    RULES_FAIL = "rules fail"
    NOTIFICATIONS_STUCK = "notifications stuck"
    NOTIFICATIONS_GIVEN_UP = "notifications given up"
    NO_KAFKA = "no kafka"
    INGESTION_BEHIND = "ingestion behind"
    PARKED = "parked"
    DEAD_LETTERS = "dead letters"
    QUARANTINE_GROWS = "quarantine grows"
    SOURCE_LOSES_ROWS = "source loses rows"
    SCHEMA_BEHIND = "schema behind"
    LOCKED = "locked"
    POSTGRESQL_FULL = "postgresql full"
    WRAPAROUND = "wraparound"
    LONG_TRANSACTION = "long transaction"
    DISK_FULL = "disk full"
    PING_FAILS = "ping fails"
    PROCESS_STOPPED = "process stopped"
    RECEIVER_FAILS = "receiver fails"
    RECEIVER_UNREACHABLE = "receiver not reachable"
    RECEIVER_PAUSED = "receiver paused"
    ALERT_UNDELIVERED = "alert undelivered"
    NO_REFERENCE = "no reference"
    LABELS_MISSING = "labels missing"
    MONITOR_WITHOUT_VALUES = "monitor without values"
    MONITOR_FAILS = "monitor fails"
    HEALTH_ORG_UNKNOWN = "unknown health organization"
    POSTGRESQL_HANGS = "postgresql hangs"
    POSTGRESQL_UNREACHABLE = "postgresql unreachable"
    POSTGRESQL_REFUSES = "postgresql refuses"
    TABLE_LOCKED = "table locked"
    ORGANIZATION_UNREADABLE = "organization unreadable"
    SCHEMA_AHEAD = "schema ahead"

    @property
    def code(self) -> str:
        """The name as one word, as `dcmon doctor` and docs/doctor.md have it."""
        return self.value.replace(" ", "-")


NOT_OF_ORGANIZATIONS = {  # problems whose subject is no organization
    ProblemName.NO_WORKER, ProblemName.WORKER_HANGS, ProblemName.CRASHES, ProblemName.MISSED_RUN,
    ProblemName.INGESTION_BEHIND, ProblemName.POSTGRESQL_FULL, ProblemName.PROCESS_STOPPED,
}  # fmt: skip


class ProblemKey(NamedTuple):
    """What identifies a problem from one check to the next."""

    name: str
    subject: str


@dataclass(frozen=True)
class Problem:
    """Something that is wrong."""

    name: str  # a ProblemName, or a stored name of an earlier version
    severity: Severity
    sentence: str
    command: str
    since: datetime
    subject: str = ""

    @property
    def key(self) -> ProblemKey:
        """The name and the subject, which identify the problem from one check to the next."""
        return ProblemKey(self.name, self.subject)

    @property
    def code(self) -> str:
        """The name as one word: see ProblemName.code."""
        return self.name.replace(" ", "-")

    @property
    def organization(self) -> str:
        """The organization that the problem is of; empty if it is of none, or of many."""
        return "" if self.name in NOT_OF_ORGANIZATIONS else self.subject.partition("/")[0]

    @property
    def rank(self) -> tuple[int, datetime]:
        """Sort key: the most severe first, then the oldest."""
        return -self.severity.rank, self.since

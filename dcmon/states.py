"""States of results, alerts and notifications, and kinds of rows, models, receivers and processes.

The database stores these texts, and the interfaces show them.
"""

from enum import StrEnum


class TaskType(StrEnum):
    """What a model predicts: a number, one of two classes, or one of several classes."""

    REGRESSION = "regression"
    BINARY = "binary"
    MULTICLASS = "multiclass"


class DefaultOrigin(StrEnum):
    """Whose default monitor a monitor is."""

    SDK = "sdk"
    DCMON = "dcmon"


class DefaultSet(StrEnum):
    """Which default monitors and rules a model has: the SDK's and dcmon's own, the SDK's alone, or none."""

    ALL = "all"
    SDK = "sdk"
    NONE = "none"

    @property
    def has_sdk(self) -> bool:
        """True if the default monitors of the SDK belong to the set."""
        return self is not DefaultSet.NONE

    @property
    def has_own(self) -> bool:
        """True if dcmon's own default monitors belong to the set."""
        return self is DefaultSet.ALL

    def has(self, origin: DefaultOrigin) -> bool:
        """Return True if the default monitors of this origin belong to the set."""
        return self.has_own if origin is DefaultOrigin.DCMON else self.has_sdk


class ResultState(StrEnum):
    """The state of a monitor's result in one window. Only `OK` has values."""

    OK = "OK"
    INSUFFICIENT = "INSUFFICIENT"
    NO_DATA = "NO_DATA"
    ERROR = "ERROR"


class AlertState(StrEnum):
    """The state of a stored alert. A pending alert has violated windows, but not enough of them to fire."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class ResolvedBy(StrEnum):
    """Why an alert is resolved."""

    RECOVERY = "recovery"  # enough windows without a violation
    OPERATOR = "operator"  # a person resolved it
    REVISION = "revision"  # a revised result removed the violation: the alert is retracted
    RULE = "rule"  # its rule, or the monitor of its rule, was changed or deactivated
    DELETION = "deletion"  # its model, version, monitor or rule was deleted


class AlertChangeKind(StrEnum):
    """The kind of a line in an alert's history. Receivers are notified of those in `NotificationKind`."""

    PENDING = "pending"
    FIRING = "firing"
    ESCALATED = "escalated"  # fires with a higher severity
    DEESCALATED = "deescalated"  # fires with a lower severity
    RESOLVED = "resolved"
    REOPENED = "reopened"  # a revised result, or an operator, made a resolved alert fire again
    RETRACTED = "retracted"  # a revised result removed the violation
    CONFIRMED = "confirmed"  # a revised result of the alert's windows changed nothing
    ACKNOWLEDGED = "acknowledged"
    UNACKNOWLEDGED = "unacknowledged"


class NotificationKind(StrEnum):
    """The kind of a notification: the change of the alert, or REPEATED."""

    FIRING = AlertChangeKind.FIRING
    ESCALATED = AlertChangeKind.ESCALATED
    DEESCALATED = AlertChangeKind.DEESCALATED
    RESOLVED = AlertChangeKind.RESOLVED
    REOPENED = AlertChangeKind.REOPENED
    RETRACTED = AlertChangeKind.RETRACTED
    ACKNOWLEDGED = AlertChangeKind.ACKNOWLEDGED
    REPEATED = "repeated"  # the alert still fires and did not change


CLOSING_KINDS = (NotificationKind.RESOLVED, NotificationKind.RETRACTED)


class NotificationState(StrEnum):
    """The state of a notification in the outbox."""

    WAITING = "waiting"
    HELD = "held"  # a silence, a mute time or another alert holds it back
    DELIVERED = "delivered"
    DEAD = "dead"  # dcmon gave up after the last attempt
    SUPERSEDED = "superseded"  # a newer notification about the same alert replaced it


class RowKind(StrEnum):
    """The kind of rows that are logged. Samples belong to a version, labels to a model."""

    SAMPLES = "samples"
    LABELS = "labels"


class ReceiverKind(StrEnum):
    """The kind of a receiver: the service that gets the messages."""

    WEBHOOK = "webhook"
    PAGERDUTY = "pagerduty"
    SLACK = "slack"
    TEAMS = "teams"
    EMAIL = "email"
    COMMAND = "command"
    DEEPCHECKS = "deepchecks"


class HeldBy(StrEnum):
    """What lets notifications wait: an operator's silence, mute time or pause, or a more severe alert."""

    SILENCE = "silence"
    MUTE_TIME = "mute time"
    PAUSE = "paused receiver"
    ALERT = "more severe alert"


class ProcessKind(StrEnum):
    """The kind of a process of dcmon: the endpoint, or a worker by its job."""

    SERVE = "serve"
    INGEST = "ingest"
    EVALUATE = "evaluate"
    NOTIFY = "notify"
    SCHEDULER = "scheduler"


class LogLevel(StrEnum):
    """The level of a line, the least important first."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """The position in the order of importance."""
        return list(LogLevel).index(self)

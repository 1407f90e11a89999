"""Add, change, test and delete receivers."""

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from dcmon import durations, privileges
from dcmon.alerting import alert_payload
from dcmon.commands.shared.arguments import of_option
from dcmon.commands.shared.dry_run_output import would
from dcmon.commands.shared.several import Deletion
from dcmon.commands.views import receiver as view
from dcmon.commands.views.receiver import StoredReceiver
from dcmon.db import work_queue
from dcmon.formatting import count_of
from dcmon.health import problem_notifications, problems
from dcmon.health.process_heartbeats import HOSTNAME
from dcmon.nearest import meant
from dcmon.notifications import attempt, catch_up, receiver_tests, receivers
from dcmon.notifications.integrations import registry
from dcmon.notifications.integrations.base import Address, DeliverySettings
from dcmon.notifications.notification_writer import AlertRenderer
from dcmon.notifications.receiver_tests import ReceiverTestOutcome

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.app import App
    from dcmon.db import Organization

NONE = "none"


@dataclass(frozen=True)
class TypedAddress:
    """The address of a receiver as typed; None and empty values were not given."""

    target: list[str] | None
    headers: list[str] | None
    key: str | None
    group: str | None
    class_: str | None

    def is_given(self) -> bool:
        """Return True if any part of the address was typed."""
        return any((self.target, self.headers, self.key, self.group, self.class_))

    def to_address(self, kind: str) -> Address:
        """Parse the address; ask for the key if it is "-". Raises BadParameter."""
        key = _ask_for_key() if self.key == "-" else self.key
        choices = {name: value for name, value in (("group", self.group), ("class", self.class_)) if value is not None}
        return Address(kind, self.target or [], _parse_headers(self.headers), key.strip() if key else None, choices)


@dataclass(frozen=True)
class TypedSubscription:
    """The subscription of a receiver as typed; None and empty values were not given."""

    severities: list[str] | None
    models: list[str] | None
    cap: str | None
    repeat: str | None

    def to_subscription(self) -> receivers.Subscription:
        """Return the subscription of a new receiver. Raises BadParameter or InvalidInput."""
        limits = _parse_limits(self.cap, self.repeat)
        return replace(receivers.Subscription(self.severities or None, self.models or None), **limits)

    def changes(self) -> dict[str, Any]:
        """Return the fields of the subscription that change. Raises BadParameter or InvalidInput."""
        fields = _parse_limits(self.cap, self.repeat)
        if self.severities:
            fields["severities"] = self.severities
        if self.models:
            fields["models"] = None if self.models == ["all"] else self.models
        return fields


def _parse_limits(cap: str | None, repeat: str | None) -> dict[str, Any]:
    """Parse --cap and --repeat into the fields that were given. Raises BadParameter or InvalidInput."""
    limits: dict[str, Any] = {}
    if cap is not None:
        if cap != NONE and not (cap.isascii() and cap.isdigit()):
            raise typer.BadParameter(
                f"{cap!r} is neither a number of messages a minute nor none.{meant(cap, [NONE])}", param_hint="--cap"
            )
        limits["cap"] = None if cap == NONE else int(cap)
    if repeat is not None:
        limits["repeat_every"] = None if repeat == NONE else of_option("--repeat", _parse_repeat, repeat)
    return limits


def _parse_repeat(text: str) -> timedelta:
    return durations.parse(text, "30m, 4h, 24h or none")


def add(
    app: "App", name: str, address: Address, subscription: receivers.Subscription, *, is_notified: bool
) -> StoredReceiver:
    """Add a receiver and, if `is_notified`, write notifications of the alerts that fire already."""
    org = app.organization()
    with app.org(org) as session:
        receiver, secret = receivers.add(session, name, address, app.settings.webhooks, subscription)
        notified = _notify(app, session, org, receiver) if is_notified else 0
        added = StoredReceiver(view.row(session, receiver), notified, secret)
    app.enqueue(org, work_queue.Work.notify)  # also without notifications: a worker probes the address
    return added


def change(
    app: "App", name: str, typed: TypedAddress, wanted: TypedSubscription, *, is_notified: bool
) -> StoredReceiver:
    """Change a receiver.

    If `is_notified`, write notifications of firing alerts that it did not want before. Raises ReceiverNotFound,
    BadParameter or InvalidInput.
    """
    org = app.organization()
    with app.org(org) as session:
        receiver = receivers.find(session, name, is_locked=True)
        pending = catch_up.pending_alerts(session, org, receiver)
        if typed.is_given():
            receivers.set_address(receiver, typed.to_address(receiver.kind), app.settings.webhooks)
        subscription = replace(receivers.subscription(session, receiver), **wanted.changes())
        receivers.set_subscription(session, receiver, subscription)
        session.flush()
        wants_others = bool(wanted.severities or wanted.models)
        notified = _notify(app, session, org, receiver, pending) if wants_others and is_notified else 0
        changed = StoredReceiver(view.row(session, receiver), notified)
    app.enqueue(org, work_queue.Work.notify)
    return changed


def find(app: "App", name: str) -> str:
    """Check that there is a receiver, and return its name. Raises ReceiverNotFound."""
    with app.org() as session:
        return receivers.find(session, name).name


def rename(app: "App", name: str, new_name: str) -> dict[str, Any]:
    """Rename a receiver; its secrets and notifications stay. Raises ReceiverNotFound, InvalidInput or Conflict."""
    with app.org() as session:
        receivers.rename(session, receivers.find(session, name, is_locked=True), new_name)
    return {"name": new_name, "old_name": name}


def rotate_secret(app: "App", name: str) -> dict[str, Any]:
    """Give a webhook a new signing secret. Raises ReceiverNotFound or InvalidInput."""
    with app.org() as session:
        receiver = receivers.find(session, name, is_locked=True)
        secret = receivers.rotate_secret(session, receiver)
        return {"name": name, "secret": secret, "old_secret_until": receiver.old_secret_until}


class SentTest(NamedTuple):
    """A row on a test message, and the exit code: 0 if it was delivered or only tried, 1 if refused, 7 unreachable."""

    row: dict[str, Any]
    exit_code: int = 0


def send_test(app: "App", name: str, longest: timedelta, *, is_here: bool, dry_run: bool) -> SentTest:
    """Let a notify worker send a test message, or send it from this process; with `dry_run` say where it would go.

    Raises ReceiverNotFound, NoNotifyWorker or TestUnfinished.
    """
    org = app.organization()
    if dry_run:
        with app.org(org) as session:
            row = view.row(session, receivers.find(session, name))
        would(app.output, f"send a test message to {name!r}")
        return SentTest({key: row[key] for key in ("name", "kind", "to", "state")})
    if is_here:
        sent = _send_test_here(app, org, name)
    else:
        health = app.settings.health.heartbeat_timeout
        sent = receiver_tests.run(app.engine, org, lambda session: receivers.find(session, name), health, longest)
    exit_code = 0 if sent.is_delivered else 1 if attempt.is_refusal(sent.status, sent.error) else 7
    return SentTest(view.tested(name, sent), exit_code)


@dataclass
class SentTests:
    """Test messages to receivers, one after the other, and the exit code for all that were sent."""

    app: "App"
    longest: timedelta
    is_here: bool
    is_dry_run: bool
    codes: list[int] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Return the code that all messages have; 8 if some have another one."""
        return 8 if len(set(self.codes)) > 1 else max(self.codes, default=0)

    def send(self, name: str) -> dict[str, Any]:
        """Send a message, and return the row of it. Raises ReceiverNotFound, NoNotifyWorker or TestUnfinished."""
        sent = send_test(self.app, name, self.longest, is_here=self.is_here, dry_run=self.is_dry_run)
        self.codes.append(sent.exit_code)
        return sent.row


def _send_test_here(app: "App", org: "Organization", name: str) -> ReceiverTestOutcome:
    with app.org(org) as session:
        now = receivers.database_time(session)
        target = receivers.delivery_target(receivers.find(session, name), now)
    user = privileges.account(app.settings.run_as)  # a command runs as the user that the worker has
    settings = DeliverySettings(app.settings.webhooks, app.settings.smtp, user)
    sent = registry.send(target, receiver_tests.test_message(org, name, now), settings)
    return ReceiverTestOutcome(sent.is_delivered, sent.status, sent.seconds, sent.error, HOSTNAME, os.getpid())


def deletion(app: "App", name: str) -> Deletion:
    """Find a receiver and count the notifications that are deleted with it. Raises ReceiverNotFound."""
    with app.org() as session:
        receiver = receivers.find(session, name)
        counts = receivers.delivery_counts(session).get(receiver.id, receivers.DeliveryCounts())
    loss = f"receiver {name!r} with {count_of(counts.waiting, 'notification')} waiting for it"
    row = {"deleted": name, "waiting": counts.waiting, "dead": counts.dead}
    return Deletion(name, row, loss, partial(_delete, app, name), asks=bool(counts.waiting))


def _delete(app: "App", name: str) -> None:
    """Delete a receiver with its messages. Raises ReceiverNotFound."""
    with app.org() as session:
        receivers.delete(session, receivers.find(session, name))


def _notify(app: "App", session: "Session", org: "Organization", receiver: Any, excluding: Collection[int] = ()) -> int:
    """Write notifications of firing alerts and, for the organization that watches dcmon, of dcmon's problems.

    Returns the number of notifications.
    """
    renderer = AlertRenderer(org, app.settings.url, alert_payload.describe)
    notified = catch_up.notify(session, renderer, receiver, excluding=excluding)
    with app.public() as public:
        return notified + notify_of_problems(app, session, public, org, receiver)


def notify_of_problems(app: "App", session: "Session", public: "Session", org: "Organization", receiver: Any) -> int:
    """Write notifications of dcmon's problems, if the organization is the one that watches dcmon; return how many."""
    if org.name != app.settings.health.org:
        return 0
    now = receivers.database_time(session)
    return problem_notifications.write_for_receiver(session, org, receiver, problems.notified(public), now)


def _enqueue_notifications(app: "App", org: "Organization", notified: int) -> None:
    """Enqueue work for the notifier when notifications were written. After the commit."""
    if notified:
        app.enqueue(org, work_queue.Work.notify)


def _ask_for_key() -> str:
    """Ask for the integration key on a terminal, else read a line of stdin."""
    if sys.stdin.isatty():
        return str(typer.prompt("Integration key", hide_input=True, err=True))
    return typer.get_text_stream("stdin").readline()


def _parse_headers(options: list[str] | None) -> dict[str, str]:
    headers = {}
    for option in options or ():
        name, colon, value = option.partition(":")
        if not colon or not name.strip() or not value.strip():
            raise typer.BadParameter(f'{option!r} is not a header like "X-Token: abc".', param_hint="--header")
        headers[name.strip()] = value.strip()
    return headers

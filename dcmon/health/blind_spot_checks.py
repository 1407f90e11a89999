"""Health checks of what is not seen or not heard: receivers that fail, undelivered alerts, monitors without a value."""

import re
from collections.abc import Iterator

from dcmon import durations
from dcmon.formatting import command_prefix, count_of, format_moment, shell_argument
from dcmon.health.problem import Problem, ProblemName
from dcmon.health.snapshot import (
    FailedDelivery,
    FailingReceiver,
    HealthSnapshot,
    MissingLabels,
    MonitorsOfVersion,
    OrganizationHealth,
    PausedReceiver,
    UnreachableReceiver,
)
from dcmon.notifications import attempt
from dcmon.output import shortened
from dcmon.settings import Health
from dcmon.severity import Severity
from dcmon.states import HeldBy, ReceiverKind

# What a person types for the address of a receiver, by its kind.
ADDRESSES = {ReceiverKind.EMAIL: "ADDRESS", ReceiverKind.COMMAND: "-- PROGRAM", ReceiverKind.PAGERDUTY: "--key -"}
ALLOW = "DCMON_WEBHOOKS__ALLOW"  # what each refusal of the egress guard names, and what a person changes then
SMTP_HOST, SMTP_USER = "DCMON_SMTP__HOST", "DCMON_SMTP__USERNAME"
LOGIN_REFUSED = re.compile(r"^The mail server: 53\d ")  # it is about the login, not about the receiver's address
MAX_REASON_LENGTH = 200  # characters of what a receiver answered, or of a result's reason


def check_receivers(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    """Find receivers that refuse messages until a person changes something: told at once, as time does not mend it.

    Those that fail in another way are found after some attempts.
    """
    for org in snapshot.organizations:
        paused = {receiver.name for receiver in org.paused_receivers}
        for receiver in org.failing_receivers:
            if receiver.is_failing:
                subject, sentence = f"{org.name}/{receiver.name}", _receiver_sentence(org, receiver)
                command = show_command(org.name, receiver.name)
                if receiver.is_permanent:
                    command = receiver_command(org.name, receiver.name, receiver.kind, receiver.error)
                if receiver.name in paused:
                    command += f" && {resume_command(org.name, receiver.name)}"
                yield Problem(ProblemName.RECEIVER_FAILS, Severity.HIGH, sentence, command, receiver.since, subject)


def check_pauses(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    """Find receivers that are paused without an end, and that miss something: they may be forgotten."""
    for org in snapshot.organizations:
        # Those that refuse messages are a problem already, which says how to resume them.
        refusing = {receiver.name for receiver in org.failing_receivers if receiver.is_failing}
        held = {entry.name: entry.count for entry in org.held_notifications if entry.by == HeldBy.PAUSE}
        for receiver in org.paused_receivers:
            waiting = held.get(receiver.name, 0)
            if receiver.name not in refusing and (receiver.is_critical or waiting):
                sentence = _pause_sentence(org, receiver, waiting)
                severity = Severity.HIGH if receiver.is_last else Severity.MEDIUM
                command, subject = resume_command(org.name, receiver.name), f"{org.name}/{receiver.name}"
                yield Problem(ProblemName.RECEIVER_PAUSED, severity, sentence, command, receiver.since, subject)


def _pause_sentence(org: OrganizationHealth, receiver: PausedReceiver, waiting: int) -> str:
    wait = "waits" if waiting == 1 else "wait"
    facts = [f", and {count_of(waiting, 'notification')} {wait} for it"] if waiting else []
    facts += [", and no other receiver gets critical alerts now"] if receiver.is_last else []
    reason = f": {shortened(receiver.reason.rstrip('.'), MAX_REASON_LENGTH)}" if receiver.reason else ""
    return f"Receiver {receiver.name} of {org.name} is paused without an end{''.join(facts)}{reason}."


def resume_command(org: str, receiver: str) -> str:
    """Return the command that ends the pause of a receiver."""
    return f"{command_prefix(org)} receiver resume {shell_argument(receiver)}"


def _receiver_sentence(org: OrganizationHealth, receiver: FailingReceiver) -> str:
    waiting = count_of(receiver.waiting, "notification")
    wait = "waits" if receiver.waiting == 1 else "wait"
    reason = shortened(receiver.error.rstrip("."), MAX_REASON_LENGTH)
    if not receiver.is_permanent:
        fact = f"failed {receiver.failures} times one after the other"
    else:
        is_refusal = attempt.is_refusal(receiver.status, receiver.error)
        fact = "refuses messages" if is_refusal else "can't be reached"
    return f"Receiver {receiver.name} of {org.name} {fact}, and {waiting} {wait} for it: {reason}."


def show_command(org: str, receiver: str) -> str:
    """Return the commands that show where a receiver is, and what fails there: that is mended on its side."""
    dcmon, name = command_prefix(org), shell_argument(receiver)
    return f"{dcmon} receiver show {name} && {dcmon} receiver test {name}"


def check_reachability(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    """Find receivers that can't be reached, before a message has to.

    One failed probe may be a moment of the network, of DNS or of a restart; the allow-list does not change by itself.
    """
    for org in snapshot.organizations:
        refusing = {receiver.name for receiver in org.failing_receivers if receiver.is_failing}
        for receiver in org.unreachable_receivers:
            is_sure = receiver.failures > 1 or ALLOW in receiver.error
            if is_sure and receiver.name not in refusing:
                is_worst = receiver.is_last and receiver.contacted_at is None
                severity = Severity.CRITICAL if is_worst else Severity.HIGH
                sentence, subject = _unreachable_sentence(org, receiver), f"{org.name}/{receiver.name}"
                command = receiver_command(org.name, receiver.name, receiver.kind, receiver.error)
                yield Problem(
                    ProblemName.RECEIVER_UNREACHABLE, severity, sentence, command, receiver.since, subject
                )  # fmt: skip


def _unreachable_sentence(org: OrganizationHealth, receiver: UnreachableReceiver) -> str:
    reason = shortened(receiver.error.rstrip("."), MAX_REASON_LENGTH)
    at = receiver.contacted_at
    contact = "was never reached" if at is None else f"was reached last {format_moment(at)}"
    last = ", and no other receiver that can be reached gets critical alerts" if receiver.is_last else ""
    return f"Receiver {receiver.name} of {org.name} can't be reached: {reason}. It {contact}{last}."


def receiver_command(org: str, name: str, kind: str, error: str) -> str:
    """Return the commands that change what a receiver's error is about, which a person knows, and then prove it."""
    receiver, dcmon = shell_argument(name), command_prefix(org)
    address = ADDRESSES.get(ReceiverKind(kind), "URL")
    change = f"{dcmon} receiver set {receiver} {address}"
    if ALLOW in error:
        change = f"dcmon config show {ALLOW} --origin"
    elif kind == ReceiverKind.EMAIL and LOGIN_REFUSED.search(error):
        change = f"dcmon config show {SMTP_USER} --origin"
    elif kind == ReceiverKind.EMAIL and not attempt.is_refusal(None, error):  # the mail server was not reached
        change = f"dcmon config show {SMTP_HOST} --origin"
    return f"{change} && {dcmon} receiver test {receiver}"


def check_undelivered_alerts(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    """Find critical alerts of which no receiver has got a notification."""
    for org in snapshot.organizations:
        undelivered = org.undelivered_alerts
        if not undelivered.count or undelivered.oldest_at is None:
            continue
        fire = "fires" if undelivered.count == 1 else "fire"
        fact = f"{count_of(undelivered.count, 'critical alert')} of {org.name} {fire}"
        if org.has_receiver:
            of = "it" if undelivered.count == 1 else "them"
            failed = "; ".join(_failed_delivery(delivery) for delivery in org.undelivered_because)
            reasons = f": {failed}" if failed else ""
            sentence = f"{fact}, and no receiver has got a notification of {of}{reasons}."
            severity, command = Severity.CRITICAL, f"dcmon notification list --org {shell_argument(org.name)}"
            if org.undelivered_because:
                command = show_command(org.name, org.undelivered_because[0].name)
        else:
            sentence, severity = f"{fact}, and no receiver gets critical alerts: create one.", Severity.HIGH
            command = f"{command_prefix(org.name)} receiver create NAME URL --severity critical"
        yield Problem(ProblemName.ALERT_UNDELIVERED, severity, sentence, command, undelivered.oldest_at, org.name)


def _failed_delivery(delivery: FailedDelivery) -> str:
    return f"{delivery.name} ({shortened(delivery.error.rstrip('.'), MAX_REASON_LENGTH)})"


def check_labels(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    """Find rows whose labels should have come: monitors that need them say nothing of these rows."""
    for org in snapshot.organizations:
        for missing in org.missing_labels:
            command = f"{command_prefix(org.name)} ingest file FILE --labels --model {shell_argument(missing.model)}"
            subject, since = f"{org.name}/{missing.model}/{missing.version}", missing.since + missing.wait
            sentence = _labels_sentence(org, missing)
            yield Problem(ProblemName.LABELS_MISSING, Severity.MEDIUM, sentence, command, since, subject)


def _labels_sentence(org: OrganizationHealth, missing: MissingLabels) -> str:
    have = "has" if missing.count == 1 else "have"
    until, arrived = missing.labelled_until, missing.arrived_at
    last = "no row of it ever had one" if until is None else f"the newest row with one is of {format_moment(until)}"
    came = "" if arrived is None else f", and labels of {missing.model} came last {format_moment(arrived)}"
    return (
        f"{count_of(missing.count, 'row')} of {missing.model} {missing.version} in {org.name}, logged since"
        f" {format_moment(missing.since)}, {have} no label after {durations.to_text(missing.wait)}, and monitors need"
        f" labels: {last}{came}. If labels take longer, give the model a longer --label-delay."
    )


def check_monitors(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    """Find monitors that say nothing: without a reference, without any value, or with an ERROR."""
    for org in snapshot.organizations:
        for monitors in org.unreferenced:
            yield _without_reference(org, monitors)
        for monitors in org.valueless:
            has = "has" if monitors.count == 1 else "have"
            sentence = f"{_monitors(org, monitors)} {has} no value in any window{_reason(monitors)}."
            yield _problem(ProblemName.MONITOR_WITHOUT_VALUES, Severity.LOW, sentence, org, monitors)
        for monitors in org.failing_monitors:
            end = "ends" if monitors.count == 1 else "end"
            sentence = f"{_monitors(org, monitors)} {end} with an error{_reason(monitors)}."
            yield _problem(ProblemName.MONITOR_FAILS, Severity.MEDIUM, sentence, org, monitors)


def _without_reference(org: OrganizationHealth, monitors: MonitorsOfVersion) -> Problem:
    compare = "compares" if monitors.count == 1 else "compare"
    sentence = f"{_monitors(org, monitors)} {compare} with a reference, and the version has none: no value is computed."
    command = (
        f"dcmon reference load FILE --org {shell_argument(org.name)}"
        f" --model {shell_argument(monitors.model)} --version {shell_argument(monitors.version)}"
    )
    subject = f"{org.name}/{monitors.model}/{monitors.version}"
    return Problem(ProblemName.NO_REFERENCE, Severity.LOW, sentence, command, monitors.since, subject)


def _problem(
    name: ProblemName, severity: Severity, sentence: str, org: OrganizationHealth, monitors: MonitorsOfVersion
) -> Problem:
    command = (
        f"dcmon monitor history {shell_argument(f'{monitors.model}/{monitors.monitor}')}"
        f" --org {shell_argument(org.name)}"
    )
    subject = f"{org.name}/{monitors.model}/{monitors.version}"
    return Problem(name, severity, sentence, command, monitors.since, subject)


def _monitors(org: OrganizationHealth, monitors: MonitorsOfVersion) -> str:
    what = f"Monitor {monitors.monitor}" if monitors.count == 1 else f"{monitors.count:,} monitors"
    return f"{what} of {monitors.model} {monitors.version} in {org.name}"


def _reason(monitors: MonitorsOfVersion) -> str:
    """Return why the first of these monitors says nothing; the others may have other reasons."""
    if not monitors.reason:
        return ""
    example = f", {monitors.monitor} for example" if monitors.count > 1 else ""
    return f"{example}: {shortened(monitors.reason.rstrip('.'), MAX_REASON_LENGTH)}"

"""Health checks of what is not seen or not heard: receivers that fail, undelivered alerts, monitors without a value."""

from collections.abc import Iterator

from dcmon.formatting import count_of, shell_argument
from dcmon.health.problem import Problem, ProblemName
from dcmon.health.snapshot import FailingReceiver, HealthSnapshot, MonitorsOfVersion, OrganizationHealth
from dcmon.output import shortened
from dcmon.settings import Health
from dcmon.severity import Severity

MAX_REASON_LENGTH = 200  # characters of what a receiver answered, or of a result's reason


def check_receivers(snapshot: HealthSnapshot, limits: Health) -> Iterator[Problem]:
    """Find receivers that refuse messages until a person changes something: told at once, as time does not mend it."""
    for org in snapshot.organizations:
        for receiver in org.failing_receivers:
            if receiver.is_permanent:
                subject = f"{org.name}/{receiver.name}"
                sentence, command = _receiver_sentence(org, receiver), _receiver_command(org, receiver)
                yield Problem(ProblemName.RECEIVER_FAILS, Severity.HIGH, sentence, command, receiver.since, subject)


def _receiver_sentence(org: OrganizationHealth, receiver: FailingReceiver) -> str:
    waiting = count_of(receiver.waiting, "notification")
    wait = "waits" if receiver.waiting == 1 else "wait"
    reason = shortened(receiver.error.rstrip("."), MAX_REASON_LENGTH)
    return f"Receiver {receiver.name} of {org.name} can't be reached, and {waiting} {wait} for it: {reason}."


def _receiver_command(org: OrganizationHealth, receiver: FailingReceiver) -> str:
    return f"dcmon receiver test {shell_argument(receiver.name)} --org {shell_argument(org.name)}"


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
            sentence, severity = f"{fact}, and no receiver has got a notification of {of}.", Severity.CRITICAL
            command = f"dcmon notification list --org {shell_argument(org.name)}"
        else:
            sentence, severity = f"{fact}, and no receiver gets critical alerts: create one.", Severity.HIGH
            command = f"dcmon receiver create --help --org {shell_argument(org.name)}"
        yield Problem(ProblemName.ALERT_UNDELIVERED, severity, sentence, command, undelivered.oldest_at, org.name)


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
        f"dcmon reference load reference.csv --org {shell_argument(org.name)}"
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

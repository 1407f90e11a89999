"""The status of dcmon: its parts, processes, backlogs and problems."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dcmon import db, errors, redis_scripts
from dcmon.embedded import process, supervisor_state
from dcmon.embedded.supervisor_state import SupervisorState
from dcmon.formatting import shell_argument, some_of
from dcmon.health import current_health, local_problems, process_checks, running_settings, table_locks
from dcmon.health.organization_healths import QUICK_LOOK, Look
from dcmon.health.problem import Problem, ProblemName
from dcmon.health.running_settings import SettingsDifference
from dcmon.health.scheduler_runs import ScheduledJobName
from dcmon.health.snapshot import HealthSnapshot, OrganizationHealth, ProcessHeartbeat
from dcmon.settings import Settings
from dcmon.severity import Severity
from dcmon.states import HeldBy
from dcmon.tenancy import failed_login_counts, missing_roles

PROBLEMS_OF_MISSING_PARTS = (ProblemName.NO_LEADER, ProblemName.NO_WORKER, ProblemName.NO_ENDPOINT)
ALL_WELL, HAS_PROBLEMS, NOTHING_RUNS, PART_DOWN = 0, 1, 7, 8  # exit codes


class PartState(StrEnum):
    """The state of a part. A child of `dcmon up` may have other states, which its supervisor sets."""

    RUNNING = "running"
    ANSWERS = "answers"
    DOES_NOT_ANSWER = "does not answer"
    LEADS = "leads"
    MISSING = "is missing"
    ANOTHER_REVISION = "has another revision"
    STOPPED = "stopped"
    ENDED = "ended"


class ProcessState(StrEnum):
    """The state of a process by its heartbeats and, on this machine, its pid.

    HANGS: it sends heartbeats, but its loop does not poll. STOPPED: by a signal.
    """

    WORKS = "works"
    HANGS = "hangs"
    GONE = "gone"
    STOPPED = "stopped"


HOLDERS = {  # the commands that show what holds notifications back
    HeldBy.SILENCE: "silence show {}",
    HeldBy.MUTE_TIME: "mute show {}",
    HeldBy.PAUSE: "receiver show {}",
    HeldBy.ALERT: "notification list --state held",
}
FEW_REASONS = 3  # why numbers are not known: there may be one for each of thousands of organizations
GOOD_STATES = (PartState.RUNNING, PartState.ANSWERS, PartState.LEADS)


@dataclass(frozen=True)
class Status:
    """Everything that `dcmon status` shows. `failure`: why the database can't be read; then it has only `parts`.

    `unknown`: why a number of `waiting` is not known, or is not that of all organizations. `difference`: between the
    settings of the processes on this machine and those of this one; no problem of dcmon, but maybe why one lasts.
    """

    parts: Sequence[Mapping[str, Any]]
    workers: Sequence[Mapping[str, Any]]
    waiting: Mapping[str, Any]
    problems: Sequence[Problem]
    now: datetime
    is_running: bool = True
    failure: errors.DcmonError | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)
    difference: SettingsDifference | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of `dcmon status`.

        0: all is well; 1: there is a problem, or some are not known; 3: the database answers, and can't be read: a
        table is locked, or its schema has another revision; 4: it refuses the password; 7: nothing runs, or it is
        unreachable; 8: a part is down.
        """
        if self.failure is not None:
            return self.failure.exit_code
        if not self.is_running:
            return NOTHING_RUNS
        if any(part["state"] not in GOOD_STATES for part in self.parts):
            return PART_DOWN
        return HAS_PROBLEMS if self.problems or "problems" in self.unknown else ALL_WELL


class _TenancyCounts(NamedTuple):
    """Organizations without a role of their own in PostgreSQL, and the failed log-ins of the last day.

    The endpoint stores failed log-ins once a minute.
    """

    without_role: int
    failed_logins: int


def collect(
    engine: Engine, settings: Settings, local: SupervisorState | None, look: Look = QUICK_LOOK, *,
    only: str | None = None,
) -> Status:  # fmt: skip
    """Collect the status now; `local`: what `dcmon up` runs on this machine, `look`: how thoroughly it is looked.

    `only`: the organization that it is limited to, beside dcmon itself. Does not raise when the database can't be
    reached: the failure is part of the status. Raises OrganizationNotFound.
    """
    try:
        snapshot, current_problems, _ = current_health.collect(engine, settings, look, only=only)
        tenancy = _read_tenancy(engine)
    except errors.OrganizationNotFound:
        raise
    except errors.DcmonError as error:
        return _without_snapshot(engine, settings, local, error)
    except DBAPIError as error:
        locks = table_locks.find(engine, settings)
        failure = errors.Unavailable(locks[0].sentence) if locks else _as_unavailable(error)
        without = _without_snapshot(engine, settings, local, failure)
        return replace(without, problems=[*locks, *without.problems])
    database = _dependency("database", True, _database_url(engine) + _missing_roles(tenancy.without_role))
    return Status(
        with_missing_parts(
            [
                *_local_processes(local),
                *_endpoint(settings, local),
                database,
                *_servers(settings, snapshot),
            ],
            current_problems,
        ),
        _processes(snapshot, settings),
        {**_waiting(snapshot), "failed_logins": tenancy.failed_logins},
        current_problems,
        snapshot.now,
        local is not None or bool(snapshot.alive(None, settings.health)),
        unknown=unknown(snapshot),
        difference=running_settings.compare(settings, local),
    )


def _without_snapshot(
    engine: Engine, settings: Settings, local: SupervisorState | None, error: errors.DcmonError
) -> Status:
    """Return what is known when the database can't be read: it may answer, and its schema be another one.

    The problems are those that this machine shows without the database.
    """
    url, parts = _database_url(engine), _local_processes(local)
    if isinstance(error, errors.SchemaOutOfDate | errors.SchemaTooNew):
        parts += [_dependency("database", True, url), {"name": "schema", "state": PartState.ANOTHER_REVISION}]
    elif type(error) is errors.Unavailable:  # PostgreSQL said why, for example that a table is locked
        parts.append(_dependency("database", True, url))
    else:
        parts.append(_dependency("database", False, url))
    problems, difference = local_problems.find(settings, local, error), running_settings.compare(settings, local)
    return Status(parts, [], {}, problems, datetime.now(UTC), failure=error, difference=difference)


def _as_unavailable(error: DBAPIError) -> errors.Unavailable:
    """Return the error for a PostgreSQL that answers, but not with the status: for example, a table is locked."""
    reason = str(error.orig).splitlines()[0]
    return errors.Unavailable(f'PostgreSQL can\'t tell the status: {reason}. Type "dcmon doctor".')


def _database_url(engine: Engine) -> str:
    return f"postgresql://{engine.url.host or ''}:{engine.url.port or 5432}/{engine.url.database or ''}"


def _local_processes(local: SupervisorState | None) -> list[dict[str, Any]]:
    if local is None:
        return []
    supervising = {"name": "supervisor", "state": PartState.RUNNING, "pid": local.pid, "since": local.started_at}
    children = ({**child, "since": str(child["since"]).replace(" ", "T")} for child in local.children)
    listed = [supervising, *({**child, "detail": _restarts(child)} for child in children)]
    return [{**part, "state": _state_now(part)} for part in listed]


def _state_now(part: Mapping[str, Any]) -> str:
    """Return the state of a part of this machine: a pid may have ended since the supervisor wrote it down."""
    if part["state"] != PartState.RUNNING:
        return str(part["state"])
    if not process.is_alive(part["pid"]):
        return PartState.ENDED
    return PartState.STOPPED if process.is_stopped(part["pid"]) else PartState.RUNNING


def _restarts(child: Mapping[str, Any]) -> str | None:
    if not child["restarts"]:
        return None
    times = "once" if child["restarts"] == 1 else f"{child['restarts']} times"
    return f"restarted {times}, the last time after {child['last_exit']}: dcmon logs {child['name']}"


def _read_tenancy(engine: Engine) -> _TenancyCounts:
    with db.public_session(engine) as session:
        return _TenancyCounts(missing_roles.count(session), failed_login_counts.last_day(session))


def _endpoint(settings: Settings, local: SupervisorState | None) -> list[dict[str, Any]]:
    if local is None:
        return []
    # Where this supervisor's endpoint listens, which the settings of this process need not say.
    is_up = supervisor_state.is_endpoint_up(local.probe_url or supervisor_state.probe_url(settings))
    return [_dependency("endpoint", is_up, local.url)]


def _servers(settings: Settings, snapshot: HealthSnapshot) -> list[dict[str, Any]]:
    """Return the servers of the settings beside the database, up or down, and the scheduler that leads."""
    rows = []
    if snapshot.is_kafka_up is not None:
        rows.append(_dependency("kafka", snapshot.is_kafka_up, str(settings.kafka.bootstrap_servers)))
    if settings.redis_url is not None:
        has_redis = redis_scripts.is_up(settings.redis_url.get_secret_value())
        rows.append(_dependency("redis", has_redis, "optional: dcmon works without it"))
    lead = snapshot.runs.get(ScheduledJobName.LEAD)
    if snapshot.has_leader:
        since, leader = (lead.started_at, lead.message) if lead is not None else (None, None)
        rows.append({"name": "leader", "state": PartState.LEADS, "since": since, "detail": leader})
    return rows


def _missing_roles(number: int) -> str:
    """Say how many organizations have no role of their own in PostgreSQL; empty if all have one."""
    return f'; {number} organizations without a role of their own: see "dcmon migrate roles"' if number else ""


def _dependency(name: str, is_up: bool, detail: str) -> dict[str, Any]:
    return {"name": name, "state": PartState.ANSWERS if is_up else PartState.DOES_NOT_ANSWER, "detail": detail}


def with_missing_parts(parts: Sequence[dict[str, Any]], current_problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Return the parts with those that do not run on any machine, each part once.

    A part that this machine knows to be stopped or ended keeps that state: it says more.
    """
    missing = [problem for problem in current_problems if problem.name in PROBLEMS_OF_MISSING_PARTS]
    names = {problem.subject or problem.name.removeprefix("no ") for problem in missing}
    known = [
        {**part, "state": PartState.MISSING} if part["name"] in names and part["state"] in GOOD_STATES else part
        for part in parts
    ]
    unknown = sorted(names - {part["name"] for part in parts})
    return [*known, *({"name": name, "state": PartState.MISSING} for name in unknown)]


def _processes(snapshot: HealthSnapshot, settings: Settings) -> list[dict[str, Any]]:
    """Return every live process, and those that were lost within the last hour.

    A process is lost when it did not stop normally.
    """
    rows = []
    for heartbeat in snapshot.processes:
        is_alive = snapshot.is_alive(heartbeat, settings.health)
        is_lost = not is_alive and heartbeat.ended_at is None
        if is_alive or (is_lost and snapshot.now - heartbeat.seen_at < process_checks.CRASH_PERIOD):
            rows.append(
                {
                    "kind": heartbeat.kind, "host": heartbeat.host, "pid": heartbeat.pid, "since": heartbeat.started_at,
                    "last_heartbeat": heartbeat.seen_at, "state": _process_state(snapshot, heartbeat, settings),
                }
            )  # fmt: skip
    return rows


def _process_state(snapshot: HealthSnapshot, heartbeat: ProcessHeartbeat, settings: Settings) -> ProcessState:
    if any((stopped.host, stopped.pid) == (heartbeat.host, heartbeat.pid) for stopped in snapshot.stopped):
        return ProcessState.STOPPED
    if not snapshot.is_alive(heartbeat, settings.health):
        return ProcessState.GONE
    is_hanging = heartbeat.seen_at - heartbeat.polled_at > settings.health.poll_timeout
    return ProcessState.HANGS if is_hanging else ProcessState.WORKS


def _waiting(snapshot: HealthSnapshot) -> dict[str, Any]:
    """Return the backlogs and firing alerts of all organizations, and the last ping."""
    orgs, partitions = snapshot.organizations, snapshot.partitions
    firing = Counter[str]()
    for org in orgs:
        firing.update(org.firing_alerts)
    run = snapshot.runs.get(ScheduledJobName.PING) if snapshot.has_ping_url else None
    due, unsent = [org.due_windows for org in orgs], [org.unsent_notifications for org in orgs]
    return {
        "organizations": len(orgs),
        "organizations_not_read": sum(org.read_at is not None or not org.is_counted for org in orgs),
        "organizations_unknown": sum(not org.is_counted for org in orgs),
        "organizations_read_at": min((org.read_at for org in orgs if org.read_at is not None), default=None),
        "windows_due": sum(backlog.count for backlog in due),
        "oldest_window": min((backlog.oldest_at for backlog in due if backlog.oldest_at), default=None),
        "notifications_waiting": sum(backlog.count for backlog in unsent),
        "oldest_notification": min((backlog.oldest_at for backlog in unsent if backlog.oldest_at), default=None),
        "notifications_held": sum(entry.count for org in orgs for entry in org.held_notifications),
        "notifications_held_by": held_notifications(orgs),
        "notifications_given_up": sum(org.given_up_notifications.count for org in orgs),
        "unread_messages": sum(partition.unread_messages for partition in partitions) if snapshot.is_kafka_up else None,
        "oldest_unread": min(
            (partition.oldest_unread_at for partition in partitions if partition.oldest_unread_at), default=None
        ),
        "parked_messages": sum(org.parked_messages.count for org in orgs),
        "alerts_firing": _by_severity(firing),
        "alerts_by_organization": {org.name: _by_severity(org.firing_alerts) for org in orgs if org.firing_alerts},
        "ping": run.message if run is not None else None,
        "ping_sent": run.succeeded_at if run is not None else None,
    }


def held_notifications(organizations: Sequence[OrganizationHealth]) -> list[dict[str, Any]]:
    """Return what holds notifications back; first what keeps the most critical alerts from all receivers."""
    rows = [
        {
            "organization": org.name,
            "by": entry.by,
            "name": entry.name or None,
            "until": entry.until,
            "notifications": entry.count,
            "unknown_alerts": entry.alerts,
            "unknown_critical_alerts": entry.critical_alerts,
            "command": f"dcmon {HOLDERS[entry.by].format(shell_argument(entry.name))} --org {shell_argument(org.name)}",
        }
        for org in organizations
        for entry in org.held_notifications
    ]
    ranking = ("unknown_critical_alerts", "unknown_alerts", "notifications")
    return sorted(rows, key=lambda row: [-row[key] for key in ranking])


def _is_unread(org: OrganizationHealth) -> bool:
    """Return True if an organization was never read; why one can't be opened is a problem."""
    return not org.is_counted and org.unavailable_reason is None


def _unavailable_reason(org: OrganizationHealth) -> str:
    """Return why an organization can't be read; what PostgreSQL says of it does not name it."""
    reason = org.unavailable_reason or ""
    is_named = not org.is_unreadable or org.lock is not None
    return reason if is_named else f"Organization {org.name} can't be read: {reason}"


def unknown(snapshot: HealthSnapshot) -> dict[str, str]:
    """Return why numbers of backlogs or of problems are not known, or are not those of all organizations, by name."""
    unavailable = [org for org in snapshot.organizations if org.unavailable_reason]
    all_reasons = list(dict.fromkeys(_unavailable_reason(org) for org in unavailable))
    reasons = all_reasons[:FEW_REASONS]
    if len(all_reasons) > FEW_REASONS:
        reasons.append(f"In all, {len(unavailable):,} organizations can't be read.")
    unread = [org.name for org in snapshot.organizations if _is_unread(org)]
    if unread:
        subject = f"Organization {unread[0]}" if len(unread) == 1 else f"Organizations {some_of(unread)}"
        reasons.append(f"{subject} could not be read.")
    names = ("windows_due", "notifications_waiting", "problems") if reasons else ()
    of_kafka = {"unread_messages": "Kafka does not answer."} if snapshot.is_kafka_up is False else {}
    return of_kafka | dict.fromkeys(names, " ".join(reasons))


def _by_severity(firing: Mapping[str, int]) -> dict[str, int]:
    """Return numbers of alerts by severity, the most severe first."""
    return {severity: firing[severity] for severity in reversed(Severity) if firing.get(severity)}

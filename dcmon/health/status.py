"""How dcmon stands: what runs on this machine, what answers, who works where, what waits, and what is wrong."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from dcmon import cache, db, errors
from dcmon.embedded import supervisor_state
from dcmon.health import checks, collector, problems, scheduler_runs
from dcmon.health.checks import SEVERITIES, Problem
from dcmon.health.snapshot import HealthSnapshot
from dcmon.settings import Settings

UP = ("running", "answers", "leads")
MISSING = ("no leader", "no worker", "no endpoint")
ALL_WELL, WRONG, NOTHING_RUNS, PART_DOWN = 0, 1, 7, 8


@dataclass(frozen=True)
class Status:
    """Everything that `dcmon status` shows."""

    parts: Sequence[Mapping[str, Any]]
    workers: Sequence[Mapping[str, Any]]
    waiting: Mapping[str, Any]
    conditions: Sequence[Problem]
    now: datetime
    is_running: bool = True
    failure: errors.DcmonError | None = None

    @property
    def exit_code(self) -> int:
        """0: all is well; 1: something is wrong; 7: nothing runs, or no database; 8: a part is down."""
        if self.failure is not None:
            return self.failure.exit_code
        if not self.is_running:
            return NOTHING_RUNS
        if any(part["state"] not in UP for part in self.parts):
            return PART_DOWN
        return WRONG if self.conditions else ALL_WELL


def collect(engine: Engine, settings: Settings, local: supervisor_state.SupervisorState | None) -> Status:
    """How dcmon stands now; `local`: what `dcmon up` runs on this machine. A database that is away is a finding too."""
    try:
        facts = collector.collect(engine, settings)
        with db.public_session(engine) as session:
            known = {each.key: each.since for each in problems.entries(session)}
    except errors.DcmonError as error:
        parts = [*_supervised(local), _answer("database", False, _where(engine))]
        return Status(parts, [], {}, [], datetime.now(UTC), failure=error)
    found = checks.with_known_start(checks.find_problems(facts, settings.watch), known)
    return Status(
        [*_supervised(local), *_dependencies(engine, settings, facts, local), *_missing(found)],
        _workers(facts, settings),
        _waiting(facts),
        found,
        facts.now,
        local is not None or bool(facts.alive(None, settings.watch)),
    )


def _where(engine: Engine) -> str:
    return f"postgresql://{engine.url.host or ''}:{engine.url.port or 5432}/{engine.url.database or ''}"


def _supervised(local: supervisor_state.SupervisorState | None) -> list[dict[str, Any]]:
    if local is None:
        return []
    supervising = {"name": "supervisor", "state": "running", "pid": local.pid, "since": local.started_at}
    children = ({**child, "since": str(child["since"]).replace(" ", "T")} for child in local.children)
    return [supervising, *({**child, "detail": _restarts(child)} for child in children)]


def _restarts(child: Mapping[str, Any]) -> str | None:
    if not child["restarts"]:
        return None
    times = "once" if child["restarts"] == 1 else f"{child['restarts']} times"
    return f"started again {times}, last ended with {child['last_exit']}"


def _dependencies(
    engine: Engine, settings: Settings, facts: HealthSnapshot, local: supervisor_state.SupervisorState | None
) -> list[dict[str, Any]]:
    """Who leads, and what dcmon was told to use, by whether it answers."""
    rows = []
    if local is not None:
        rows.append(_answer("endpoint", supervisor_state.is_endpoint_up(settings), local.url))
    rows.append(_answer("database", True, _where(engine)))
    if facts.kafka is not None:
        rows.append(_answer("kafka", facts.kafka, str(settings.kafka.bootstrap_servers)))
    if settings.redis_url is not None:
        answers = cache.answers(settings.redis_url.get_secret_value())
        rows.append(_answer("redis", answers, "a helper: nothing needs it"))
    lead = facts.rounds.get(scheduler_runs.LEAD)
    if facts.is_led:
        since, who = (lead.began_at, lead.said) if lead is not None else (None, None)
        rows.append({"name": "leader", "state": "leads", "since": since, "detail": who})
    return rows


def _missing(found: Sequence[Problem]) -> list[dict[str, Any]]:
    """Parts that nobody plays, on no machine."""
    missing = [each for each in found if each.name in MISSING]
    return [{"name": each.subject or each.name.removeprefix("no "), "state": "is missing"} for each in missing]


def _answer(name: str, does: bool, detail: str) -> dict[str, Any]:
    return {"name": name, "state": "answers" if does else "does not answer", "detail": detail}


def _workers(facts: HealthSnapshot, settings: Settings) -> list[dict[str, Any]]:
    """Every process of dcmon that gives signs of life, and those that stopped doing so lately without a word."""
    alive, rows = facts.alive(None, settings.watch), []
    for each in facts.workers:
        is_lost = each.ended_at is None and each not in alive
        if each in alive or (is_lost and facts.now - each.seen_at < checks.CRASHES_OVER):
            rows.append(
                {
                    "kind": each.kind, "host": each.host, "pid": each.pid, "since": each.started_at,
                    "last_sign": each.seen_at, "state": "gone" if is_lost else _turning(each, settings),
                }
            )  # fmt: skip
    return rows


def _turning(worker: Any, settings: Settings) -> str:
    return "hangs" if worker.seen_at - worker.turned_at > settings.watch.turn else "works"


def _waiting(facts: HealthSnapshot) -> dict[str, Any]:
    """What there is to do, over all organizations, and what fires."""
    tenants = facts.tenants
    firing = Counter[str]()
    for each in tenants:
        firing.update(each.firing)
    beat = facts.rounds.get("heartbeat")
    return {
        "organizations": len(tenants),
        "windows_due": sum(each.due.waiting for each in tenants),
        "oldest_window": min((each.due.oldest for each in tenants if each.due.oldest), default=None),
        "notifications_waiting": sum(each.unsent.waiting for each in tenants),
        "oldest_notification": min((each.unsent.oldest for each in tenants if each.unsent.oldest), default=None),
        "notifications_given_up": sum(each.given_up.waiting for each in tenants),
        "unread_messages": sum(each.unread for each in facts.partitions) if facts.kafka is not None else None,
        "oldest_unread": min((each.oldest for each in facts.partitions if each.oldest), default=None),
        "parked_messages": sum(each.parked.waiting for each in tenants),
        "alerts_firing": {severity: firing[severity] for severity in SEVERITIES if firing[severity]},
        "heartbeat": beat.said if beat is not None and facts.heartbeat else None,
        "heartbeat_sent": beat.succeeded_at if beat is not None and facts.heartbeat else None,
    }

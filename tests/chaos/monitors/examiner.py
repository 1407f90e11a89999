"""Compares stored results, alerts, notifications and locks with the expected ones."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from math import isclose
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.monitors import deliveries, rules
from tests.chaos.monitors.deliveries import Delivery
from tests.chaos.monitors.expected import Expected, ExpectedResult
from tests.chaos.monitors.rules import Rule, WindowResult, as_stored
from tests.chaos.monitors.world import MONITOR_PLANS, RECEIVERS, MonitorPlan, Target, World
from tests.chaos.verdict import Verdict

CLOSE = 1e-9
Key = tuple[str, str]  # the names of a target and of a monitor plan
Rows = Sequence[Mapping[str, Any]]
FOLDED = (
    "first_window_end", "last_window_end", "fired_window_end", "state", "severity", "windows", "worst_value",
    "current_value",
)  # fmt: skip
LEFTOVERS = {
    "a lease on a window": "select * from due_windows where lease_until is not null",
    "a lease on a notification": "select * from notifications where lease_until is not null"
    " and (lease_until > now() or (delivered_at is null and dead_at is null))",
    "a quarter hour that was not expanded": "select * from quarter_hours where is_touched",
    "receipts that were not expanded": "select * from receipts where is_touched",
}
SERIES = """
    select distinct on (r.window_end) r.*, r.window_end from results r
     where r.version_id = %(version)s and r.monitor_id = %(monitor)s order by r.window_end, r.revision desc
"""
WRITTEN = """
    select n.*, w.name as receiver from notifications n join webhooks w on w.id = n.webhook_id order by n.position
"""
RULES = "select id from alert_rules where monitor_id = %(monitor)s order by id"
ALERTS = """
    select * from alerts
     where rule_id = %(rule)s and version_id = %(version)s and resolved_by is distinct from 'revision'
"""


class Examiner:
    """Reads the tables with its own client, and the receivers' log."""

    def __init__(self, world: World, log: Path) -> None:
        self.world, self.log = world, log
        self._expected = {target.name: Expected(target, world.reference) for target in world.targets}

    def examine(self, connection: "psycopg.Connection[dict[str, Any]]") -> Verdict:
        """Find results, alerts and notifications that are missing, duplicated or wrong."""
        verdict, now = Verdict(), datetime.now(UTC)
        got = deliveries.read(self.log)
        for target in self.world.targets:
            _enter(connection, target)
            for plan in MONITOR_PLANS:
                monitor = _one(connection, "select m.id from monitors m where m.name = %(name)s", name=plan.name)
                self._results(verdict, connection, target, plan, monitor, now)
                for rule in plan.rules:
                    self._alerts(verdict, connection, target, plan, rule, monitor)
        for org in self.world.orgs:
            target = next(target for target in self.world.targets if target.org == org)
            _enter(connection, target)
            self._notifications(verdict, connection, target, got)
            for leftover, query in LEFTOVERS.items():
                verdict.wrong += [f"{org.name}: {leftover} is left: {row}" for row in _rows(connection, query)]
        self._messages(verdict)
        return verdict

    def _results(
        self, verdict: Verdict, connection: Any, target: Target, plan: MonitorPlan, monitor: int, now: datetime
    ) -> None:
        where = f"{target.name} {plan.name}"
        query = "select * from results where version_id = %(version)s and monitor_id = %(monitor)s order by id"
        results: dict[datetime, list[Mapping[str, Any]]] = defaultdict(list)
        for row in _rows(connection, query, version=target.version_id, monitor=monitor):
            results[row["window_end"]].append(row)
        expected = self._expected[target.name]
        wanted = expected.windows(plan, now)
        verdict.lost += [f"{where}: no result of the window until {end}" for end in sorted(wanted - results.keys())]
        if plan.reads != "flow":
            verdict.wrong += [f"{where}: a result of the window until {end}" for end in sorted(results.keys() - wanted)]
        for end, rows in results.items():
            self._revisions(verdict, f"{where} until {end}", rows)
            if end in wanted:
                newest = max(rows, key=lambda row: row["revision"])
                verdict.wrong += [
                    f"{where} until {end}: {difference}" for difference in _differs(newest, expected.find(plan, end))
                ]
        verdict.counts["results"] += sum(map(len, results.values()))
        verdict.counts["windows"] += len(results)

    def _revisions(self, verdict: Verdict, where: str, rows: Rows) -> None:
        counted = Counter(row["revision"] for row in rows)
        verdict.doubled += [
            f"{where}: revision {revision} is there {n} times" for revision, n in counted.items() if n > 1
        ]
        verdict.lost += [
            f"{where}: no revision {revision}" for revision in range(1, max(counted)) if revision not in counted
        ]
        if len({row["monitor_revision"] for row in rows}) > 1:
            verdict.wrong.append(f"{where}: results of several revisions of the monitor, which was not changed")

    def _alerts(
        self, verdict: Verdict, connection: Any, target: Target, plan: MonitorPlan, rule: Rule, monitor: int
    ) -> None:
        """Require exactly the alerts that the rule makes of the newest results."""
        where = f"{target.name} {plan.name} {rule.text}"
        ids = {"version": target.version_id, "monitor": monitor}
        series = [
            WindowResult(row["window_end"], row["state"], row["metrics"], row["entries"], row["n"])
            for row in _rows(connection, SERIES, **ids)
        ]
        ids["rule"] = _rows(connection, RULES, **ids)[plan.rules.index(rule)]["id"]
        stored = Counter(tuple(_rounded(row[name]) for name in FOLDED) for row in _rows(connection, ALERTS, **ids))
        wanted = Counter(tuple(map(_rounded, as_stored(span))) for span in rules.spans(rule, series))
        verdict.lost += [f"{where}: no alert {_describe(alert)}" for alert in (wanted - stored)]
        verdict.wrong += [f"{where}: an alert {_describe(alert)}" for alert in (stored - wanted)]
        verdict.counts["alerts"] += stored.total()

    def _notifications(self, verdict: Verdict, connection: Any, target: Target, got: Sequence[Delivery]) -> None:
        received = deliveries.by_alert(delivery for delivery in got if delivery.path.startswith(f"/{target.org.name}/"))
        history: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for line in _rows(connection, "select * from alert_changes order by id"):
            history[line["alert_id"]].append(line)
        written: dict[tuple[int, str], list[Mapping[str, Any]]] = defaultdict(list)
        for row in _rows(connection, WRITTEN):
            written[row["alert_id"], row["receiver"]].append(row)
        for alert in _rows(connection, "select * from alerts order by id"):
            if alert["state"] not in (states := _states(history[alert["id"]])):
                verdict.wrong.append(f"alert {alert['id']} is {alert['state']}, and {states} by its history")
            for receiver, severities in RECEIVERS.items():
                where = f"{target.org.name}: alert {alert['id']} to {receiver}"
                notifications, due = (
                    written[alert["id"], receiver],
                    deliveries.expected_kinds(history[alert["id"]], severities),
                )
                if [row["kind"] for row in notifications] != due:
                    verdict.wrong.append(f"{where}: {[row['kind'] for row in notifications]} written, {due} expected")
                deliveries_of_alert = received.get((f"/{target.org.name}/{receiver}", alert["id"]), [])
                self._delivered(verdict, where, alert, notifications, deliveries_of_alert)
        verdict.counts["notifications"] += sum(map(len, written.values()))
        verdict.counts["deliveries"] += sum(map(len, received.values()))

    def _delivered(
        self, verdict: Verdict, where: str, alert: Mapping[str, Any], notifications: Rows, got: Sequence[Delivery]
    ) -> None:
        """Require delivery in order, and that the last delivery shows the current state."""
        for row in notifications:
            if row["delivered_at"] is None and not row["is_superseded"]:
                verdict.lost.append(f"{where}: {row['kind']} is not delivered: {row['last_error']}")
            name = f"msg_{row['message_id'].hex}" if row["message_id"] else None
            if row["delivered_at"] is not None and not any(
                delivery.message == name and delivery.is_accepted for delivery in got
            ):
                verdict.lost.append(f"{where}: {row['kind']} is marked as delivered, but the receiver never got it")
        verdict.wrong += [
            f"{where}: {after.kind} came after {before.kind}, which is newer"
            for before, after in pairwise(got)
            if after.written < before.written
        ]
        accepted = [delivery for delivery in got if delivery.is_accepted]
        last = accepted[-1] if accepted else None
        if notifications and notifications[-1]["kind"] == "retracted" and (not got or got[-1].kind in deliveries.ENDS):
            return  # a receiver without a delivery needs no retraction
        if notifications and notifications[-1]["is_superseded"]:
            verdict.lost.append(f"{where}: the newest, {notifications[-1]['kind']}, is superseded by nothing")
        if last is None:
            verdict.lost += [f"{where}: {notifications[-1]['kind']} never came"] if notifications else []
        elif alert["state"] != "firing":
            verdict.wrong += (
                [] if last.kind in deliveries.ENDS else [f"{where}: it is over, and the last was {last.kind}"]
            )
        elif last.kind in deliveries.ENDS or last.severity != alert["severity"]:
            verdict.wrong.append(f"{where}: it fires ({alert['severity']}), the last was {last.kind} ({last.severity})")

    def _messages(self, verdict: Verdict) -> None:
        for name, bodies in deliveries.contents(self.log).items():
            if len(bodies) > 1:
                verdict.wrong.append(f"message {name} stands for {len(bodies)} contents")


def locks(connection: "psycopg.Connection[dict[str, Any]]") -> list[str]:
    """Return the advisory locks held in this database."""
    query = """
        select classid, objid, pid from pg_locks
         where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
    """
    return [f"an advisory lock is held: {row}" for row in _rows(connection, query)]


def _enter(connection: Any, target: Target) -> None:
    connection.execute("select set_config('search_path', %s, false)", [target.org.schema])


def _rows(connection: Any, query: str, **values: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = connection.execute(query, values).fetchall()
    return rows


def _one(connection: Any, query: str, **values: Any) -> Any:
    ((value,),) = (tuple(row.values()) for row in _rows(connection, query, **values))
    return value


def _differs(result: Mapping[str, Any], wanted: ExpectedResult) -> Iterator[str]:
    if result["state"] == "ERROR" or (result["state"] == "OK") != wanted.is_ok:
        yield f"{result['state']} ({result['reason']}), and it is to be {'OK' if wanted.is_ok else 'none'}"
        return
    if result["n"] != wanted.n:
        yield f"of {result['n']} rows, where {wanted.n} are"
    if not wanted.is_ok:
        return
    values = sorted(result["metrics"].values())
    if len(values) != len(wanted.numbers) or not all(map(_is_close, values, sorted(wanted.numbers))):
        yield f"{result['metrics']} where {wanted.numbers} is right (revision {result['revision']})"
    if wanted.entries is not None and not all(
        _is_close(result["entries"].get(name, -1), value) for name, value in wanted.entries.items()
    ):
        yield f"{result['entries']} where {wanted.entries} are right"


def _is_close(first: float, second: float) -> bool:
    return isclose(first, second, rel_tol=0, abs_tol=CLOSE)


def _rounded(value: Any) -> Any:
    return round(value, 9) if isinstance(value, float) else value


def _describe(alert: tuple[Any, ...]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(FOLDED, alert, strict=True))


def _states(history: Rows) -> Sequence[str]:
    """Return the states that an alert may have after its history."""
    states_after = {"pending": ["pending"], "resolved": ["resolved"], "retracted": ["pending", "resolved"]}
    last = next((line["kind"] for line in reversed(history) if line["kind"] != "confirmed"), "nothing")
    return [] if last == "nothing" else states_after.get(last, ["firing"])

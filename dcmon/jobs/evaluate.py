"""Evaluate due windows: claim an organization, claim some of its windows, evaluate them."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Event

from dcmon import db
from dcmon.alerting import rule_failures
from dcmon.alerting.change_context import ChangeContext
from dcmon.app import App
from dcmon.checks.evaluator import CheckEvaluator
from dcmon.checks.workload import CheckResult
from dcmon.db import Organization, work_queue
from dcmon.db.tables.org import Version
from dcmon.db.work_queue import Work
from dcmon.errors import DcmonError
from dcmon.jobs.worker_loop import claim_organization, poll_until_stopped
from dcmon.monitoring import due_windows, evaluation, monitors, planner, window_expansion
from dcmon.monitoring.due_windows import Claim
from dcmon.monitoring.evaluation import StoredCounts
from dcmon.monitoring.planner import Plan, PlanRequest
from dcmon.monitoring.reference_cache import ReferenceCache

log = logging.getLogger(__name__)

IDLE = timedelta(milliseconds=200)
# Limits of one poll, after which the organization that has waited longest is served.
MAX_CLAIMED_WINDOWS, MAX_POLL = 8, timedelta(seconds=2)
MAX_TRIES, PAUSE = 3, timedelta(seconds=1)
MAX_CLAIMS = 20  # a window that kills each worker that evaluates it must not be retried forever
STOP_GRACE = timedelta(seconds=5)  # how long a running check may continue after the worker was told to stop


class Stopped(Exception):
    """The worker must stop, and the running check has taken longer than STOP_GRACE."""


def run(app: App, stop: Event) -> None:
    """Evaluate until stop is set, with one thread per check worker. During outages of PostgreSQL, wait."""
    references, failures = ReferenceCache(), list[BaseException]()

    def evaluator() -> None:
        try:
            with CheckEvaluator(app.settings.evaluate) as check_evaluator:
                Evaluator(app, stop, references, check_evaluator).run()
        except BaseException as error:
            failures.append(error)
            stop.set()

    threads = [threading.Thread(target=evaluator) for _ in range(app.settings.evaluate.check_processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@dataclass
class Evaluator:
    """One thread of an evaluate worker, with the process that runs its checks."""

    app: App
    stop: Event
    references: ReferenceCache
    check_evaluator: CheckEvaluator
    _leases_extended_at: float = 0
    _stop_seen_at: float | None = None
    _held_claims: Sequence[Claim] = field(default_factory=list)

    def run(self) -> None:
        """Evaluate until stop is set."""
        poll_until_stopped(self.stop, self._poll, IDLE, log)

    def _poll(self) -> bool:
        """Serve one organization that has work, for at most MAX_POLL. Return False if no window was claimed."""
        app, settings = self.app, self.app.settings.evaluate
        lease, pauses = settings.lease, (settings.backfill_quiet, settings.last_window_quiet)
        claimed = claim_organization(app, Work.evaluate, lease)
        if claimed is None:
            return False
        org = claimed.org
        with db.org_session(app.engine, org) as session:
            window_expansion.expand(session, org.retention)
        claimed_at = time.monotonic()
        with db.org_session(app.engine, org) as session:
            claims = due_windows.claim(session, MAX_CLAIMED_WINDOWS, lease, *pauses)
        self._held_claims, self._leases_extended_at = claims, claimed_at
        deadline = time.monotonic() + MAX_POLL.total_seconds()
        for position, claim in enumerate(claims):
            if self.stop.is_set() or (position and time.monotonic() > deadline):
                self._release(org, claims[position:])
                break
            self._evaluate_or_fail(org, claim, claims[position:])
        with db.org_session(app.engine, org) as session:
            next_at = due_windows.next_claimable_at(session, *pauses)
        with app.public() as session:
            work_queue.release(session, org.id, Work.evaluate, claimed.seq, next_at)
        return bool(claims)

    def _evaluate_or_fail(self, org: Organization, claim: Claim, held: Sequence[Claim]) -> None:
        """Evaluate one window; a failure affects no other window.

        After a failure the window is retried later. After the last retry an ERROR result is stored.
        """
        try:
            self.evaluate(org, claim, held)
        except Stopped:
            self._release(org, [claim])
        except DcmonError:
            raise
        except Exception as error:
            if not self._version_exists(org, claim):
                log.info("version %d was deleted while its window was evaluated", claim.version_id)
                return
            window = claim.window
            log.exception("window [%s, %s) of version %d failed", window.start, window.end, claim.version_id)
            self._fail(org, claim, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")

    def evaluate(self, org: Organization, claim: Claim, held: Sequence[Claim]) -> None:
        """Evaluate one claimed window: read in one snapshot, store in one transaction, enqueue notifications."""
        app, settings = self.app, self.app.settings.evaluate
        self._hold_leases(org, held)
        if claim.attempts > MAX_CLAIMS:
            raise RuntimeError(f"The worker ended {MAX_CLAIMS} times while it evaluated this window.")
        with db.org_session(app.engine, org, snapshot=True) as session:
            request = _plan_request(claim, datetime.now(UTC))
            plan, workload, known_results = evaluation.prepare(session, org, request, settings, self.references)
        check_results = [*known_results, *self.check_evaluator.run(workload, lambda: self._while_check_runs(org))]
        stored = self._store(org, claim, plan, check_results)
        if stored is None:
            log.info("version %d: another worker has taken over its window, nothing is stored", claim.version_id)
            return
        if stored.notifications:
            app.enqueue(org, Work.notify)
        log.info(
            "evaluated %d monitors of version %d in [%s, %s): %d results, %d notifications",
            len(check_results), claim.version_id, claim.window.start, claim.window.end,
            stored.results, stored.notifications,
        )  # fmt: skip

    def _store(
        self, org: Organization, claim: Claim, plan: Plan, check_results: Sequence[CheckResult]
    ) -> StoredCounts | None:
        """Store results in one transaction; return None if the claim is no longer this worker's.

        Savepoints isolate a rule whose alerts can't be written. They are only set after a failure without them, because
        they cost two round trips for each window in which alerts change.
        """
        try:
            return self._store_once(org, claim, plan, check_results, has_savepoint=False)
        except Exception as error:
            if isinstance(error, DcmonError) or rule_failures.is_outage(error):
                raise
            if (remaining := self._without_deleted(org, plan)) is not None:
                ids = {monitor.id for monitor, _ in remaining.monitors}
                check_results = [check_result for check_result in check_results if check_result.monitor_id in ids]
                return self._store(org, claim, remaining, check_results)
            log.warning("version %d: its window is stored again: %s", claim.version_id, rule_failures.error_line(error))
        return self._store_once(org, claim, plan, check_results, has_savepoint=True)

    def _store_once(
        self, org: Organization, claim: Claim, plan: Plan, check_results: Sequence[CheckResult], *, has_savepoint: bool
    ) -> StoredCounts | None:
        context = replace(self._context(org), has_savepoint=has_savepoint)
        with db.org_session(self.app.engine, org) as session:
            if not due_windows.hold(session, claim, evaluation.result_names(plan, check_results)):
                return None
            stored = evaluation.store(session, plan, check_results, context)
            due_windows.finish(session, claim, plan.again_at)
        return stored

    def _without_deleted(self, org: Organization, plan: Plan) -> Plan | None:
        """Return a plan without the monitors that were deleted while it was evaluated; None if none was."""
        with db.org_session(self.app.engine, org) as session:
            existing = monitors.existing_ids(session, [monitor.id for monitor, _ in plan.monitors])
        remaining = [planned for planned in plan.monitors if planned.monitor.id in existing]
        if len(remaining) == len(plan.monitors):
            return None
        log.info(
            "version %d: %d monitors were deleted while its window was evaluated",
            plan.version.id, len(plan.monitors) - len(remaining),
        )  # fmt: skip
        return replace(plan, monitors=remaining)

    def _hold_leases(self, org: Organization, claims: Sequence[Claim]) -> None:
        """Extend the leases of claims, unless they were made or extended a short time ago."""
        is_same_lease = {claim.token for claim in claims} == {claim.token for claim in self._held_claims}
        if not is_same_lease or self._must_extend_leases():
            self._extend_leases(org, claims)
        self._held_claims = claims

    def _must_extend_leases(self) -> bool:
        age = time.monotonic() - self._leases_extended_at
        return age > self.app.settings.evaluate.lease.total_seconds() / 3

    def _extend_leases(self, org: Organization, claims: Sequence[Claim]) -> None:
        with db.org_session(self.app.engine, org) as session:
            due_windows.extend_leases(session, claims, self.app.settings.evaluate.lease)
        self._held_claims, self._leases_extended_at = claims, time.monotonic()

    def _while_check_runs(self, org: Organization) -> None:
        """Extend the leases while a check runs. Raises Stopped if the worker was told to stop STOP_GRACE ago."""
        now = time.monotonic()
        if self.stop.is_set():
            self._stop_seen_at = self._stop_seen_at or now
            if now - self._stop_seen_at > STOP_GRACE.total_seconds():
                raise Stopped
        if self._must_extend_leases():
            self._extend_leases(org, self._held_claims)

    def _version_exists(self, org: Organization, claim: Claim) -> bool:
        with db.org_session(self.app.engine, org) as session:
            return session.get(Version, claim.version_id) is not None

    def _fail(self, org: Organization, claim: Claim, reason: str) -> None:
        app, settings, now = self.app, self.app.settings.evaluate, datetime.now(UTC)
        with db.org_session(app.engine, org) as session:
            if claim.attempts < MAX_TRIES:
                due_windows.retry_later(session, claim, PAUSE * 2**claim.attempts)
                return
            if not due_windows.hold(session, claim):
                return
            plan = planner.plan(session, _plan_request(claim, now), settings, org.retention)
            failed = evaluation.error_results(plan, reason)
            evaluation.lock_results(session, plan, failed)
            evaluation.store(session, plan, failed, self._context(org))
            due_windows.finish(session, claim, plan.again_at)

    def _release(self, org: Organization, claims: Sequence[Claim]) -> None:
        """Release claims that were not evaluated, for other workers."""
        with db.org_session(self.app.engine, org) as session:
            for claim in claims:
                due_windows.release(session, claim)

    def _context(self, org: Organization) -> ChangeContext:
        return ChangeContext(org, self.app.settings.url, self.app.settings.alerts.recent)


def _plan_request(claim: Claim, now: datetime) -> PlanRequest:
    return PlanRequest(claim.version_id, claim.window, claim.touched_at, now, is_flow=claim.is_flow)

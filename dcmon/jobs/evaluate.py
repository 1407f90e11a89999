"""Evaluate what is due: pick an organization that was rung, claim a few windows, evaluate them, look again."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event

from dcmon import db
from dcmon.alerting.change_context import ChangeContext
from dcmon.app import App
from dcmon.checks.worker_pool import CheckWorker
from dcmon.db import Organization, work_queue
from dcmon.db.tables.org import Version
from dcmon.db.work_queue import Work
from dcmon.errors import DcmonError
from dcmon.jobs.worker_loop import take_turns
from dcmon.monitoring import due_windows, evaluation, planner, row_loader, window_expansion
from dcmon.monitoring.due_windows import Claim
from dcmon.monitoring.planner import PlanRequest
from dcmon.monitoring.reference_cache import ReferenceCache
from dcmon.tenancy import organizations

log = logging.getLogger(__name__)

IDLE = timedelta(milliseconds=200)
CLAIMED_AT_ONCE, LONGEST_TURN = 8, timedelta(seconds=2)  # then an organization that has waited longer has its turn
TRIES, PAUSE = 3, timedelta(seconds=1)
GIVEN_UP_AFTER = 20  # a window that ends whoever evaluates it must not go on for ever
LAST_WORDS = timedelta(seconds=5)  # what a check that runs when the worker is stopped may still take


class Stopped(Exception):
    """The worker is to stop, and can't wait for the check."""


def run(app: App, stop: Event) -> None:
    """Evaluate until stop is set, on as many threads as there are children. A dependency that is away is waited for."""
    kept, failed = ReferenceCache(), list[BaseException]()

    def evaluator() -> None:
        try:
            with CheckWorker(app.settings.evaluate) as child:
                Evaluator(app, stop, kept, child).run()
        except BaseException as error:
            failed.append(error)
            stop.set()

    threads = [threading.Thread(target=evaluator) for _ in range(app.settings.evaluate.children)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


@dataclass
class Evaluator:
    """One thread of a worker, with a child process that runs its checks."""

    app: App
    stop: Event
    kept: ReferenceCache
    child: CheckWorker
    _renewed: float = 0
    _stopped: float | None = None
    _held: Sequence[Claim] = field(default_factory=list)

    def run(self) -> None:
        """Evaluate until stop is set."""
        take_turns(self.stop, self._turn, IDLE, log)

    def _turn(self) -> bool:
        """Serve one organization that has work, for a bounded time; False when none has."""
        app, lease = self.app, self.app.settings.evaluate.lease
        quiet = app.settings.evaluate.backfill_quiet
        with app.public() as session:
            picked = work_queue.claim(session, Work.evaluate, lease)
            org = organizations.by_id(session, picked[0]) if picked else None
        if picked is None or org is None:
            return False
        with db.org_session(app.engine, org) as session:
            window_expansion.expand(session, org.retention)
        with db.org_session(app.engine, org) as session:
            claims = due_windows.claim(session, CLAIMED_AT_ONCE, lease, quiet)
        ends = time.monotonic() + LONGEST_TURN.total_seconds()
        for position, claim in enumerate(claims):
            if self.stop.is_set() or (position and time.monotonic() > ends):
                self._give_back(org, claims[position:])
                break
            self._one(org, claim, claims[position:])
        with db.org_session(app.engine, org) as session:
            next_at = due_windows.next_claimable_at(session, quiet)
        with app.public() as session:
            work_queue.release(session, org.id, Work.evaluate, picked[1], next_at)
        return bool(claims)

    def _one(self, org: Organization, claim: Claim, held: Sequence[Claim]) -> None:
        """Evaluate a window so that its failure costs itself only: tried again, then kept as ERROR with the reason."""
        try:
            self.evaluate(org, claim, held)
        except Stopped:
            self._give_back(org, [claim])
        except DcmonError:
            raise
        except Exception as error:
            if not self._is_there(org, claim):
                log.info("version %d was deleted while its window was evaluated", claim.version_id)
                return
            where = (claim.window.start, claim.window.end, claim.version_id)
            log.exception("window [%s, %s) of version %d failed", *where)
            self._fail(org, claim, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")

    def evaluate(self, org: Organization, claim: Claim, held: Sequence[Claim]) -> None:
        """Evaluate one claimed window: read in one snapshot, store in one transaction, then ring for notifications."""
        app, settings = self.app, self.app.settings.evaluate
        self._hold(org, held)
        if claim.attempts > GIVEN_UP_AFTER:
            raise RuntimeError(f"Workers ended {GIVEN_UP_AFTER} times while they evaluated it.")
        with db.org_session(app.engine, org, snapshot=True) as session:
            now = datetime.now(UTC)
            plan = planner.plan(session, _plan_request(claim, now), settings, org.retention)
            workload, known = row_loader.build_workload(session, org, plan, settings, self.kept)
        answers = [*known, *self.child.run(workload, lambda: self._wait(org))]
        with db.org_session(app.engine, org) as session:
            if not due_windows.is_held(session, claim):
                log.info("version %d: another worker took its window over", claim.version_id)
                return
            done = evaluation.store(session, plan, answers, self._context(org))
            due_windows.finish(session, claim, plan.again_at)
        if done.notifications:
            app.enqueue(org, Work.notify)
        log.info(
            "evaluated %d monitors of version %d in [%s, %s): %d results, %d notifications",
            len(answers), claim.version_id, claim.window.start, claim.window.end, done.results, done.notifications
        )  # fmt: skip

    def _hold(self, org: Organization, claims: Sequence[Claim]) -> None:
        with db.org_session(self.app.engine, org) as session:
            due_windows.extend_leases(session, claims, self.app.settings.evaluate.lease)
        self._held, self._renewed = claims, time.monotonic()

    def _wait(self, org: Organization) -> None:
        """While a check runs: keep what is claimed, and end the check when the worker is to stop. Raises Stopped."""
        now = time.monotonic()
        if self.stop.is_set():
            self._stopped = self._stopped or now
            if now - self._stopped > LAST_WORDS.total_seconds():
                raise Stopped
        if now - self._renewed > self.app.settings.evaluate.lease.total_seconds() / 3:
            self._hold(org, self._held)

    def _is_there(self, org: Organization, claim: Claim) -> bool:
        with db.org_session(self.app.engine, org) as session:
            return session.get(Version, claim.version_id) is not None

    def _fail(self, org: Organization, claim: Claim, reason: str) -> None:
        app, settings, now = self.app, self.app.settings.evaluate, datetime.now(UTC)
        with db.org_session(app.engine, org) as session:
            if claim.attempts < TRIES:
                due_windows.retry_later(session, claim, PAUSE * 2**claim.attempts)
                return
            if not due_windows.is_held(session, claim):
                return
            plan = planner.plan(session, _plan_request(claim, now), settings, org.retention)
            evaluation.store(session, plan, evaluation.error_results(plan, reason), self._context(org))
            due_windows.finish(session, claim, plan.again_at)

    def _give_back(self, org: Organization, claims: Sequence[Claim]) -> None:
        """Let others have what is not begun."""
        with db.org_session(self.app.engine, org) as session:
            for claim in claims:
                due_windows.release(session, claim)

    def _context(self, org: Organization) -> ChangeContext:
        return ChangeContext(org, self.app.settings.url, self.app.settings.alerts.recent)


def _plan_request(claim: Claim, now: datetime) -> PlanRequest:
    return PlanRequest(claim.version_id, claim.window, claim.touched_at, now, is_flow=claim.is_flow)

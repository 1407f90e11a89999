"""Kill processes at seeded random points and start them again.

Most signals are SIGKILL, some SIGTERM, or SIGSTOP followed by SIGCONT. Child processes get a signal when the
thread that started them ends, so the process killer runs on the main thread of the run.
"""

import math
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from tests.chaos.book import AcceptedRows
from tests.chaos.processes import STOPS_WITHIN, Killable, PostgreSQL, Program

AIM = 1.0  # seconds to wait for a transaction to kill in
LONGEST_STOP = 14.0  # seconds: more than the 10 after which Kafka's group goes on without a member
PART_OF = {"backend": "postgres"}  # kinds that run inside a process of another kind
NEEDS_ARE_AWAY = 7  # exit code of a process that can't reach PostgreSQL or Kafka; it is started again


@dataclass(frozen=True)
class Victim:
    """A kind of process to kill: its relative frequency and its seconds without another hit."""

    kind: str
    weight: float
    pause: float = 0.0
    signals: Sequence[int] = (signal.SIGKILL,)


ALL = (signal.SIGKILL,) * 8 + (signal.SIGTERM, signal.SIGSTOP)
COMMON_VICTIMS = (
    Victim("server", 3, 1, ALL),
    Victim("postgres", 1.5, 5),
    Victim("backend", 3, 2),
    Victim("valkey", 0.5),
)
# Tansu has no storage, and its consumer groups need long to settle after a member leaves.
ON_TANSU = (Victim("worker", 3, 14), *COMMON_VICTIMS)
ON_APACHE = (Victim("worker", 4, 4, ALL), Victim("broker", 1, 40), *COMMON_VICTIMS)


@dataclass
class ProcessKiller:
    """Kills and restarts processes until there were enough kills and enough work."""

    rng: Random
    running: list[Killable]
    victims: Sequence[Victim]
    book: AcceptedRows
    pause: float
    kills: Counter[str] = field(default_factory=Counter)
    other_events: Counter[str] = field(default_factory=Counter)
    _due: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    _away: list[Killable] = field(default_factory=list)  # signalled, and not running again yet
    _paused_until: dict[str, float] = field(default_factory=dict)

    def run(self, kills: int, requests: int, seconds: float, report: Callable[["ProcessKiller"], None]) -> None:
        """Kill `kills` times, wait for `requests` acknowledged requests, then let everything run.

        `seconds` ends the run earlier; tests pass math.inf, because a busy machine only needs longer.
        """
        ends, next_kill = time.monotonic() + seconds, 0.0
        while self._is_short_of(kills, requests) and (now := time.monotonic()) < ends:
            self.tend(now)
            if now >= next_kill and self.kills.total() < kills:
                self._hit_one(now)
                report(self)
                next_kill = time.monotonic() + self.pause * self.rng.uniform(0.1, 1.9)
            time.sleep(0.02)
        self._let_all_run()

    def _is_short_of(self, kills: int, requests: int) -> bool:
        return self.kills.total() < kills or self.book.counts["requests"] < requests

    def _hit_one(self, now: float) -> None:
        able = [
            candidate
            for candidate in self.victims
            if self._paused_until.get(candidate.kind, 0) <= now and self._of(candidate)
        ]
        if not able:
            return
        victim = self.rng.choices(able, [candidate.weight for candidate in able])[0]
        self._paused_until[victim.kind] = now + victim.pause
        if self.rng.random() < 0.5:
            self._aim()
        if not (processes := self._of(victim)):  # it ended meanwhile
            return
        if victim.kind == "backend":
            self._kill_backend()
        else:
            self._hit(self.rng.choice(processes), self.rng.choice(victim.signals))

    def _of(self, victim: Victim) -> list[Killable]:
        wanted = PART_OF.get(victim.kind, victim.kind)
        return [
            process
            for process in self.running
            if process.kind == wanted and process not in self._away and process.is_running
        ]

    def _aim(self) -> None:
        """Wait a moment for a writing transaction: a kill inside one tests the most."""
        ends = time.monotonic() + AIM
        while time.monotonic() < ends and not any(writes for _, writes in self._postgres.backends()):
            time.sleep(0.01)

    @property
    def _postgres(self) -> PostgreSQL:
        return next(process for process in self.running if isinstance(process, PostgreSQL))

    def _kill_backend(self) -> None:
        """Kill one backend; PostgreSQL then ends all other sessions too and recovers."""
        for pid, _ in self._postgres.backends()[:1]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            self.kills["backend"] += 1

    def _hit(self, victim: Killable, number: int) -> None:
        hit = {signal.SIGSTOP: self._stop, signal.SIGTERM: self._terminate}.get(number, self._kill)  # type: ignore[call-overload]
        self._away.append(victim)
        hit(victim)

    def _stop(self, victim: Killable) -> None:
        """Stop a process for a while; it continues later with expired leases."""
        victim.send(signal.SIGSTOP)
        self.other_events[f"{victim.kind} stopped"] += 1
        self._after(self.rng.uniform(1, LONGEST_STOP), partial(self._go_on, victim))

    def _go_on(self, victim: Killable) -> None:
        victim.send(signal.SIGCONT)
        self._away.remove(victim)

    def _terminate(self, victim: Killable) -> None:
        victim.send(signal.SIGTERM)
        self.other_events[f"{victim.kind} terminated"] += 1
        self._follow(victim, time.monotonic() + STOPS_WITHIN)

    def _follow(self, victim: Killable, ends: float) -> None:
        """Start a terminated process again when it has stopped, which must happen in time."""
        if not victim.is_running:
            self._start(victim)
            return
        if time.monotonic() > ends:
            self.book.fault(f"{victim.name} did not stop within {STOPS_WITHIN:.0f} s of SIGTERM")
            victim.send(signal.SIGKILL)
        self._after(0.1, partial(self._follow, victim, ends))

    def _kill(self, victim: Killable) -> None:
        """Kill a process and start it again later; sometimes run a second worker beside it."""
        victim.send(signal.SIGKILL)
        self.kills[victim.kind] += 1
        if isinstance(victim, Program) and victim.kind == "worker" and self.rng.random() < 0.2:
            self._add(victim.twin())
        late = self.rng.choice([0, 0, 0, 0, 0, self.rng.uniform(0, 2), self.rng.uniform(0, 2), self.rng.uniform(2, 8)])
        self._after(late, partial(self._start, victim))

    def _start(self, victim: Killable) -> None:
        if victim in self.running and not victim.is_running:
            victim.start()
        self._away.remove(victim)

    def _add(self, extra: Program) -> None:
        """Run one more process for a while."""
        extra.start()
        self.running.append(extra)
        self.other_events[f"{extra.kind} added"] += 1
        self._after(self.rng.uniform(5, 15), partial(self._dismiss, extra))

    def _dismiss(self, extra: Program) -> None:
        self.running.remove(extra)
        if extra.is_running:
            extra.send(signal.SIGKILL)
            self.kills[extra.kind] += 1

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._due.append((time.monotonic() + seconds, act))

    def tend(self, now: float) -> None:
        """Start the processes that are due to start, as an init system would."""
        self._run_due_actions(now)
        self._restart_ended()

    def _run_due_actions(self, now: float) -> None:
        for due in [due for due in self._due if due[0] <= now]:
            self._due.remove(due)
            due[1]()

    def _restart_ended(self) -> None:
        """Restart processes that ended; only one without its services may end by itself."""
        programs = [process for process in self.running if isinstance(process, Program) and process not in self._away]
        for program in programs:
            if program.is_running:
                continue
            self.other_events[f"{program.kind} ended with {program.code}"] += 1
            if program.code != NEEDS_ARE_AWAY:
                self.book.fault(f"{program.name} ended by itself with {program.code}; see {program.log}")
            self._away.append(program)
            self._after(0.5, partial(self._start, program))

    def _let_all_run(self) -> None:
        """Continue stopped processes and start all others until everything runs."""
        ends = time.monotonic() + 2 * STOPS_WITHIN
        while time.monotonic() < ends and (self._due or not all(process.is_running for process in self.running)):
            self.tend(math.inf)
            time.sleep(0.1)
        self._postgres.wait()

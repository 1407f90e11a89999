"""Run chaos tests for long: python -m tests.chaos --what rows|monitors --kills 500 --seed 1 --minutes 60"""

import argparse
import random
import sys
import time

from tests.chaos.monitors import run as watched
from tests.chaos.process_killer import ProcessKiller
from tests.chaos.run import RunConfig, run_chaos_test


class Progress:
    """Prints the progress of a run on stderr every ten seconds."""

    def __init__(self) -> None:
        self.started_at = self.last = time.monotonic()

    def __call__(self, killer: ProcessKiller) -> None:
        if (now := time.monotonic()) - self.last < 10:
            return
        self.last, counts = now, killer.book.counts
        killed = ", ".join(f"{kind} {count}" for kind, count in sorted(killer.kills.items()))
        line = f"{now - self.started_at:5.0f} s  {killer.kills.total()} kills ({killed})"
        rows = f"{counts['rows']} rows in " if counts["rows"] else ""
        print(f"{line}  {rows}{counts['requests']} requests", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--what", choices=("rows", "monitors"), default="rows", help="the part to test: ingestion of rows or monitoring"
    )
    parser.add_argument("--kills", type=int, default=500, help="kills with -9")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of everything random")
    parser.add_argument("--broker", choices=("apache", "tansu", "none"), default="apache", help="none: direct; of rows")
    parser.add_argument("--minutes", type=float, default=60, help="at most")
    parser.add_argument("--pause", type=float, help="seconds between a client's requests, on average")
    parser.add_argument("--between", type=float, help="seconds between kills, on average")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", file=sys.stderr, flush=True)
    return _run_monitoring(arguments) if arguments.what == "monitors" else _run_ingestion(arguments)


def _run_ingestion(arguments: argparse.Namespace) -> int:
    pause, between, seconds = arguments.pause or 0.3, arguments.between or 2, arguments.minutes * 60
    config = RunConfig(
        arguments.seed, arguments.broker, arguments.kills, seconds=seconds, pause=pause, between=between, audits=20
    )
    result = run_chaos_test(config, Progress())
    if not result.is_well:
        print(f"{result.verdict}\n{result.audit.stdout}{result.audit.stderr}\nsee {result.folder}", file=sys.stderr)
    print(result.line)
    return 0 if result.is_well else 1


def _run_monitoring(arguments: argparse.Namespace) -> int:
    """Rows for about as long as there are kills."""
    pause, between, seconds = arguments.pause or 0.8, arguments.between or 1.5, arguments.minutes * 60
    hours = max(8, int(arguments.kills * between / pause / watched.REQUESTS_OF_AN_HOUR))
    config = watched.RunConfig(arguments.seed, arguments.kills, seconds, hours, pause, between, patience=180)
    result = watched.run_chaos_test(config, Progress())
    if not result.is_well:
        print(f"{result.verdict}\nsee {result.folder}", file=sys.stderr)
    print(result.line)
    return 0 if result.is_well else 1


sys.exit(main())

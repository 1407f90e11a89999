"""Measure an evaluate worker: CPU time from its start to the first result, and its memory after many windows.

python -m benchmarks.evaluate_worker
"""

from datetime import UTC, datetime

from sqlalchemy import text

from benchmarks.installation import Installation, temporary_installation
from benchmarks.measurement import print_figure, print_progress
from benchmarks.monitors import MANY_DAYS, create_monitored_version
from benchmarks.processes import running_processes
from dcmon.db.work_queue import Work
from dcmon.embedded.process import wait_until
from dcmon.jobs import schedule
from dcmon.states import DefaultSet

WINDOWS = MANY_DAYS - 1  # the last day has no row after it, and is not complete


def main() -> None:
    """Print the figures."""
    with temporary_installation() as installation:
        create_monitored_version(installation, MANY_DAYS, DefaultSet.ALL)
        schedule.sweep(installation.app)
        installation.app.enqueue(installation.org, Work.evaluate)
        print_progress(f"evaluating {WINDOWS} windows since {datetime.now(UTC):%H:%M:%S}")
        with running_processes(installation.app.settings, ["worker", "start", "evaluate"]) as (worker,):
            assert wait_until(lambda: _n_windows(installation) >= 1, 120)
            cpu = sum(worker.cpu_times()[:2])
            assert wait_until(lambda: _n_windows(installation) >= WINDOWS, 120)
            memory = worker.memory_info().rss / 1e6
    print_figure("evaluate.start.cpu", [cpu], "s of CPU to the first result", "the limit", [1.5])
    print_figure("evaluate.memory", [memory], f"MB resident after {WINDOWS} windows", "the limit", [150.0])


def _n_windows(installation: Installation) -> int:
    with installation.app.org(installation.org) as session:
        return session.scalar(text("select count(distinct window_end) from results")) or 0


if __name__ == "__main__":
    main()

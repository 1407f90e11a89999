"""Measure the CPU time of commands, on a database that this benchmark starts.

python -m benchmarks.cli     (RUNS=20: twenty runs of each command)
"""

import os
import resource
import subprocess
import sys

from benchmarks.installation import temporary_installation
from benchmarks.measurement import print_figure, print_progress

RUNS = int(os.environ.get("RUNS", "5"))
HELP_MS, LIST_MS = 120, 600  # limits
COMMANDS = {
    "--help": HELP_MS,
    "alert list --help": HELP_MS,
    "monitor create --help": HELP_MS,
    "rule create --help": HELP_MS,
    "receiver create --help": HELP_MS,
    "alert list": LIST_MS,
    "monitor list": LIST_MS,
    "org list": LIST_MS,
    "status": LIST_MS,
}


def main() -> None:
    """Print the median CPU time of each command beside its limit."""
    with temporary_installation() as installation:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DCMON_")}
        environment |= {"DCMON_DATABASE_URL": installation.app.database_url, "DCMON_ORG": installation.org.name}
        for command, limit in COMMANDS.items():
            print_progress(f"{RUNS} runs of dcmon {command}")
            cpu_ms = [_cpu_ms(command.split(), environment) for _ in range(RUNS)]
            print_figure(f"CPU of dcmon {command}", cpu_ms, "ms", "the limit", [limit])


def _cpu_ms(arguments: list[str], environment: dict[str, str]) -> float:
    """Run a command; return the CPU time of its process. Any exit code is fine: `status` reports missing workers."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "dcmon", *arguments]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


if __name__ == "__main__":
    main()

"""Start-up: the CPU time of commands, against a database that this benchmark starts.

python -m benchmarks.cli     (RUNS=20 for more runs of each command)
"""

import os
import resource
import subprocess
import sys

from benchmarks.stage import figure, say, stage

RUNS = int(os.environ.get("RUNS", "5"))
HELP_MS, LIST_MS = 120, 600
COMMANDS = {
    "--help": HELP_MS,
    "alert list --help": HELP_MS,
    "monitor create --help": HELP_MS,
    "rule add --help": HELP_MS,
    "webhook add --help": HELP_MS,
    "alert list": LIST_MS,
    "monitor list": LIST_MS,
    "org list": LIST_MS,
    "status": LIST_MS,
}


def main() -> None:
    """Print one figure for each command: the median CPU time of its process beside the most it should be."""
    with stage() as on:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DCMON_")}
        environment |= {"DCMON_DATABASE_URL": on.app.database_url, "DCMON_ORG": on.org.name}
        for command, most in COMMANDS.items():
            say(f"{RUNS} runs of dcmon {command}")
            spent = [_cpu_ms(command.split(), environment) for _ in range(RUNS)]
            figure(f"CPU of dcmon {command}", spent, "ms", "the most it should be", [most])


def _cpu_ms(arguments: list[str], environment: dict[str, str]) -> float:
    """Run a command; return the user and system time of its process. Its exit code may say that nothing runs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    call = [sys.executable, "-m", "dcmon", *arguments]
    subprocess.run(call, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


if __name__ == "__main__":
    main()

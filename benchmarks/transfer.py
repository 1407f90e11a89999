"""Measure the export and the import of an organization: time, size and memory.

python -m benchmarks.transfer     (ROWS=1000000)
"""

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
from msgspec import Raw

from benchmarks.installation import temporary_installation
from benchmarks.measurement import Cost, measure, print_figure, print_progress
from benchmarks.sample_rows import make_rows
from dcmon.transfer import organization_files
from dcmon.transfer.organization_files import SecretOptions

ROWS, AT_ONCE = int(os.environ.get("ROWS", "1000000")), 20_000
LARGEST_MB = 300.0  # of the process, however many rows there are
SECRETS = SecretOptions(are_left_out=True)


def main() -> None:
    """Print rows a second, the size of the file, and the largest memory of this process meanwhile."""
    with temporary_installation() as installation, tempfile.TemporaryDirectory() as directory:
        created = installation.create_version("credit")
        for first in range(0, ROWS, AT_ONCE):
            rows = make_rows(first, min(AT_ONCE, ROWS - first), total=ROWS)
            installation.app.ingestion.ingest_samples(installation.org, created.version_id, [Raw(row) for row in rows])
            print_progress(f"{first + len(rows)} rows stored")
        engine, path = installation.app.engine, str(Path(directory) / "org.tar.gz")
        works = {
            "export": lambda: organization_files.export(engine, installation.org, path, SECRETS),
            "import": lambda: organization_files.import_(engine, path, "copy", SECRETS),
        }
        for name, work in works.items():
            cost, megabytes = _measured(work, installation.server)
            print_figure(f"{name} of {ROWS} rows", [ROWS / cost.elapsed], "rows/s", "10,000 rows/s", [10_000])
            print_figure(f"CPU of the {name}, with PostgreSQL", [cost.cpu], "s", "by the clock", [cost.elapsed])
            print_figure(f"memory of the {name}", [megabytes], "MB", "the limit", [LARGEST_MB])
        size = Path(path).stat().st_size / 1e6
    print_figure("size of the file", [size], "MB", "100 bytes a row", [ROWS / 10_000])


def _measured(work: Callable[[], object], server: psutil.Process) -> tuple[Cost, float]:
    """Return what work costs, and the largest memory of this process meanwhile, in MB."""
    process, largest, done = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            largest[0] = max(largest[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    cost = measure(work, server)
    done.set()
    watcher.join()
    return cost, largest[0] / 1e6


if __name__ == "__main__":
    main()

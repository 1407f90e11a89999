"""Run all benchmarks: figures as JSON lines on stdout, progress on stderr."""

from benchmarks import cli, ingest, monitors, scheduling

for benchmark in (ingest, monitors, scheduling, cli):
    benchmark.main()

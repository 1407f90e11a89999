"""Run all benchmarks: figures as JSON lines on stdout, progress on stderr."""

from benchmarks import cli, evaluate_worker, ingest, monitors, scheduling, values

for benchmark in (ingest, monitors, evaluate_worker, scheduling, values, cli):
    benchmark.main()

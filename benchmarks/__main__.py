"""Run every benchmark: one JSON line per figure on stdout, what is going on on stderr."""

from benchmarks import cli, clockwork, ingest, monitors

for benchmark in (ingest, monitors, clockwork, cli):
    benchmark.main()

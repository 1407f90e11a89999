"""Run every benchmark: one JSON line per figure on stdout, what is going on on stderr."""

from benchmarks import ingest, monitors

for benchmark in (ingest, monitors):
    benchmark.main()

"""Metrics of the endpoint's own processes, in the format of Prometheus.

Several processes that share a port write their counts to files in one directory, so that /metrics of any of them has
the sum (the multiprocess mode of prometheus_client). A process that is started again continues the counts of its
slot.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MAX_ORGANIZATIONS = 200  # with names of their own in metrics; rows of others are counted together
OTHERS = "(others)"


def share_counts(directory: Path, slot: int) -> None:
    """Let the metrics of this process count in files of a directory. Call it before they are created."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    value_class = values.MultiProcessValue(process_identifier=lambda: slot)  # type: ignore[no-untyped-call]
    values.ValueClass = value_class


class RequestMetrics:
    """The counts of requests and rows. `directory`: where processes share counts; None: this one is alone."""

    def __init__(self, directory: Path | None = None) -> None:
        self._registry = CollectorRegistry()
        self._directory = directory
        self._requests = Counter(
            "dcmon_http_requests", "Requests, by route, method and status.", ("method", "route", "status"),
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "dcmon_http_request_duration_seconds", "Seconds from the head of a request to the end of its response.",
            ("method", "route"), buckets=LATENCIES, registry=self._registry,
        )  # fmt: skip
        self._rows = Counter(
            "dcmon_rows", "Rows of requests that log samples or labels, by what became of them.",
            ("organization", "kind", "outcome"), registry=self._registry,
        )  # fmt: skip
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._organizations, self._lock = set[str](), Lock()

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request. `route` is the template of its path."""
        children = self._children.get((method, route, status))
        if children is None:
            children = self._requests.labels(method, route, str(status)), self._seconds.labels(method, route)
            self._children[method, route, status] = children
        children[0].inc()
        children[1].observe(seconds)

    def count_rows(self, organization: str, kind: str, counts: Mapping[str, int]) -> None:
        """Count rows by outcome, such as received, stored and quarantined."""
        with self._lock:
            if len(self._organizations) < MAX_ORGANIZATIONS:
                self._organizations.add(organization)
            name = organization if organization in self._organizations else OTHERS
        for outcome, count in counts.items():
            if count:
                self._rows.labels(name, kind, outcome).inc(count)

    def render(self, system: Callable[[], Collector]) -> bytes:
        """Return all metrics as text: those of all processes that share the port, and those of the whole system."""
        registry = CollectorRegistry()
        if self._directory is not None:
            MultiProcessCollector(registry, path=str(self._directory))  # type: ignore[no-untyped-call]
        registry.register(system())
        own = b"" if self._directory is not None else generate_latest(self._registry)
        return own + generate_latest(registry)

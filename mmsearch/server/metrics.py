"""Figures of a server for Prometheus: searches, their steps, errors, and the state of what is asked.

A registry of its own, so that two servers in one process, and whatever else the program counts, stay apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mmsearch.errors import MMSearchError

try:
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
    from prometheus_client.core import GaugeMetricFamily, Metric
except ImportError as missing:
    raise MMSearchError(
        f"figures for Prometheus need more: pip install 'mmsearch[telemetry]' ({missing})", code="needs-telemetry"
    ) from missing

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.server.pool import Workers

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """What one server counts.  Safe from several threads."""

    def __init__(self, library: Library, workers: dict[str, Workers]) -> None:
        """``workers`` are its pools of threads by name."""
        self._library, self._workers = library, workers
        self.registry = CollectorRegistry()
        self._searches = Counter(
            "mmsearch_searches", "Searches by how they ended: whole, partial, error.", ["outcome"],
            registry=self.registry,
        )  # fmt: skip
        self._steps = Histogram(
            "mmsearch_step_seconds", "Seconds of each step of a search; search is all of it.", ["step"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._lacking = Counter(
            "mmsearch_unreachable_parts", "Searches that a part of the library did not answer.", ["part"],
            registry=self.registry,
        )  # fmt: skip
        self._errors = Counter(
            "mmsearch_errors", "Requests that ended with an error, by its code.", ["code"], registry=self.registry
        )
        self.registry.register(self)

    def heard(self, name: str, seconds: float, error: BaseException | None, facts: dict[str, Any]) -> None:
        """A step has ended; see ``store/steps.py``."""
        self._steps.labels(name).observe(seconds)
        if name == "search":
            unreachable = facts.get("unreachable", ())
            self._searches.labels("error" if error is not None else "partial" if unreachable else "whole").inc()
            for part in unreachable:
                self._lacking.labels(part).inc()

    def error(self, code: str) -> None:
        """A request ended with an error of this code."""
        self._errors.labels(code).inc()

    def collect(self) -> Iterator[Metric]:
        """What is looked up when somebody asks: asked by the registry."""
        reachable = GaugeMetricFamily(
            "mmsearch_engine_reachable", "Whether an engine answered when it was asked last.", labels=["part", "engine"]
        )
        resting = GaugeMetricFamily(
            "mmsearch_engine_open", "Whether an engine is left alone for a while.", labels=["part", "engine"]
        )
        for state in self._library.engines.states():
            if state.reachable is not None:
                reachable.add_metric([state.part, state.name], float(state.reachable))
            resting.add_metric([state.part, state.name], float(state.open))
        connections = GaugeMetricFamily(
            "mmsearch_connections", "Connections to PostgreSQL: open, used, and the most there may be.",
            labels=["state"],
        )  # fmt: skip
        for name, count in self._library.store.pool_sizes.items():
            connections.add_metric([name], count)
        threads = GaugeMetricFamily(
            "mmsearch_calls", "Calls in a pool of threads, at work or waiting, and the most there may be.",
            labels=["pool", "state"],
        )  # fmt: skip
        for name, workers in self._workers.items():
            threads.add_metric([name, "taken"], workers.taken)
            threads.add_metric([name, "most"], workers.most)
        yield from (reachable, resting, connections, threads)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)

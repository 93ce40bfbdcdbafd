"""What the server counts, in the text format of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Edges of the histogram, s."""


class Metrics:
    """Counts of one server; a registry of its own, so that two servers do not share them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"pskd_{name}", about, labels, registry=self._registry)

        self.sessions = Gauge("pskd_sessions", "Open sessions", registry=self._registry)
        self.messages = counter("messages", "Messages received")
        self.samples = counter("samples", "Samples received")
        self.predictions = counter("predictions", "Predictions made")
        self.dropped = counter("dropped", "Answers that a slow client did not read in time")
        self.errors = counter("errors", "Errors that clients were told", "code")
        self.latency = Histogram(
            "pskd_latency_seconds",
            "From the receipt of the sample that completes a window to its prediction being sent",
            buckets=LATENCIES,
            registry=self._registry,
        )

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)

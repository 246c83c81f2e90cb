"""Counters and gauges of the worker service, in Prometheus' text format."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from neuronym.contract import WorkerStatus

RunOutcome = Literal["done", "left", "refused", "failed"]


class WorkerMetrics:
    """The counters and gauges of one worker."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.clamps = Counter("neuronym_worker_clamps", "Clamps, by how they ended.", ["outcome"], registry=registry)
        self.tokens = Counter("neuronym_worker_tokens", "Tokens generated, over all rows.", registry=registry)
        self.seconds = Counter("neuronym_worker_seconds", "Seconds spent on finished runs.", registry=registry)
        self._running = Gauge("neuronym_worker_running", "Clamps that run.", registry=registry)
        self._waiting = Gauge("neuronym_worker_waiting", "Clamps that wait for their turn.", registry=registry)
        self._models = Gauge("neuronym_worker_models", "Models, by what they do.", ["state"], registry=registry)

    def count_clamp(self, outcome: RunOutcome) -> None:
        """Count a clamp that ended."""
        self.clamps.labels(outcome).inc()

    def text(self, status: WorkerStatus) -> bytes:
        """All counters, and gauges set to `status`, in Prometheus' text format."""
        self._running.set(status.running)
        self._waiting.set(status.waiting)
        for state in ("available", "loading", "ready", "failed"):
            self._models.labels(state).set(sum(model.state == state for model in status.models))
        return generate_latest(self.registry)

"""What the worker counts while it runs, in Prometheus' text format."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from neuronym.contract import WorkerStatus

Outcome = Literal["done", "left", "refused", "failed"]


class Metrics:
    """One worker's counts."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.clamps = Counter("neuronym_worker_clamps", "Clamps, by how they ended.", ["outcome"], registry=registry)
        self.tokens = Counter("neuronym_worker_tokens", "Tokens generated, over all rows.", registry=registry)
        self.seconds = Counter("neuronym_worker_seconds", "Seconds spent on finished runs.", registry=registry)
        self._running = Gauge("neuronym_worker_running", "Clamps that run.", registry=registry)
        self._waiting = Gauge("neuronym_worker_waiting", "Clamps that wait for their turn.", registry=registry)
        self._models = Gauge("neuronym_worker_models", "Models, by what they do.", ["state"], registry=registry)

    def ended(self, outcome: Outcome) -> None:
        """Count a clamp."""
        self.clamps.labels(outcome).inc()

    def text(self, status: WorkerStatus) -> bytes:
        """All counts, with the status as it is now."""
        self._running.set(status.running)
        self._waiting.set(status.waiting)
        for state in ("available", "loading", "ready", "failed"):
            self._models.labels(state).set(sum(model.state == state for model in status.models))
        return generate_latest(self.registry)

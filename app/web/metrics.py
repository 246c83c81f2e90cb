"""Counts and times of the app's requests, in Prometheus' text format.

Requests are counted by the name of the function that answers, not by path: a scanner that tries many paths must not
make the memory grow.
"""

from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import __version__

_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class AppMetrics:
    """The counters, gauges and timings of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "neuronym_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "neuronym_request_seconds",
            "Seconds until a request was answered to its end.",
            ["route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.running = Gauge("neuronym_requests_running", "Requests being answered.", registry=self.registry)
        self.ready = Gauge("neuronym_ready", "1 once a clamp would run, as /readyz last said.", registry=self.registry)
        Info("neuronym", "The running version.", registry=self.registry).info({"version": __version__})

    def text(self) -> bytes:
        """All metrics, in Prometheus' text format."""
        return generate_latest(self.registry)


class RequestCounter:
    """Middleware that counts and times every request."""

    def __init__(self, app: ASGIApp, metrics: AppMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500  # the status of a request that fails before an answer has begun

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = perf_counter()
        with self.metrics.running.track_inprogress():
            try:
                await self.app(scope, receive, send_and_note_status)
            finally:
                route = getattr(scope.get("endpoint"), "__name__", "other")
                self.metrics.requests.labels(_method_label(scope["method"]), route, status).inc()
                self.metrics.seconds.labels(route).observe(perf_counter() - began)


def _method_label(name: str) -> str:
    """The method as a label; `other` for unknown ones, of which a client can invent any number."""
    return name if name in ("GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH") else "other"

"""What the stand-in counts, under the names of the model server: alerts can be rehearsed on either."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from harness.domain.units import SECOND

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """The counters of one stand-in.

    Args:
        waiting: how many requests have no worker.
        working: how many have one.
    """

    def __init__(self, waiting: Callable[[], int], working: Callable[[], int]) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._requests = Counter(
            "model_requests", "Predictions asked for, by protocol and status.", ["protocol", "code", "outcome"],
            registry=registry,
        )  # fmt: skip
        self._duration = Histogram(
            "model_request_duration_seconds", "From a request's arrival to its answer.", ["protocol"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._service = Histogram(
            "model_service_duration_seconds", "How long a worker was at work on a request.",
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._faults = Counter("model_faults", "Faults that were to order, by kind.", ["kind"], registry=registry)
        waits = Gauge("model_queue_length", "Requests that wait for a worker.", registry=registry)
        waits.set_function(waiting)
        works = Gauge("model_requests_in_service", "Requests that a worker is at.", registry=registry)
        works.set_function(working)
        self._counts: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def answered(self, protocol: str, code: int, took_ns: int) -> None:
        """A prediction was asked for, and answered so."""
        found = self._counts.get((protocol, code))
        if found is None:
            outcome = "success" if code < 400 else "refused" if code < 500 else "failure"
            found = self._requests.labels(protocol, str(code), outcome), self._duration.labels(protocol)
            self._counts[protocol, code] = found
        found[0].inc()
        found[1].observe(took_ns / SECOND)

    def served(self, took_ns: int) -> None:
        """A worker is done with a request."""
        self._service.observe(took_ns / SECOND)

    def spoilt(self, kind: str) -> None:
        """An answer was spoilt."""
        self._faults.labels(kind).inc()

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self._registry)

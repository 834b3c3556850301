"""What a server counts, as Prometheus reads it; the names are those that exported alerting rules ask for.

The labels ``model`` and ``role`` of those rules come from the scrape's targets: a server does not know its role.
"""

import os
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from harness.domain.units import SECOND
from harness.serving.answering import Served

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder in which several processes add up what they count; set before this module is imported."""
SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)


def outcome(code: int) -> str:
    """What a status means for the rules: success, failure, or refused, which is the client's fault.

    >>> outcome(200), outcome(422), outcome(503)
    ('success', 'refused', 'failure')
    """
    return "success" if code < 400 else "refused" if code < 500 else "failure"


class Metrics:
    """The counters of one server."""

    def __init__(self, served: Served) -> None:
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
            "model_service_duration_seconds", "How long the model was at work on a batch.",
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._batch = Histogram("model_batch_rows", "Rows asked together.", buckets=ROWS, registry=registry)
        self._predictions = Counter("model_predictions", "Rows answered, by label.", ["label"], registry=registry)
        self.labels = Counter("model_labels", "Labels that have come for predictions.", registry=registry)
        self._lost = Counter("model_log_lines_lost", "Lines that could not be written.", ["log"], registry=registry)
        self._in_flight = Gauge(
            "model_requests_in_flight", "Requests not answered yet.", registry=registry, multiprocess_mode="livesum"
        )
        self._queue = Gauge(
            "model_queue_length", "Requests that wait for the model.", registry=registry, multiprocess_mode="livesum"
        )
        info = Gauge(
            "model_info", "The model that is served.", ["name", "version", "algorithm", "digest"],
            registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        info.labels(served.name, served.version, served.model.algorithm, served.model.artifact_digest).set(1)
        self._counts: dict[tuple[str, int], Counter] = {}
        self._times: dict[str, Histogram] = {}
        self._by_label: dict[object, Counter] = {}

    def answered(self, protocol: str, code: int, took_ns: int) -> None:
        """A prediction was asked for, and answered so."""
        count = self._counts.get((protocol, code))
        if count is None:
            count = self._counts[protocol, code] = self._requests.labels(protocol, str(code), outcome(code))
            self._times[protocol] = self._duration.labels(protocol)
        count.inc()
        self._times[protocol].observe(took_ns / SECOND)

    def predicted(self, values: list[object], *, labels: bool) -> None:
        """These were answered; values of a regressor are counted, not told apart."""
        if not labels:
            self._by_label_counter("value").inc(len(values))
            return
        for value in values:
            self._by_label_counter(value).inc()

    def batch(self, rows: int, took_ns: int) -> None:
        """A batch was answered."""
        self._batch.observe(rows)
        self._service.observe(took_ns / SECOND)

    def lost(self, log: str, lines: int) -> None:
        """Lines of a log could not be written."""
        self._lost.labels(log).inc(lines)

    def text(self, in_flight: int, waiting: int) -> bytes:
        """All of it; of all processes where several share their counts."""
        self._in_flight.set(in_flight)
        self._queue.set(waiting)
        if os.environ.get(SHARED):
            together = CollectorRegistry()
            MultiProcessCollector(together)  # type: ignore[no-untyped-call]
            return generate_latest(together)
        return generate_latest(self._registry)

    def _by_label_counter(self, value: object) -> Counter:
        found = self._by_label.get(value)
        if found is None:
            found = self._by_label[value] = self._predictions.labels(str(value))
        return found

"""What the router counts, as Prometheus reads it.

Counts are plain numbers, written for every request; the library writes them out when they are asked for.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from harness.domain.model import SERVING, Role
from harness.domain.units import SECOND
from harness.routing.changes import Control

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_STEPS: Final = (1.0, 1.25, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.3, 8.0)
SECONDS: Final = (*(round(step * ten, 7) for ten in (0.001, 0.01, 0.1, 1.0) for step in _STEPS), 10.0, 20.0, 30.0)
"""Upper bounds of the buckets: ten to each power of ten, so that a percentile is within some 13 % of the truth,
wherever in its bucket it lies."""
_BOUNDS_NS: Final = tuple(round(bound * SECOND) for bound in SECONDS)
PREFIX: Final = "harness_router"


class Latency:
    """Durations in the buckets of `SECONDS`."""

    __slots__ = ("counts", "sum_ns")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.sum_ns = 0

    def add(self, took_ns: int) -> None:
        """One more."""
        self.counts[bisect_left(_BOUNDS_NS, took_ns)] += 1
        self.sum_ns += took_ns

    def buckets(self) -> list[tuple[str, float]]:
        """Counts up to each bound, as Prometheus has them."""
        rising, total = [], 0
        for bound, count in zip((*map(str, SECONDS), "+Inf"), self.counts, strict=True):
            total += count
            rising.append((bound, float(total)))
        return rising


class Metrics:
    """The counters of one router.

    Args:
        control: the weights in force.
    """

    def __init__(self, control: Control) -> None:
        self._control = control
        self.in_flight = 0
        self.gone = 0
        """Requests whose users went away before they were answered."""
        self.requests: dict[tuple[Role, int], int] = {}
        """By arm and status; what the router answered itself is counted for the arm it had chosen."""
        self.latency = {role: Latency() for role in SERVING}
        self.own: dict[tuple[str, str], int] = {}
        """Answers of the router's own, by arm (empty: none was chosen yet) and reason."""
        self.retries = dict.fromkeys(SERVING, 0)
        self.copies: dict[str, int] = {"answered": 0, "failed": 0, "dropped": 0}
        self.agreed: dict[bool, int] = {True: 0, False: 0}
        self.copy_latency = Latency()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def answered(self, role: Role, status: int, took_ns: int) -> None:
        """A request to an arm was answered."""
        key = (role, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        self.latency[role].add(took_ns)

    def refused(self, role: Role | None, reason: str) -> None:
        """The router answered by itself."""
        key = (role.value if role else "", reason)
        self.own[key] = self.own.get(key, 0) + 1

    def retried(self, role: Role) -> None:
        """A request was asked again."""
        self.retries[role] += 1

    def copied(self, took_ns: int, *, failed: bool, agreed: bool | None) -> None:
        """A copy has come to its end."""
        self.copies["failed" if failed else "answered"] += 1
        self.copy_latency.add(took_ns)
        if agreed is not None:
            self.agreed[agreed] += 1

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """As the library asks for it."""
        yield self._requests()
        yield self._latencies()
        yield _counter("own_answers", "Answers of the router itself.", ["arm", "reason"], self.own.items())
        yield _counter("users_gone", "Requests whose user went away before the answer.", [], [((), self.gone)])
        retries = (((role.value,), count) for role, count in self.retries.items())
        yield _counter("retries", "Requests that were asked again, at another replica.", ["arm"], retries)
        yield from self._copies()
        yield from self._gauges()

    def _requests(self) -> Metric:
        merged: dict[tuple[str, str], int] = {}
        for (role, status), count in self.requests.items():
            key = (role.value, f"{status // 100}xx")
            merged[key] = merged.get(key, 0) + count
        return _counter("requests", "Requests answered, by arm and class of status.", ["arm", "code"], merged.items())

    def _latencies(self) -> Metric:
        about = "From a request's arrival to its answer, in seconds."
        family = HistogramMetricFamily(f"{PREFIX}_request_duration_seconds", about, labels=["arm"])
        for role, latency in self.latency.items():
            family.add_metric([role.value], latency.buckets(), latency.sum_ns / SECOND)
        return family

    def _copies(self) -> Iterator[Metric]:
        ended = (((kind,), count) for kind, count in self.copies.items())
        yield _counter("copies", "Copies of requests, by what became of them.", ["result"], ended)
        alike = (((str(agreed).lower(),), count) for agreed, count in self.agreed.items())
        yield _counter("copies_compared", "Copies answered as their original was, or not.", ["agreed"], alike)
        about = "How long copies took, in seconds."
        family = HistogramMetricFamily(f"{PREFIX}_copy_duration_seconds", about)
        family.add_metric([], self.copy_latency.buckets(), self.copy_latency.sum_ns / SECOND)
        yield family

    def _gauges(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(f"{PREFIX}_in_flight", "Requests not answered yet.", value=self.in_flight)
        routing, behind = self._control.routing, self._control.replicas.behind
        weights = {role: routing.weights.get(role, 0) for role in SERVING}
        yield _gauge("weight", "Share of traffic in force, in 1/10,000.", weights.items())
        replicas = {role: len(behind.get(role, ())) for role in SERVING}
        yield _gauge("replicas", "Replicas that may be asked.", replicas.items())
        yield GaugeMetricFamily(f"{PREFIX}_mirror", "Share of stable's requests copied.", value=routing.mirror)


def _counter(name: str, about: str, labels: list[str], found: Iterable[tuple[tuple[str, ...], int]]) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", about, labels=labels)
    for values, count in found:
        family.add_metric(list(values), count)
    return family


def _gauge(name: str, about: str, found: Iterable[tuple[Role, int]]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", about, labels=["arm"])
    for role, value in found:
        family.add_metric([role.value], value)
    return family

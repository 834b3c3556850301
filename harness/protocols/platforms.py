"""Where both arms run: replicas, the router before them, and what is measured of them."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from harness.domain.event import ArmTotals, InputColumn
from harness.domain.fault import Fault
from harness.domain.model import Role, TrainedModel
from harness.domain.rollout import Routing, Weights
from harness.domain.units import SECOND
from harness.protocols.stages import Population
from harness.stats.histogram import Histogram

QUANTILES: Final[Mapping[str, float]] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
"""Latency percentiles by metric name."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """How many replicas of an arm are wanted, and how many may get traffic."""

    wanted: int
    ready: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Something changed in the environment that nobody here asked for."""

    kind: str
    """fault_began, fault_ended, replica_ready, replica_crashed."""
    on: tuple[Role, ...]
    text: str


class Serving(Protocol):
    """Runs the replicas of each arm."""

    async def apply(self, replicas: Mapping[Role, int]) -> None:
        """Want so many replicas of each arm; returns at once, `observe` tells when they are ready."""
        ...

    async def observe(self) -> Mapping[Role, Readiness]:
        """Where each arm stands now."""
        ...

    async def probe(self, role: Role) -> bool:
        """Send one request of our own to that arm: was it answered in time?"""
        ...

    def notices(self) -> AsyncIterator[Notice]:
        """Changes as they happen, until the platform stops; one reader."""
        ...


class Router(Protocol):
    """Splits live traffic between the arms."""

    async def apply(self, want: Routing) -> Weights:
        """Put weights, routes by header, mirroring and stickiness in force; answers with the weights that are.

        RoutingError where weights are no shares of the whole, or the router cannot do what is wanted of it.
        """
        ...


@dataclass(frozen=True, slots=True)
class ArmSample:
    """What one arm did in a window."""

    requests: int
    """Answers seen by clients in the window, failures included, refusals for want of room too."""
    failed: int
    errors: Mapping[str, int]
    latency: Histogram
    """Of what clients waited for: successes, errors, and time-outs at their full length; not refusals."""
    arrivals: int
    labelled: int
    """Answers whose labels arrived in the window."""
    quality: Mapping[str, float]
    """Quality metrics from those labels; empty without any."""
    span_ns: int
    """How much of the window the arm was getting traffic; its rate is counted over that."""
    gauges: Mapping[str, float]
    """utilisation, queue_length, replicas_ready, drift_score, prediction_drift, agreement, score_distance: those that
    are measured."""

    users: int | None = None
    """Users whom the arm has met since the shares of traffic last changed; None where users are not known."""

    def figures(self) -> dict[str, float | None]:
        """Every metric of the window by name, in base units; None where nothing was there to measure."""
        waited = self.latency.count
        figures: dict[str, float | None] = {"mean": self.latency.mean_s if waited else None}
        for name, quantile in QUANTILES.items():
            figures[name] = self.latency.quantile(quantile) / SECOND if waited else None
        figures["requests"] = float(self.requests)
        figures["rate"] = self.arrivals * SECOND / self.span_ns if self.span_ns else None
        figures["error_rate"] = self.failed / self.requests if self.requests else None
        figures["success_rate"] = (self.requests - self.failed) / self.requests if self.requests else None
        return {**figures, **self.quality, **self.gauges}


Sample = Mapping[Role, ArmSample]


class MetricSource(Protocol):
    """Answers what the arms did. Times are those of the event loop, in nanoseconds."""

    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        """What was seen in ``[start, stop)``; never anything at or after ``stop``."""
        ...

    async def totals(self) -> Mapping[Role, ArmTotals]:
        """What was seen since traffic began, conserved: arrived = succeeded + failed + in flight.

        ``first_ns`` is in the event loop's time here; the log tells it since the run began.
        """
        ...

    async def inputs(self, start_ns: int, stop_ns: int) -> tuple[InputColumn, ...]:
        """The features of the requests in ``[start, stop)``, farthest drifted first; empty where they are not known."""
        ...

    async def predictions(self, start_ns: int, stop_ns: int) -> Mapping[Role, InputColumn]:
        """What each arm's model answered in ``[start, stop)``; empty where that is not known."""
        ...


@runtime_checkable
class Platform(Protocol):
    """A place where both arms run: its serving side, its router and its metrics."""

    realtime: bool
    """Waits for the outside world, and so cannot run on virtual time."""

    @property
    def serving(self) -> Serving:
        """Runs the replicas."""
        ...

    @property
    def router(self) -> Router:
        """Splits the traffic."""
        ...

    @property
    def metrics(self) -> MetricSource:
        """Tells what happened."""
        ...

    async def start(self, models: Mapping[Role, TrainedModel], population: "Population | None") -> None:
        """Bring stable up with all traffic, as production stands before a rollout; users' requests begin."""
        ...

    async def replace(
        self,
        models: Mapping[Role, TrainedModel],
        population: "Population | None",
        *,
        adopt: bool,
        injected: tuple[Fault, ...] = (),
    ) -> None:
        """Make room for another candidate, while users' requests go on.

        The candidate's arm is empty afterwards: its replicas are gone, and those that are asked for next run the new
        model. Whoever calls this has seen to it that no traffic goes to what is taken down.

        Args:
            models: of both roles, as they are from now on.
            population: what users ask.
            adopt: what was the candidate is stable from now on, with its replicas and all its traffic, and what was
                stable is taken down; else the candidate is.
            injected: what a simulated platform does to the new candidate; others take none.
        """
        ...

    async def stop(self) -> None:
        """End traffic and free what `start` took."""
        ...

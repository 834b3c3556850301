"""Where a candidate is tried before it reaches production: endpoints, load, monitoring, arrivals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from harness.domain.model import Revision, TrainedModel
from harness.domain.traffic import Traffic
from harness.domain.units import SECOND
from harness.protocols.platforms import QUANTILES
from harness.protocols.stages import Population
from harness.seeds import Stream
from harness.stats.histogram import Histogram

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint said to a request."""

    status: int
    """As in HTTP: 2xx answered, 4xx refused as wrong, 5xx failed."""
    body: Any = None
    """As parsed from JSON."""

    @property
    def answered(self) -> bool:
        """The request was answered."""
        return 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """The request was refused, as one that is wrong."""
        return 400 <= self.status < 500


class Endpoint(Protocol):
    """A model that answers requests."""

    async def predict(self, body: Any) -> Reply:
        """Ask; a good body is a row as an object of JSON: features by name, null for what is missing.

        An answer is ``{"prediction": …, "confidence": …, "model": …, "version": …}``: the label or the value, how
        probable the label is (null where the model does not say), and the revision that answered. BackendError where
        nothing came back.
        """
        ...

    async def ready(self) -> bool:
        """Whether it takes requests by now."""
        ...


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load test met."""

    sent: int
    failed: int
    errors: Mapping[str, int]
    """Failures by kind."""
    latency: Histogram
    """Of what clients waited for, from the moment that a request was due."""
    spoiled: str = ""
    """Why the figures may look worse than they are (a generator that was held up); empty: they do not."""

    def figures(self) -> dict[str, float | None]:
        """Latencies (s) and the success rate by metric name; None where there was nothing to measure."""
        waited = self.latency.count
        figures: dict[str, float | None] = {"mean": self.latency.mean_s if waited else None}
        for name, quantile in QUANTILES.items():
            figures[name] = self.latency.quantile(quantile) / SECOND if waited else None
        figures["success_rate"] = (self.sent - self.failed) / self.sent if self.sent else None
        return figures


@runtime_checkable
class StagingPlatform(Protocol):
    """A place apart from production where one candidate at a time is tried."""

    realtime: bool
    """Waits for the outside world, and so cannot run on virtual time."""

    async def start(
        self, model: TrainedModel, revision: Revision, population: "Population | None", replicas: int
    ) -> Endpoint:
        """Bring replicas of a model up; may answer before they take requests, which `Endpoint.ready` tells.

        Args:
            model: what is to answer.
            revision: which version it is.
            population: rows as the model takes them; a load test asks them.
            replicas: how many.
        """
        ...

    async def load(self, rate_per_s: float, duration_ns: int) -> LoadResult:
        """Ask at a constant rate, whatever the answers (open loop), and answer when the last has come or timed out."""
        ...

    async def stop(self) -> None:
        """Free what `start` took, also where it failed halfway; stopping again changes nothing."""
        ...


@runtime_checkable
class PacedPlatform(StagingPlatform, Protocol):
    """A staging environment whose load tests may have any arrivals, and a warm-up."""

    async def load_paced(self, traffic: Traffic, duration_ns: int, warmup_ns: int) -> LoadResult:
        """Ask at these times, whatever the answers, and answer when the last has come or timed out.

        Args:
            traffic: when requests come, counted from the call.
            duration_ns: of what is measured; it follows the warm-up.
            warmup_ns: what comes in it is asked, and is no part of the result.
        """
        ...


class MonitoringSystem(Protocol):
    """Where what was promoted is watched from."""

    async def set_up(self, revision: Revision, baselines: Mapping[str, float]) -> "MonitoringSetUp":
        """Watch a revision; doing it again replaces what was set up before.

        Args:
            revision: what was promoted.
            baselines: what the revision before it showed last, by metric, in base units.
        """
        ...


@dataclass(frozen=True, slots=True)
class MonitoringSetUp:
    """What was set up to watch a revision."""

    files: tuple[str, ...]
    alerts: tuple[str, ...]


class Arrivals(Protocol):
    """When requests come: open loop, fixed before any answer is seen."""

    def times(self, start_ns: int, stop_ns: int, rng: Stream) -> IntArray:
        """Arrival times in ``[start, stop)``, rising, in ns; any cut of the time line gives the same times."""
        ...

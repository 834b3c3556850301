"""The boundaries: what the engine asks of the world, one to three async methods each.

A backend is a class that keeps one of these promises; it arrives by the entry point group ``harness.backends`` under
the name ``KIND.WORD`` (``registry.memory``), and `harness.contracts` holds the checks that its author can run.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from harness.domain.event import ArmTotals, Event, InputColumn
from harness.domain.fault import Fault
from harness.domain.lineage import Deployment, Lineage
from harness.domain.model import Revision, Role, TrainedModel
from harness.domain.order_event import Spoken
from harness.domain.rollout import Routing, Weights
from harness.domain.scenario import Scenario
from harness.domain.traffic import Traffic
from harness.domain.units import SECOND
from harness.seeds import Stream
from harness.stats.histogram import Histogram

IntArray = NDArray[np.int64]
IntentId = str
"""Names one intended effect; a second try with the same id finds what the first one did."""

QUANTILES: Final[Mapping[str, float]] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
"""Latency percentiles by metric name."""

P = ParamSpec("P")
E = TypeVar("E", bound=Event)


# --- models -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Version:
    """A version as a registry lists it."""

    revision: Revision
    """Its digest is empty where nobody knows it before the model is loaded: others registered it."""
    aliases: tuple[str, ...]
    """Those that name it now, sorted."""
    status: str = ""
    """verified, bad or archived; empty where nothing was said."""
    data_digest: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


class Registry(Protocol):
    """Versions of models, and aliases that name them."""

    async def register(self, model: TrainedModel, intent: IntentId) -> Revision:
        """Add a version; the same intent twice is one version."""
        ...

    async def resolve(self, name: str, alias: str) -> Revision:
        """The version an alias names; NotRegistered where there is none."""
        ...

    async def set_alias(self, revision: Revision, alias: str) -> None:
        """Let the alias name this version."""
        ...

    async def load(self, revision: Revision) -> TrainedModel:
        """The model of a version."""
        ...

    async def remove_alias(self, name: str, alias: str) -> None:
        """Let the alias name nothing; one that names nothing already is left so."""
        ...

    async def mark(self, revision: Revision, status: str) -> None:
        """Say how a version stands: ``verified``, ``bad`` or ``archived``; a second mark replaces the first."""
        ...

    async def versions(self, name: str) -> tuple[Version, ...]:
        """All versions of a model, oldest first; NotRegistered where the name is not known."""
        ...

    async def names(self) -> tuple[str, ...]:
        """The names of all models, sorted."""
        ...


class Tracker(Protocol):
    """Keeps what was trained with what, and how good it was."""

    async def record(self, model: TrainedModel, intent: IntentId) -> None:
        """Keep parameters, metrics and digests of a training run; the same intent twice is one run."""
        ...


class Notifier(Protocol):
    """Tells people."""

    realtime: bool
    """Reaches into the outside world, and so is not used on virtual time."""

    async def notify(self, message: Mapping[str, Any]) -> None:
        """Deliver a message; any exception means that it was not delivered.

        Args:
            message: ``text``, ``number`` (counted from 1 in each run) and what it is about; not to be changed.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """A model that was asked for by URI, and the registered version that it is, if it is one."""

    model: TrainedModel
    revision: Revision | None = None


@runtime_checkable
class ModelStore(Protocol):
    """What a registry or a tracker may promise besides: models by URI, those too that others saved.

    Optional: a backend without it is asked for no URI.
    """

    async def fetch(self, uri: str) -> Fetched:
        """The model that a URI names; NotRegistered where there is none. Reading makes nothing."""
        ...


@runtime_checkable
class LineageKeeper(Protocol):
    """What a registry may promise besides: where a version comes from, and what became of it.

    Optional: a registry without it is told of no deployment.
    """

    async def record_deployment(self, revision: Revision, deployment: Deployment) -> None:
        """Keep what became of a version in a rollout; the same one twice is one. NotRegistered: no such version."""
        ...

    async def lineage(self, revision: Revision) -> Lineage:
        """All that is known of where a version comes from, and where it went. NotRegistered: no such version."""
        ...


@runtime_checkable
class PickleLoader(Protocol):
    """What a registry or a tracker may promise besides: to load pickles, but only once it is told to.

    Optional: a backend without it never loads any, or has a setting of its own.
    """

    def trust_pickles(self) -> None:
        """The user trusts models that are pickles (``--trust-pickle``); until this is called they are refused."""
        ...


@runtime_checkable
class ManyClassLoader(Protocol):
    """What a registry may promise besides: to load classifiers of more than two classes, but only once it is told to.

    Optional: all but a server compares models by two classes, and is better refused the others when they are loaded.
    """

    def allow_many_classes(self) -> None:
        """The models are served and no more; until this is called only binary classifiers are loaded."""
        ...


# --- serving ----------------------------------------------------------------------------------------------------------


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


# --- people -----------------------------------------------------------------------------------------------------------


class Orders(Protocol):
    """What people say to a run from another terminal. Its methods raise BackendError where they cannot be heard."""

    async def take(self) -> Sequence[Spoken]:
        """Orders that have come since, oldest first; each is taken once."""
        ...

    async def unanswered(self) -> Sequence[Spoken]:
        """Those that were taken and never answered, by a harness that is dead."""
        ...

    async def answer(self, number: int, text: str, *, accepted: bool) -> None:
        """Tell whoever gave an order what became of it, and whether it had an effect."""
        ...

    async def give_back(self, number: int) -> None:
        """Leave an order that was taken to the harness that has the run now."""
        ...


# --- staging ----------------------------------------------------------------------------------------------------------


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
        """Bring replicas of a model up; answers at once, `Endpoint.ready` tells when they take requests.

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


# --- stages -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """The held-out rows: models are evaluated on them, and users' requests are drawn from them."""

    rows: Any
    """pandas DataFrame, one row per request that can be asked."""
    target: Any
    """numpy array of the true answers: 0/1 for classification (1 = positive), float64 for regression."""
    known: Any = field(default=None, kw_only=True)
    """What becomes known of each answer, where it is not the target: float64 like it, NaN where nothing ever does."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What the stages of a run have found so far; each stage adds to it."""

    scenario: Scenario
    training: Population | None = None
    """The rows models are trained on."""
    population: Population | None = None
    data_digest: str | None = None
    models: Mapping[Role, TrainedModel] = field(default_factory=dict)
    revisions: Mapping[Role, Revision] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    """Why gates that stages have judged refuse the candidate: it is rejected for these, and for what fails later."""

    def having(self, **found: Any) -> "Case":
        """The same with more found."""
        return replace(self, **found)


class Tell(Protocol):
    """How a stage reports: the executor stamps the event with the time and appends it."""

    def __call__(self, event: Callable[Concatenate[int, P], E], *args: P.args, **kwargs: P.kwargs) -> E:
        """Append ``event(now, *args, **kwargs)``."""
        ...


class Retrainer(Protocol):
    """Trains a challenger on what has become known since the champion was trained."""

    async def challenge(self, case: Case, known: float, tell: Tell) -> Case | None:
        """A case whose candidate is the challenger and whose stable is the champion; None where it is no better.

        Args:
            case: with the champion as stable.
            known: how much of the population's rows, in their order, has labels by now; in 0..1.
            tell: where what was found is reported.
        """
        ...


class Stage(Protocol):
    """One stage of the lifecycle before deployment."""

    name: str

    async def run(self, case: Case, tell: Tell) -> Case:
        """Do the work and answer with what was found; `errors.Rejected` stops the run with a reason."""
        ...

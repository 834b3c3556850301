"""The boundaries of a real platform: replicas with addresses, a router before them, and users who ask.

    users -> Gateway (one URL) -> replicas of a Fleet (a URL each)

`backends.real.RealPlatform` makes one `Platform` of a fleet, a gateway and `harness.users`. A fleet tells the gateway
which replicas there are (`Point`), and takes none down before the gateway has let go of it: so no request is lost.

What outlives a killed harness (replicas, the router) is found again by `attach`: see `Place`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from harness.domain.event import ArmTotals
from harness.domain.model import Revision, Role, TrainedModel
from harness.domain.rollout import Routing
from harness.protocols import ArmSample, Notice, Router, Serving

Behind = Mapping[Role, tuple[str, ...]]
"""Base URLs of the replicas of each arm that may get traffic."""

Ours = Callable[[], AbstractContextManager[None]]
"""A while in which nobody else takes the rollout over (`harness.state.lease.Lease.ours`), for an effect that takes
milliseconds and knows no token; raises LeaseLost where somebody has. Nothing may be logged inside it."""

Point = Callable[[Behind], Awaitable[None]]
"""Have the router send requests to these replicas only; returns when it has let go of the others (`Gateway.point`)."""

ARM_HEADER = "x-harness-arm"
"""A header of each answer: the arm that gave it. Where a router answers by itself, it is absent."""
REPLICA_HEADER = "x-harness-replica"
"""A header of each answer: the base URL of the replica that gave it."""
MODEL_HEADER = "x-harness-model"
"""A header of each answer of `harness serve`: the model and version that gave it (``churn:3``). Gateways that are not
ours pass it on, and so tell the arms apart, failures included."""
COPY_HEADER = "x-harness-copy"
"""A header of a request that is a copy (mirrored): a replica's log tells it from a user's."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run keeps what outlives its process, and by what it is known."""

    folder: Path
    """Of the run: logs of processes go below it (``processes/``), models (``models/``), sockets and settings too."""
    state: Path
    """Shared by all runs that report to one folder: notes of processes (``state/processes/*.json``), the lease."""
    run: str
    """Names the run; the same when it is resumed."""
    token: int = 0
    """The fencing token of its lease: what keeps state outside refuses a lower one than it has seen."""
    ours: Ours = field(default=nullcontext, compare=False)
    """To be entered around an effect that no token guards."""


@runtime_checkable
class Placed(Protocol):
    """A platform that is told where it may keep things, before it starts, and which revisions it runs."""

    def place(self, where: Place) -> None:
        """Called once, before `start` or `attach`."""
        ...

    def inform(self, revisions: Mapping[Role, Revision]) -> None:
        """Called before `start`, `attach` and each `replace`: what the models are called."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """What was found running when a platform was attached to again."""

    replicas: Mapping[Role, int] = field(default_factory=dict)
    """Alive and ready, by arm."""
    routing: Routing | None = None
    """In force; None: the router was not found, or has none."""


@runtime_checkable
class Attachable(Protocol):
    """A platform whose parts may outlive the harness."""

    async def attach(
        self, models: Mapping[Role, TrainedModel], population: object, wanted: Mapping[Role, int]
    ) -> Standing:
        """Take up what a run of the same `Place` left: replicas that live are adopted, the rest is made anew.

        Afterwards the platform is as after `start`, with the replicas that are wanted starting up where they are not
        there, the router as it was found (or with all traffic on stable, where it had to be made anew), and users'
        requests begin again.

        Args:
            models: of both arms.
            population: what users ask.
            wanted: replicas of each arm, as last asked for.
        """
        ...


@runtime_checkable
class Guarded(Protocol):
    """A registry that changes nothing once another harness drives the rollout: it serves several, and knows no token.

    Optional: of one without it, a change that was begun in time may still come late.
    """

    def guard(self, ours: Ours) -> None:
        """Each change from now on is made inside `ours`, or right after it was; LeaseLost where that raises it."""
        ...


@runtime_checkable
class Leavable(Protocol):
    """A platform, or a part of one, that can be let go of while it goes on: another harness drives it now."""

    async def leave(self) -> None:
        """End tasks and connections of this process, and change nothing outside it: no replica is stopped, no weight
        changed, no note written. Users' requests of its own end. Leaving again, or after `stop`, changes nothing.
        """
        ...


class Fleet(Serving, Protocol):
    """Runs replicas that have addresses."""

    async def start(self, models: Mapping[Role, TrainedModel], stable: int, point: Point) -> None:
        """Bring so many replicas of stable up, and have the router pointed at them; returns when all are ready.

        Args:
            models: of each arm.
            stable: replicas of it.
            point: to be awaited whenever the set of replicas that may get traffic changes; before one is stopped it is
                awaited without it. Where replicas are as before it need not be called.

        Raises:
            ServingError: they did not become ready in time; whatever was started is stopped by `stop`.
        """
        ...

    async def attach(self, models: Mapping[Role, TrainedModel], wanted: Mapping[Role, int], point: Point) -> None:
        """As `start`, but adopting replicas that a killed run left; does not wait for those that have to be started."""
        ...

    async def replace(self, models: Mapping[Role, TrainedModel], *, adopt: bool) -> None:
        """As `Platform.replace` for the replicas."""
        ...

    async def stop(self) -> None:
        """Take every replica down, at once where the router is gone already; stopping again changes nothing."""
        ...

    def scraped(self) -> Mapping[str, Mapping[str, str]]:
        """Where Prometheus finds the replicas' own metrics: URL of each, with its labels (``arm``, ``revision`` …)."""
        ...


class Gateway(Router, Protocol):
    """A router with one address for users.

    `apply` comes before any replica is known as well as after; what it has none for it answers with 503 itself.
    """

    url: str
    """Where users ask; valid once it has started."""

    async def start(self) -> None:
        """Listen. BackendError where it cannot."""
        ...

    async def attach(self) -> Routing | None:
        """Take up the router that a killed run of the same place left; None: there is none, and a new one listens."""
        ...

    async def point(self, behind: Behind) -> None:
        """Send requests to these replicas from now on.

        Returns when none that was left out has a request to answer any more, or its time to drain is over.
        """
        ...

    async def adopt(self) -> None:
        """What was the candidate is stable from now on, with its replicas and all traffic (`Platform.replace`)."""
        ...

    async def stop(self) -> None:
        """Listen no more; what is in flight is answered first. Stopping again changes nothing."""
        ...

    def scraped(self) -> Mapping[str, Mapping[str, str]]:
        """Where Prometheus finds the router's own metrics, as `Fleet.scraped`."""
        ...


@runtime_checkable
class Noticing(Protocol):
    """A router that tells what befalls it: that it died, and that it is back (``router_died``, ``router_back``)."""

    def notices(self) -> AsyncIterator[Notice]:
        """What happened, as it happens, and what was not read before; one reader at a time."""
        ...


@runtime_checkable
class Copies(Protocol):
    """A gateway that mirrors, and knows what became of the copies."""

    async def copies(self, start_ns: int, stop_ns: int) -> ArmSample:
        """What the copies met in ``[start, stop)``: `Role.SHADOW` of a sample, with ``agreement`` where it is known."""
        ...

    async def copied(self) -> ArmTotals:
        """What they met since they began."""
        ...

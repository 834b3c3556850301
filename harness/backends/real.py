"""Real platforms: a fleet of replicas, a router before them, and users who ask, as one `Platform`."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness.backends.front import AskedInFront, Front
from harness.domain.fault import Fault
from harness.domain.model import Revision, Role, TrainedModel
from harness.domain.rollout import Routing
from harness.domain.scenario import Scenario
from harness.domain.units import WHOLE
from harness.errors import BackendError
from harness.protocols import MetricSource, Population, Serving
from harness.realtime import Behind, Copies, Fleet, Gateway, Leavable, Place, Standing
from harness.users import Users

if TYPE_CHECKING:
    from harness.backends.prometheus_server import ManagedPrometheus


@runtime_checkable
class Particular(Protocol):
    """A fleet that cannot make room for every candidate, and says so before its router is told to adopt one."""

    def check_replace(self, models: Mapping[Role, TrainedModel], *, adopt: bool) -> None:
        """Nothing, where it can; else ServingError."""
        ...


class RealPlatform:
    """One `Platform` of real parts; what outlives a killed harness is found again by `attach`.

    Args:
        scenario: what is driven.
        fleet: runs the replicas.
        gateway: splits the traffic between them.
        users: ask the gateway, and measure what they meet.
        prometheus: one that is started beside them, or told whom to scrape, where figures are asked for there.
    """

    realtime = True

    def __init__(
        self,
        scenario: Scenario,
        fleet: Fleet,
        gateway: Gateway,
        users: Users,
        prometheus: "ManagedPrometheus | None" = None,
    ) -> None:
        self.scenario = scenario
        self.fleet, self.gateway, self.users, self.prometheus = fleet, gateway, users, prometheus
        self.watched = Front(gateway, users)
        self._asked = AskedInFront(scenario, fleet, self.watched)
        self._behind: Behind = {}
        self._bare: Role | None = None
        """While all is taken up: an arm that has traffic and is to have no replica; others' answer for it."""

    @property
    def serving(self) -> Serving:
        """Runs the replicas, and is asked as users ask."""
        return self.fleet if getattr(self.fleet, "asks_in_front", False) else self._asked

    @property
    def router(self) -> Front:
        """Splits the traffic; users know where they are sent."""
        return self.watched

    @property
    def metrics(self) -> MetricSource:
        """What users met."""
        return self.users

    def place(self, where: Place) -> None:
        """Where all parts keep what outlives this process."""
        for part in self._parts():
            if hasattr(part, "place"):
                part.place(where)

    def inform(self, revisions: Mapping[Role, Revision]) -> None:
        """What the models are called."""
        for part in (*self._parts(), self._asked):
            if hasattr(part, "inform"):
                part.inform(revisions)

    def _parts(self) -> tuple[Any, ...]:
        return (self.fleet, self.gateway, self.users, self.prometheus)

    def scraped(self) -> Mapping[str, Mapping[str, str]]:
        """Where Prometheus finds the metrics of replicas and router, with the labels of each."""
        return {**self.gateway.scraped(), **self.fleet.scraped()}

    async def start(self, models: Mapping[Role, TrainedModel], population: Population | None) -> None:
        """Router, stable's replicas, users: in this order, so that nobody asks before there is an answer."""
        self._asked.models = models
        await self.gateway.start()
        await self.gateway.apply(Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0}))
        await self.fleet.start(models, self.scenario.service[Role.STABLE].replicas, self._point)
        if self.prometheus:
            await self.prometheus.start(self.scraped)
        await self.users.start(self.gateway.url, models, population)

    async def attach(
        self, models: Mapping[Role, TrainedModel], population: Population | None, wanted: Mapping[Role, int]
    ) -> Standing:
        """Take up what a killed run left.

        Killed while its candidate was adopted, it has left a router whose arms have changed places already, and a log
        by which they have not: then they change back, and not even in between is a request without a replica.
        """
        self._asked.models = models
        routing = await self.gateway.attach()
        if routing is None:
            await self.gateway.apply(Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0}))
        self._bare = _bare(routing, wanted)
        await self.fleet.attach(models, wanted, self._point)
        routing = await self._exchanged(routing)
        if self.prometheus:
            await self.prometheus.attach(self.scraped)
        found = await self.fleet.observe()
        if routing is not None:
            self.users.routed(routing)
        await self.users.start(self.gateway.url, models, population)
        return Standing({role: state.ready for role, state in found.items()}, routing)

    async def _point(self, behind: Behind) -> None:
        self._behind = behind
        bare, there = self._bare, tuple(url for urls in behind.values() for url in urls)
        await self.gateway.point(behind if bare is None or behind.get(bare) else {**behind, bare: there})

    async def _exchanged(self, routing: Routing | None) -> Routing | None:
        """All traffic for the arm that has the replicas, where another one has it."""
        bare, served = self._bare, next((role for role, urls in self._behind.items() if urls), None)
        if bare is None or served is None or self._behind.get(bare):
            self._bare = None
            return routing
        routing = Routing({Role.STABLE: 0, Role.CANDIDATE: 0} | {served: WHOLE})
        await self.gateway.apply(routing)
        self._bare = None
        await self._point(self._behind)
        return routing

    async def replace(
        self,
        models: Mapping[Role, TrainedModel],
        population: Population | None,
        *,
        adopt: bool,
        injected: tuple[Fault, ...] = (),
    ) -> None:
        """Make room for another candidate; what is injected into it acts on simulated platforms only."""
        del injected
        if isinstance(self.fleet, Particular):
            self.fleet.check_replace(models, adopt=adopt)
        self.watched.weights = {}
        if adopt:
            await self.gateway.adopt()
        await self.fleet.replace(models, adopt=adopt)
        self._asked.models = models
        await self.users.replace(models, population, adopt=adopt)

    async def stop(self) -> None:
        """Users first, replicas last: nobody asks what is not there. One that cannot end keeps no other from it."""
        said: list[Exception] = []
        for part in (self.users, self.prometheus, self.gateway, self.fleet):
            if part is None:
                continue
            try:
                await part.stop()
            except Exception as error:  # noqa: BLE001 - raised below, once everything else has ended
                said.append(error)
        if said:
            raise BackendError("; ".join(str(error) or repr(error) for error in said))

    async def leave(self) -> None:
        """Ask no more, and leave replicas, router and weights as they are: another harness drives them now."""
        try:
            await self.users.stop()
        finally:
            for part in (self.prometheus, self.gateway, self.fleet):
                if isinstance(part, Leavable):
                    await part.leave()


def _bare(routing: Routing | None, wanted: Mapping[Role, int]) -> Role | None:
    """The arm that has all traffic, and is to have no replica."""
    weights = routing.weights if routing else {}
    return next((role for role, share in weights.items() if share == WHOLE and not wanted.get(role)), None)


# --- what a scenario's words stand for ---


def local(scenario: Scenario, window_ns: int | None = None) -> RealPlatform:
    """Processes of `harness serve` on this machine (``serving: local``)."""
    from harness.backends.local import LocalFleet

    return _assembled(scenario, LocalFleet(scenario), window_ns)


def http(scenario: Scenario, window_ns: int | None = None) -> RealPlatform:
    """Endpoints that exist already (``serving: http``)."""
    from harness.backends.endpoints import EndpointFleet

    return _assembled(scenario, EndpointFleet(scenario), window_ns)


def kubernetes(scenario: Scenario, window_ns: int | None = None) -> RealPlatform:
    """Pods of a cluster (``serving: kubernetes``); BackendError where there is none that answers."""
    from harness.backends import kubernetes_scope
    from harness.backends.kubernetes import KubernetesFleet
    from harness.backends.kubernetes_reach import reach

    kubernetes_scope.check(scenario)
    reach(scenario.real.kubernetes)
    return _assembled(scenario, KubernetesFleet(scenario), window_ns)


def _assembled(scenario: Scenario, fleet: Fleet, window_ns: int | None) -> RealPlatform:
    del window_ns  # cuts the simulator's windows; there is none here
    gateway = _gateway(scenario)
    users = Users(scenario, gateway if isinstance(gateway, Copies) else None)
    return RealPlatform(scenario, fleet, gateway, users, _prometheus(scenario))


def _gateway(scenario: Scenario) -> Gateway:
    """The router that a scenario names, of ours or of another package's."""
    word = scenario.backends.router
    for entry in entry_points(group="harness.backends"):
        if entry.name == f"router.{word}":
            made: Gateway = entry.load()(scenario)
            return made
    raise BackendError(f"no router backend called {word!r} is installed")


def _prometheus(scenario: Scenario) -> "ManagedPrometheus | None":
    if scenario.backends.metrics != "prometheus":
        return None
    from harness.backends.prometheus_server import ManagedPrometheus

    return ManagedPrometheus(scenario)

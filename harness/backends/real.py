"""Real platforms: a fleet of replicas, a router before them, and users who ask, as one `Platform`."""

from collections.abc import Mapping
from typing import Any

from harness.domain.fault import Fault
from harness.domain.model import Revision, Role, TrainedModel
from harness.domain.rollout import Routing
from harness.domain.scenario import Scenario
from harness.domain.units import WHOLE
from harness.protocols import MetricSource, Population
from harness.realtime import Fleet, Gateway, Place, Standing
from harness.users import Users


class RealPlatform:
    """One `Platform` of real parts; what outlives a killed harness is found again by `attach`.

    Args:
        fleet: runs the replicas.
        gateway: splits the traffic between them.
        users: ask the gateway, and measure what they meet.
    """

    realtime = True

    def __init__(self, scenario: Scenario, fleet: Fleet, gateway: Gateway, users: Users) -> None:
        self.scenario = scenario
        self.fleet, self.gateway, self.users = fleet, gateway, users

    @property
    def serving(self) -> Fleet:
        """Runs the replicas."""
        return self.fleet

    @property
    def router(self) -> Gateway:
        """Splits the traffic."""
        return self.gateway

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
        for part in self._parts():
            if hasattr(part, "inform"):
                part.inform(revisions)

    def _parts(self) -> tuple[Any, ...]:
        return (self.fleet, self.gateway, self.users)

    async def start(self, models: Mapping[Role, TrainedModel], population: Population | None) -> None:
        """Router, stable's replicas, users: in this order, so that nobody asks before there is an answer."""
        await self.gateway.start()
        await self.gateway.apply(Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0}))
        await self.fleet.start(models, self.scenario.service[Role.STABLE].replicas, self.gateway.point)
        await self.users.start(self.gateway.url, models, population)

    async def attach(
        self, models: Mapping[Role, TrainedModel], population: Population | None, wanted: Mapping[Role, int]
    ) -> Standing:
        """Take up what a killed run left."""
        routing = await self.gateway.attach()
        if routing is None:
            await self.gateway.apply(Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0}))
        await self.fleet.attach(models, wanted, self.gateway.point)
        found = await self.fleet.observe()
        await self.users.start(self.gateway.url, models, population)
        return Standing({role: state.ready for role, state in found.items()}, routing)

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
        if adopt:
            await self.gateway.adopt()
        await self.fleet.replace(models, adopt=adopt)
        await self.users.replace(models, population, adopt=adopt)

    async def stop(self) -> None:
        """Users first, replicas last: nobody asks what is not there."""
        try:
            await self.users.stop()
        finally:
            try:
                await self.gateway.stop()
            finally:
                await self.fleet.stop()

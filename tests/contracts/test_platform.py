"""The simulated cluster keeps what any platform must, on both times; and each check notices one that does not."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from fakes.cluster import SimulatedCluster, SimulatedRouter
from harness.clock import run_real, run_virtual
from harness.contracts import PLATFORM_CHECKS, Patience, check_platform
from harness.domain.event import InputColumn
from harness.domain.model import Role
from harness.domain.rollout import Routing, Weights
from harness.domain.units import MILLISECOND
from harness.protocols import Platform, Readiness, Sample
from tests.build import scenario


def one_check(name: str, make: Callable[[], Platform]) -> None:
    async def run() -> None:
        platform = make()
        await platform.start({}, None)
        try:
            await PLATFORM_CHECKS[name](platform, Patience())
        finally:
            await platform.stop()

    run_virtual(run)


@pytest.mark.parametrize("name", PLATFORM_CHECKS)
def test_the_simulated_cluster_keeps_every_promise(name: str) -> None:
    one_check(name, lambda: SimulatedCluster(scenario()))


def test_on_real_time_as_well() -> None:
    quick = scenario()
    services = {role: replace(service, startup_ns=20 * MILLISECOND) for role, service in quick.service.items()}
    quick = replace(quick, service=services)
    run_real(check_platform, lambda: SimulatedCluster(quick), 5.0, 0.8, 0.3)


class NotReady(SimulatedCluster):
    async def observe(self) -> Mapping[Role, Readiness]:
        return {role: Readiness(state.wanted, 0) for role, state in (await super().observe()).items()}


class Accumulates(SimulatedCluster):
    """Takes each count for so many more."""

    async def apply(self, replicas: Mapping[Role, int]) -> None:
        before = await self.observe()
        await super().apply({role: count + before[role].wanted for role, count in replicas.items()})


class Uneven(SimulatedCluster):
    @property
    def router(self) -> Any:
        class Halves(SimulatedRouter):
            async def apply(self, want: Routing) -> Weights:
                await super().apply(Routing({Role.STABLE: 5000, Role.CANDIDATE: 5000}))
                return want.weights

        return Halves(self)


class Trusting(SimulatedCluster):
    def route(self, want: Routing) -> Weights:
        return want.weights


class CountsTwice(SimulatedCluster):
    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        found = await super().sample(start_ns, stop_ns)
        return {role: replace(arm, requests=arm.requests + 1) for role, arm in found.items()}


class Clairvoyant(SimulatedCluster):
    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        from harness.clock import now_ns

        return await super().sample(start_ns, min(stop_ns, now_ns()))


class Boasts(SimulatedCluster):
    async def inputs(self, start_ns: int, stop_ns: int) -> tuple[InputColumn, ...]:
        return (InputColumn("x", ("low", "high"), (0.5, 0.5), {Role.STABLE: (0.5, 0.6)}, {Role.STABLE: 0.0}),)


class Mixed(SimulatedCluster):
    """Tells of one arm's predictions what the other's model answered."""

    async def predictions(self, start_ns: int, stop_ns: int) -> dict[Role, InputColumn]:
        other = {Role.STABLE: (0.5, 0.5)}, {Role.STABLE: 0.0}
        return {Role.CANDIDATE: InputColumn("score", ("low", "high"), (0.5, 0.5), *other)}


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("features_are_told_in_shares", Boasts),
        ("features_are_told_in_shares", Mixed),
        ("stable_serves_from_the_start", NotReady),
        ("replicas_become_ready_and_go", Accumulates),
        ("weights_are_kept", Uneven),
        ("wrong_weights_are_refused", Trusting),
        ("windows_add_up", CountsTwice),
        ("the_future_is_not_measured", Clairvoyant),
    ],
)
def test_a_platform_that_breaks_a_promise_is_found_out(name: str, broken: type[SimulatedCluster]) -> None:
    with pytest.raises(AssertionError, match="broken promise"):
        one_check(name, lambda: broken(scenario()))

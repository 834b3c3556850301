"""The simulated cluster keeps what any platform must, on both times; and each check notices one that does not."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from fakes.cluster import SimulatedCluster, SimulatedRouter
from harness.clock import run_real, run_virtual
from harness.contracts import PLATFORM_CHECKS, Patience, check_platform
from harness.domain.event import ArmTotals, InputColumn
from harness.domain.model import Role
from harness.domain.rollout import Routing, SetMirror, Weights
from harness.domain.scenario import Scenario
from harness.domain.traffic import RequestClass
from harness.domain.units import MILLISECOND
from harness.errors import RoutingError, ServingError
from harness.protocols import Platform, Readiness, Sample
from tests.build import policy, scenario

HEADER = ("X-Beta", "yes")


def busy() -> Scenario:
    """Users who ask often, requests with a header, and a rollout that mirrors."""
    plain = scenario()
    kinds = (RequestClass("plain", 0.8), RequestClass("beta", 0.2, headers=(HEADER,)))
    steps = (SetMirror(5000), *plain.rollout.steps)
    return policy(replace(plain, traffic=replace(plain.traffic, users=200, classes=kinds)), steps=steps)


def one_check(name: str, make: Callable[[], Platform]) -> None:
    async def run() -> None:
        platform = make()
        await platform.start({}, None)
        try:
            await PLATFORM_CHECKS[name](platform, Patience(header=HEADER))
        finally:
            await platform.stop()

    run_virtual(run)


@pytest.mark.parametrize("name", PLATFORM_CHECKS)
def test_the_simulated_cluster_keeps_every_promise(name: str) -> None:
    one_check(name, lambda: SimulatedCluster(busy()))


def test_on_real_time_as_well() -> None:
    quick = scenario()
    services = {role: replace(service, startup_ns=20 * MILLISECOND) for role, service in quick.service.items()}
    quick = replace(quick, service=services)
    run_real(check_platform, lambda: SimulatedCluster(quick), 30.0, 0.25, 0.05)


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


class Lingers(SimulatedCluster):
    """Goes on sending a tenth of all requests to the arm that retires."""

    def route(self, want: Routing) -> Weights:
        candidate = max(1000, want.weights[Role.CANDIDATE])
        super().route(Routing({Role.STABLE: 10_000 - candidate, Role.CANDIDATE: candidate}))
        return want.weights


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


class CountsCopies(SimulatedCluster):
    """Takes copies for requests of the candidate's users."""

    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        found = dict(await super().sample(start_ns, stop_ns))
        return {**found, Role.CANDIDATE: found[Role.SHADOW]}


class AnswersWithCopies(SimulatedCluster):
    """Gives users the copies' answers, failures too."""

    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        found = dict(await super().sample(start_ns, stop_ns))
        failed = found[Role.SHADOW].arrivals // 20
        return {**found, Role.STABLE: replace(found[Role.STABLE], failed=failed)}


class CopiesOn(SimulatedCluster):
    """Never ends mirroring."""

    def route(self, want: Routing) -> Weights:
        self.mirror = max(want.mirror, getattr(self, "mirror", 0))
        return super().route(replace(want, mirror=self.mirror))


class NotSticky(SimulatedCluster):
    def route(self, want: Routing) -> Weights:
        return super().route(replace(want, sticky=False))


class Reshuffles(SimulatedCluster):
    """Keeps users to their arm until shares change, and then draws all anew: it tells of more users each time."""

    changes = 0

    def route(self, want: Routing) -> Weights:
        self.changes += want.sticky
        return super().route(want)

    async def totals(self) -> Mapping[Role, ArmTotals]:
        found = dict(await super().totals())
        candidate, everyone = found[Role.CANDIDATE], found[Role.STABLE].users or 0
        met = (candidate.users or 0) + 10 * self.changes
        return {**found, Role.CANDIDATE: replace(candidate, users=min(met, everyone))}


class Deaf(SimulatedCluster):
    def route(self, want: Routing) -> Weights:
        return super().route(replace(want, routes=()))


class Greedy(SimulatedCluster):
    """Sends everybody where a header leads."""

    def route(self, want: Routing) -> Weights:
        super().route(Routing({Role.STABLE: 0, Role.CANDIDATE: 10_000}) if want.routes else want)
        return want.weights


class Leaks(SimulatedCluster):
    """Sends one in ten of all requests along with those that carry the header."""

    def route(self, want: Routing) -> Weights:
        leak = replace(want, weights={Role.STABLE: 9000, Role.CANDIDATE: 1000})
        super().route(leak if want.routes else want)
        return want.weights


class RoutesOn(SimulatedCluster):
    """Never removes a route by header."""

    def route(self, want: Routing) -> Weights:
        self.routes = want.routes or getattr(self, "routes", ())
        return super().route(replace(want, routes=self.routes))


class TakesDown(SimulatedCluster):
    """Gives up what was adopted."""

    async def replace(self, *args: Any, adopt: bool, **more: Any) -> None:
        await super().replace(*args, adopt=False, **more)
        if adopt:
            await self.apply({Role.STABLE: 0})


class LeavesTraffic(SimulatedCluster):
    """Goes on sending requests to the arm whose replicas are gone."""

    async def replace(self, *args: Any, **more: Any) -> None:
        await super().replace(*args, **more)
        self.route(Routing({Role.STABLE: 5000, Role.CANDIDATE: 5000}))


class KeepsCandidate(SimulatedCluster):
    async def replace(self, *args: Any, **more: Any) -> None:
        await super().replace(*args, **more)
        await self.apply({Role.CANDIDATE: 1})


class Clumsy(SimulatedCluster):
    """Cannot do what it is asked, and says so in its own words."""

    def route(self, want: Routing) -> Weights:
        if want.mirror or want.routes or want.sticky:
            raise KeyError("no such thing")
        return super().route(want)


class Modest(SimulatedCluster):
    """Splits by weight, and says of all else that it cannot."""

    def route(self, want: Routing) -> Weights:
        if want.mirror or want.routes or want.sticky:
            raise RoutingError("this router splits by weight only")
        return super().route(want)


ROUTING = ("copies_are_invisible", "users_keep_to_their_arm", "headers_lead_to_the_candidate")


@pytest.mark.parametrize("name", PLATFORM_CHECKS)
def test_a_router_that_says_what_it_cannot_do_keeps_its_promises(name: str) -> None:
    one_check(name, lambda: Modest(busy()))


@pytest.mark.parametrize("name", ROUTING)
def test_one_that_breaks_over_it_does_not(name: str) -> None:
    with pytest.raises(KeyError):
        one_check(name, lambda: Clumsy(busy()))


@pytest.mark.parametrize(
    ("want", "remedy"),
    [
        (Routing({Role.STABLE: 9000, Role.SHADOW: 1000}), "give users to a shadow"),
        (Routing({Role.STABLE: 10_000}, mirror=10_001), "a mirror of 10001"),
        (Routing({Role.STABLE: 10_000}, sticky=True), "its traffic has none"),
        (Routing({Role.STABLE: 9000, Role.BASELINE: 1000}), "has no arm for"),
    ],
)
def test_the_simulated_cluster_refuses_what_it_cannot_route(want: Routing, remedy: str) -> None:
    async def run() -> None:
        nobody = busy()
        cluster = SimulatedCluster(replace(nobody, traffic=replace(nobody.traffic, users=0)))
        await cluster.start({}, None)
        with pytest.raises(RoutingError, match=remedy):
            await cluster.router.apply(want)
        with pytest.raises(ServingError, match="baseline has none of its own"):
            await cluster.apply({Role.BASELINE: 1})
        await cluster.apply({Role.STABLE: 2, Role.BASELINE: 0, Role.SHADOW: 0})
        await cluster.stop()

    run_virtual(run)


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("copies_are_invisible", CountsCopies),
        ("copies_are_invisible", AnswersWithCopies),
        ("copies_are_invisible", CopiesOn),
        ("users_keep_to_their_arm", NotSticky),
        ("users_keep_to_their_arm", Reshuffles),
        ("headers_lead_to_the_candidate", Deaf),
        ("headers_lead_to_the_candidate", Greedy),
        ("headers_lead_to_the_candidate", Leaks),
        ("headers_lead_to_the_candidate", RoutesOn),
        ("another_candidate_finds_users_served", TakesDown),
        ("another_candidate_finds_users_served", LeavesTraffic),
        ("another_candidate_finds_users_served", KeepsCandidate),
        ("features_are_told_in_shares", Boasts),
        ("features_are_told_in_shares", Mixed),
        ("stable_serves_from_the_start", NotReady),
        ("replicas_become_ready_and_go", Accumulates),
        ("weights_are_kept", Uneven),
        ("nothing_is_lost_while_weights_change", Lingers),
        ("nothing_is_lost_while_weights_change", Uneven),
        ("wrong_weights_are_refused", Trusting),
        ("windows_add_up", CountsTwice),
        ("the_future_is_not_measured", Clairvoyant),
    ],
)
def test_a_platform_that_breaks_a_promise_is_found_out(name: str, broken: type[SimulatedCluster]) -> None:
    with pytest.raises(AssertionError, match="broken promise"):
        one_check(name, lambda: broken(busy()))

"""Gateways keep what any gateway must, before real servers; and each check notices one that does not."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.backends.builtin import BuiltinRouter
from harness.backends.haproxy import HaproxyRouter
from harness.contracts import GATEWAY_CHECKS, Ran, check_gateway, passed_of
from harness.domain.model import Role
from harness.domain.real import RouterPlan
from harness.domain.rollout import Routing, Weights
from harness.domain.units import WHOLE
from harness.errors import RoutingError
from harness.realtime import Behind, Place
from harness.routing.changes import Mark
from harness.routing.process import Router
from harness.routing.settings import Settings
from tests.build import scenario
from tests.requires import program

REQUESTS = 150
"""benchmarks/gateways.py sends more."""
REFUSED = {
    BuiltinRouter: {},
    HaproxyRouter: {
        "copies_are_invisible": "HAProxy copies no requests (mirror); the built-in router does: `router: builtin`"
    },
}


@pytest.mark.parametrize("made", REFUSED, ids=["builtin", "haproxy"])
async def test_the_router_keeps_every_promise(made: type[BuiltinRouter | HaproxyRouter]) -> None:
    if made is HaproxyRouter:
        program("haproxy")
    ran = await check_gateway(lambda: made(scenario()), requests=REQUESTS, at_once=5)
    assert [each.name for each in ran] == list(GATEWAY_CHECKS)
    assert {each.name: each.refused for each in ran if each.refused} == REFUSED[made]


# --- each check notices one that breaks its promise -------------------------------------------------------------------


class InLoop:
    """The built-in router without a process of its own: subclasses break one promise each."""

    realtime = True
    plan = RouterPlan()

    def __init__(self) -> None:
        self.url = ""
        self._number = 0
        self._running: asyncio.Task[None] | None = None

    def place(self, where: Place) -> None:
        where.folder.mkdir(parents=True, exist_ok=True)
        self.router = Router(Settings(str(where.folder), self.plan))

    def inform(self, revisions: Any) -> None:
        """Nothing to know."""

    def mark(self) -> Mark:
        self._number += 1
        return Mark(1, self._number)

    async def start(self) -> None:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self.router.run(ready.set_result))
        self.url = await ready

    async def attach(self) -> Routing | None:
        return None

    async def apply(self, want: Routing) -> Weights:
        self.router.control.route(want, self.mark())
        return want.weights

    async def point(self, behind: Behind) -> None:
        self.router.control.point(behind, self.mark())
        await self.router.control.replicas.drained(10)

    async def adopt(self) -> None:
        self.router.control.adopt(self.mark())

    async def stop(self) -> None:
        if self._running is not None:
            self.router.stop()
            await self._running

    def scraped(self) -> dict[str, dict[str, str]]:
        return {}


class Uneven(InLoop):
    async def apply(self, want: Routing) -> Weights:
        await super().apply(replace(want, weights={Role.STABLE: 5000, Role.CANDIDATE: 5000}))
        return want.weights


class Boasts(InLoop):
    """Tells of weights that are not in force."""

    async def apply(self, want: Routing) -> Weights:
        await super().apply(want)
        return {Role.STABLE: WHOLE // 2, Role.CANDIDATE: WHOLE // 2}


class Trusting(InLoop):
    async def apply(self, want: Routing) -> Weights:
        try:
            return await super().apply(want)
        except RoutingError:
            return want.weights


class Blinks(InLoop):
    """Has no replicas for a moment whenever weights change."""

    async def apply(self, want: Routing) -> Weights:
        behind = self.router.control.replicas.behind
        await self.point({})
        await asyncio.sleep(0.005)
        await self.point(behind)
        return await super().apply(want)


class LetsGoAtOnce(InLoop):
    async def point(self, behind: Behind) -> None:
        self.router.control.point(behind, self.mark())


class GivesUp(InLoop):
    """Tries no other replica."""

    plan = RouterPlan(retries=0)


class CopiesNothing(InLoop):
    async def apply(self, want: Routing) -> Weights:
        return await super().apply(replace(want, mirror=0))


class SendsUsersAsCopies(InLoop):
    """Gives the candidate half of all users where half are to be copied."""

    async def apply(self, want: Routing) -> Weights:
        split = {Role.STABLE: WHOLE - want.mirror, Role.CANDIDATE: want.mirror} if want.mirror else want.weights
        await super().apply(replace(want, weights=split, mirror=0))
        return want.weights


class NotSticky(InLoop):
    async def apply(self, want: Routing) -> Weights:
        return await super().apply(replace(want, sticky=False))


class Deaf(InLoop):
    async def apply(self, want: Routing) -> Weights:
        return await super().apply(replace(want, routes=()))


class Greedy(InLoop):
    """Sends everybody where a header leads."""

    async def apply(self, want: Routing) -> Weights:
        split = {Role.STABLE: 0, Role.CANDIDATE: WHOLE} if want.routes else want.weights
        await super().apply(replace(want, weights=split))
        return want.weights


class AdoptsBack(InLoop):
    """Has its arms change places, each time that it is asked."""

    async def adopt(self) -> None:
        behind = self.router.control.replicas.behind
        self.router.control.point(
            {Role.STABLE: behind[Role.CANDIDATE], Role.CANDIDATE: behind[Role.STABLE]}, self.mark()
        )
        await super().apply(Routing({Role.STABLE: WHOLE}))


class AdoptsNothing(InLoop):
    async def adopt(self) -> None:
        """Stays as it was."""


class Stays(InLoop):
    """Is told twice to stop, and goes on."""

    told = 0

    async def stop(self) -> None:
        self.told += 1
        if self.told > 2:
            await super().stop()


class Modest(InLoop):
    """Splits by weight, and says of all else that it cannot."""

    async def apply(self, want: Routing) -> Weights:
        if want.mirror or want.routes or want.sticky:
            raise RoutingError("this router splits by weight only")
        return await super().apply(want)


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("it_answers_itself_where_there_is_no_replica", Boasts),
        ("traffic_is_split_as_asked", Uneven),
        ("wrong_weights_are_refused", Trusting),
        ("nothing_is_lost_while_weights_change", Blinks),
        ("nothing_is_lost_while_an_arm_is_let_go", LetsGoAtOnce),
        ("nothing_is_lost_while_a_replica_dies", GivesUp),
        ("copies_are_invisible", CopiesNothing),
        ("copies_are_invisible", SendsUsersAsCopies),
        ("users_keep_to_their_arm", NotSticky),
        ("headers_lead_all_and_only_those", Deaf),
        ("headers_lead_all_and_only_those", Greedy),
        ("what_is_adopted_is_stable", AdoptsNothing),
        ("what_is_adopted_is_stable", AdoptsBack),
        ("stopping_twice_is_stopping_once", Stays),
    ],
)
async def test_a_gateway_that_breaks_a_promise_is_found_out(name: str, broken: type[InLoop]) -> None:
    with pytest.raises(AssertionError, match=rf"0 of 1 passed\n{name}: broken promise"):
        await check_gateway(broken, requests=REQUESTS, only=[name])


async def test_what_a_gateway_says_that_it_cannot_do_is_passed_as_refused() -> None:
    refused = ("copies_are_invisible", "users_keep_to_their_arm", "headers_lead_all_and_only_those")
    ran = await check_gateway(Modest, requests=REQUESTS, only=[*refused, "wrong_weights_are_refused"])
    assert [str(each) for each in ran] == [
        *(f"{name}: refused (this router splits by weight only)" for name in refused),
        "wrong_weights_are_refused: kept",
    ]
    assert passed_of(ran) == "4 of 4 passed, 3 of them as refused"
    assert passed_of([Ran("a"), Ran("b", "broken promise: c")]) == "1 of 2 passed"


async def test_one_that_keeps_nothing_outside_is_not_asked_for_it(tmp_path: Path) -> None:
    (ran,) = await check_gateway(InLoop, only=["another_harness_finds_what_is_in_force"])
    assert "does not outlive" in ran.refused

"""Replicas as processes keep what any fleet must; and each check notices a fleet that does not."""

import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from harness.backends import processes
from harness.backends.endpoints import EndpointFleet
from harness.backends.local import LocalFleet
from harness.clock import run_real
from harness.contracts.fleets import FLEET_CHECKS, FleetBench, check_fleet
from harness.domain.model import ARMS, Role, TrainedModel
from harness.domain.real import EndpointsPlan, LocalPlan, RealPlan
from harness.domain.units import MILLISECOND
from harness.errors import ServingError
from harness.protocols import Notice, Readiness
from harness.realtime import Place, Point
from tests.backends.unknown import MODELS
from tests.build import scenario
from tests.sites import site


def test_processes_keep_every_promise(tmp_path: Path) -> None:
    place = Place(tmp_path / "run", tmp_path / "state", "checked")

    async def kill(url: str) -> None:
        note = next(note for note in processes.notes(place.state) if note.url == url)
        os.kill(note.pid or 0, signal.SIGKILL)

    @asynccontextmanager
    async def bench() -> AsyncIterator[FleetBench]:
        fleet = LocalFleet(scenario())
        fleet.place(place)
        yield FleetBench(fleet, kill, models=MODELS)

    ran = run_real(check_fleet, bench)
    assert str(ran) == f"{len(FLEET_CHECKS)} of {len(FLEET_CHECKS)}"
    assert processes.notes(place.state) == ()
    assert sorted(log.stem for log in (tmp_path / "run" / "processes").glob("*.log")) == [
        "candidate-v2-2", "candidate-v2-3", "candidate-v2-4", "stable-v1-1",
    ]  # fmt: skip


def test_endpoints_keep_what_is_theirs_to_keep() -> None:
    def endpoint() -> web.Application:
        async def well(request: web.Request) -> web.Response:
            await request.read()
            return web.Response()

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", well)
        return app

    @asynccontextmanager
    async def bench() -> AsyncIterator[FleetBench]:
        async with site(endpoint()) as stable, site(endpoint()) as candidate:
            plan = EndpointsPlan({Role.STABLE: (stable,), Role.CANDIDATE: (candidate,)})
            of = scenario(real=RealPlan(local=LocalPlan(probe_every_ns=50 * MILLISECOND), http=plan))
            yield FleetBench(EndpointFleet(of), models=MODELS, not_ours=True)

    ran = run_real(check_fleet, bench)
    assert str(ran) == (
        "3 of 3 (cannot be tried here: a_dead_replica_comes_back, the_router_lets_go_first, "
        "another_candidate_takes_its_place, a_candidate_becomes_stable, stopping_leaves_nothing)"
    )


class Sites:
    """A fleet of small sites in this process: no program, no process."""

    def __init__(self) -> None:
        self.wanted: dict[Role, int] = {}
        self.up: dict[Role, dict[str, AsyncExitStack]] = {role: {} for role in ARMS}
        self.point: Point
        self.sender, self.receiver = anyio.create_memory_object_stream[Notice](100)

    async def start(self, models: Mapping[Role, TrainedModel], stable: int, point: Point) -> None:
        del models
        self.point = point
        await self.apply({Role.STABLE: stable, Role.CANDIDATE: 0})

    async def attach(self, models: Mapping[Role, TrainedModel], wanted: Mapping[Role, int], point: Point) -> None:
        raise NotImplementedError

    async def apply(self, replicas: Mapping[Role, int]) -> None:
        if any(count < 0 for count in replicas.values()):
            raise ServingError("below 0")
        self.wanted |= replicas
        gone = []
        for role, count in self.wanted.items():
            while len(self.up[role]) < count:
                await self.add(role)
            while len(self.up[role]) > count:
                gone.append(self.up[role].popitem()[1])
        await self.let_go(gone)

    async def add(self, role: Role) -> None:
        stack = AsyncExitStack()
        url = await stack.enter_async_context(site(web.Application()))
        self.up[role][url] = stack

    async def let_go(self, gone: list[AsyncExitStack]) -> None:
        await self.tell_router()
        for stack in gone:
            await stack.aclose()

    async def tell_router(self) -> None:
        await self.point({role: tuple(self.up[role]) for role in ARMS})

    async def kill(self, url: str) -> None:
        role = next(role for role in ARMS if url in self.up[role])
        await self.up[role].pop(url).aclose()
        self.tell("replica_crashed", role)
        await self.tell_router()
        await self.add(role)
        await self.tell_router()
        self.tell("replica_ready", role)

    def tell(self, kind: str, role: Role) -> None:
        self.sender.send_nowait(Notice(kind, (role,), kind))

    async def observe(self) -> Mapping[Role, Readiness]:
        return {role: Readiness(self.wanted[role], len(self.up[role])) for role in ARMS}

    async def probe(self, role: Role) -> bool:
        return bool(self.up[role])

    async def notices(self) -> AsyncIterator[Notice]:
        async for notice in self.receiver:
            yield notice

    async def replace(self, models: Mapping[Role, TrainedModel], *, adopt: bool) -> None:
        del models
        if adopt:
            self.up[Role.STABLE], self.up[Role.CANDIDATE] = self.up[Role.CANDIDATE], self.up[Role.STABLE]
        await self.apply({Role.CANDIDATE: 0})

    async def stop(self) -> None:
        gone = [stack for sites in self.up.values() for stack in sites.values()]
        self.up = {role: {} for role in ARMS}
        for stack in gone:
            await stack.aclose()
        self.sender.close()

    def scraped(self) -> Mapping[str, Mapping[str, str]]:
        return {f"{url}/metrics": {"arm": role, "revision": "m:1"} for role in ARMS for url in self.up[role]}


class LateRouter(Sites):
    async def start(self, models: Mapping[Role, TrainedModel], stable: int, point: Point) -> None:
        async def nothing(behind: Any) -> None:
            del behind

        await super().start(models, stable, nothing)
        self.point = point


class Accumulates(Sites):
    async def apply(self, replicas: Mapping[Role, int]) -> None:
        more = {role: count + self.wanted.get(role, 0) if count > 0 else count for role, count in replicas.items()}
        await super().apply(more)


class BelowNothing(Sites):
    async def apply(self, replicas: Mapping[Role, int]) -> None:
        await super().apply({role: max(0, count) for role, count in replicas.items()})


class Secretive(Sites):
    def tell(self, kind: str, role: Role) -> None:
        if kind != "replica_crashed":
            super().tell(kind, role)


class Forgetful(Sites):
    """A replica that died is left with the router."""

    async def kill(self, url: str) -> None:
        self.tell("replica_crashed", Role.CANDIDATE)


class Hasty(Sites):
    async def let_go(self, gone: list[AsyncExitStack]) -> None:
        for stack in gone:
            await stack.aclose()
        await self.tell_router()


class Clinging(Sites):
    """A candidate that was given up lives on."""

    async def replace(self, models: Mapping[Role, TrainedModel], *, adopt: bool) -> None:
        left, self.up[Role.CANDIDATE] = self.up[Role.CANDIDATE], {}
        await super().replace(models, adopt=False)
        self.left = left

    async def stop(self) -> None:
        for stack in self.left.values():
            await stack.aclose()
        await super().stop()


class Starts_Anew(Sites):  # noqa: N801 - read as two words
    """An adopted candidate is replaced by new replicas."""

    async def replace(self, models: Mapping[Role, TrainedModel], *, adopt: bool) -> None:
        await super().replace(models, adopt=False)
        if adopt:
            await self.apply({Role.STABLE: 0})
            await self.apply({Role.STABLE: 1})


class Undying(Sites):
    async def stop(self) -> None:
        if hasattr(self, "once"):
            await super().stop()
        self.once = True


BROKEN: Mapping[type[Sites], str] = {
    LateRouter: "the router has been pointed at stable once",
    Accumulates: "applying twice is applying once",
    BelowNothing: "a count below 0 is a ServingError",
    Secretive: "replica_crashed is told of candidate",
    Forgetful: "the router is pointed away from a replica that has died",
    Hasty: "only once the router has let go of it",
    Clinging: "a candidate that was given up are gone",
    Starts_Anew: "the replicas of an adopted candidate are stable's",
    Undying: "a fleet that was stopped leaves no replica",
}


def checked(kind: type[Sites], patience_s: float) -> str:
    fleet = kind()

    @asynccontextmanager
    async def bench() -> AsyncIterator[FleetBench]:
        yield FleetBench(fleet, fleet.kill, models=MODELS, ready_within_s=patience_s)

    try:
        return str(run_real(check_fleet, bench))
    finally:
        fleet.sender.close()
        fleet.receiver.close()


def test_sites_in_this_process_keep_them_as_well() -> None:
    assert checked(Sites, 60.0) == "8 of 8"


@pytest.mark.parametrize("kind", BROKEN)
def test_each_check_notices_a_fleet_that_breaks_it(kind: type[Sites]) -> None:
    with pytest.raises(AssertionError, match=BROKEN[kind]):
        checked(kind, 1.5)


def test_what_cannot_be_killed_is_not_checked_for_it() -> None:
    fleet = Sites()

    @asynccontextmanager
    async def bench() -> AsyncIterator[FleetBench]:
        yield replace(FleetBench(fleet), models=MODELS)

    assert str(run_real(check_fleet, bench)) == "7 of 7 (cannot be tried here: a_dead_replica_comes_back)"
    fleet.receiver.close()

"""Endpoints that exist as a fleet, against real servers that are ready or not, slow, gone and back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web

from harness.backends import endpoints
from harness.backends.endpoints import EndpointFleet
from harness.backends.real import RealPlatform
from harness.clock import run_virtual
from harness.contracts import sample_model
from harness.domain.model import ARMS, Role
from harness.domain.real import EndpointsPlan, LocalPlan, RealPlan
from harness.domain.units import MILLISECOND
from harness.errors import RoutingError, ServingError
from harness.protocols import Notice, Readiness
from harness.realtime import Behind
from harness.serving.fake.app import application
from tests.build import scenario
from tests.sites import site

MODELS = {role: sample_model(number) for number, role in enumerate(ARMS, start=1)}


@dataclass
class Server:
    """Says what it is told to say."""

    ready: int = 200
    predicts: int = 200
    hangs: bool = False
    url: str = ""
    asked: list[Any] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/ready", self.on_ready)
        app.router.add_post("/predict", self.on_predict)
        return app

    async def on_ready(self, _: web.Request) -> web.Response:
        if self.hangs:
            await self.released.wait()
        return web.Response(status=self.ready)

    async def on_predict(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        return web.Response(status=self.predicts)


@asynccontextmanager
async def servers(count: int) -> AsyncIterator[list[Server]]:
    async with AsyncExitStack() as stack:
        made = [Server() for _ in range(count)]
        for each in made:
            each.url = await stack.enter_async_context(site(each.app()))
        yield made
        for each in made:
            each.released.set()


class Router:
    """Remembers whom it was pointed at."""

    def __init__(self) -> None:
        self.behind: list[dict[Role, tuple[str, ...]]] = []
        self.refuses = 0

    async def point(self, behind: Behind) -> None:
        if self.refuses:
            self.refuses -= 1
            raise RoutingError("out of order")
        self.behind.append({role: urls for role, urls in behind.items() if urls})

    @property
    def now(self) -> dict[Role, tuple[str, ...]]:
        return self.behind[-1]


@asynccontextmanager
async def fleet(stable: list[Server], candidate: list[Server], **local: int) -> AsyncIterator[EndpointFleet]:
    urls = {
        Role.STABLE: tuple(each.url for each in stable),
        Role.CANDIDATE: tuple(each.url for each in candidate),
    }
    plan = RealPlan(local=LocalPlan(**{"probe_every_ns": 20 * MILLISECOND, **local}), http=EndpointsPlan(urls))
    made = EndpointFleet(replace(scenario(), real=plan))
    try:
        yield made
    finally:
        await made.stop()
        await made.stop()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what a fleet does by itself is seen only by looking
        await asyncio.sleep(0.005)


async def ready(made: EndpointFleet, role: Role, wanted: int) -> None:
    while (await made.observe())[role] != Readiness(wanted, wanted):  # noqa: ASYNC110 - seen only by looking
        await asyncio.sleep(0.005)


async def test_stable_is_pointed_at_when_it_is_ready_and_nothing_else_is() -> None:
    async with servers(3) as (first, second, other), fleet([first, second], [other]) as made:
        second.ready = 503
        router = Router()
        starting = asyncio.create_task(made.start(MODELS, 2, router.point))
        await until(lambda: bool(router.behind))
        assert router.now == {Role.STABLE: (first.url,)}
        assert not starting.done()
        second.ready = 200
        await starting
        assert router.now == {Role.STABLE: (first.url, second.url)}
        assert await made.observe() == {Role.STABLE: Readiness(2, 2)}


async def test_more_than_there_are_means_all_and_is_told_as_reached() -> None:
    async with servers(3) as (first, second, other), fleet([first], [second, other]) as made:
        router = Router()
        await made.start(MODELS, 4, router.point)
        assert await made.observe() == {Role.STABLE: Readiness(4, 4)}
        other.ready = 503
        await made.apply({Role.STABLE: 4, Role.CANDIDATE: 4})
        await until(lambda: Role.CANDIDATE in router.now)
        assert (await made.observe())[Role.CANDIDATE] == Readiness(4, 1)
        other.ready = 200
        await ready(made, Role.CANDIDATE, 4)
        assert router.now == {Role.STABLE: (first.url,), Role.CANDIDATE: (second.url, other.url)}


async def test_a_count_below_takes_the_first_that_are_ready_and_none_takes_none() -> None:
    async with servers(4) as (stable, *others), fleet([stable], others) as made:
        router = Router()
        await made.start(MODELS, 1, router.point)
        others[0].ready = 503
        await made.apply({Role.CANDIDATE: 1})
        await ready(made, Role.CANDIDATE, 1)
        assert router.now[Role.CANDIDATE] == (others[1].url,)
        assert await made.probe(Role.CANDIDATE)
        await made.apply({Role.CANDIDATE: 0})
        assert (await made.observe())[Role.CANDIDATE] == Readiness(0, 0)
        assert not await made.probe(Role.CANDIDATE)
        await until(lambda: Role.CANDIDATE not in router.now)
        assert router.now == {Role.STABLE: (stable.url,)}


async def test_one_that_goes_is_told_and_left_out_and_one_that_comes_back_is_taken_in() -> None:
    async with servers(2) as (first, second), fleet([first, second], []) as made:
        router, told = Router(), list[Notice]()
        await made.start(MODELS, 2, router.point)

        async def listen() -> None:
            async for notice in made.notices():
                told.append(notice)

        listening = asyncio.create_task(listen())
        second.ready = 503
        await until(lambda: router.now == {Role.STABLE: (first.url,)})
        assert (await made.observe())[Role.STABLE] == Readiness(2, 1)
        second.ready = 200
        await until(lambda: router.now == {Role.STABLE: (first.url, second.url)})
        await made.stop()
        await listening
        assert [(notice.kind, notice.on) for notice in told[2:]] == [
            ("replica_crashed", (Role.STABLE,)), ("replica_ready", (Role.STABLE,))
        ]  # fmt: skip
        assert told[2].text == f"{second.url} says 503"


async def test_one_that_is_late_once_is_asked_again_before_it_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async with servers(2) as (first, second), fleet([first, second], [], probe_every_ns=10**12) as made:
        router = Router()
        await made.start(MODELS, 2, router.point)
        monkeypatch.setattr(endpoints, "LOOK_S", 0.5)
        second.hangs = True
        assert (await made.observe())[Role.STABLE] == Readiness(2, 2)
        assert (await made.observe())[Role.STABLE] == Readiness(2, 1)
        second.hangs = False
        await ready(made, Role.STABLE, 2)


async def test_where_none_is_ready_the_router_keeps_what_it_had() -> None:
    async with servers(1) as (only,), fleet([only], []) as made:
        router = Router()
        await made.start(MODELS, 1, router.point)
        only.ready = 500
        while (await made.observe())[Role.STABLE].ready:  # noqa: ASYNC110 - seen only by looking
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        assert router.now == {Role.STABLE: (only.url,)}


async def test_a_router_that_fails_is_pointed_again(caplog: pytest.LogCaptureFixture) -> None:
    async with servers(2) as (stable, candidate), fleet([stable], [candidate]) as made:
        router = Router()
        await made.start(MODELS, 1, router.point)
        router.refuses = 2
        await made.apply({Role.CANDIDATE: 1})
        await ready(made, Role.CANDIDATE, 1)
        assert router.now[Role.CANDIDATE] == (candidate.url,)
        assert caplog.text.count("could not be pointed at the endpoints that are ready: out of order") == 2


@pytest.mark.parametrize(
    ("status", "alive"),
    [(200, True), (400, True), (415, True), (422, True), (401, False), (404, False), (429, False), (500, False)],
)
async def test_a_probe_is_answered_by_what_works_even_where_it_refuses_the_row(status: int, alive: bool) -> None:
    async with servers(1) as (only,), fleet([only], []) as made:
        await made.start({Role.STABLE: replace(MODELS[Role.STABLE], features=("a", "b"))}, 1, Router().point)
        only.predicts = status
        assert await made.probe(Role.STABLE) is alive
        assert only.asked == [{"a": None, "b": None}]


async def test_our_own_server_is_probed_well() -> None:
    async with site(application()) as url:
        server = Server(url=url)
        async with fleet([server], []) as made:
            await made.start(MODELS, 1, Router().point)
            assert await made.probe(Role.STABLE)
            assert made.scraped() == {f"{url}/metrics": {"arm": "stable"}}


async def test_attached_to_again_it_points_at_what_is_ready_and_waits_for_nothing() -> None:
    async with servers(3) as (first, second, other), fleet([first, second], [other]) as made:
        second.ready = 503
        router = Router()
        await made.attach(MODELS, {Role.STABLE: 2, Role.CANDIDATE: 1}, router.point)
        assert await made.observe() == {Role.STABLE: Readiness(2, 1), Role.CANDIDATE: Readiness(1, 1)}
        assert router.now == {Role.STABLE: (first.url,), Role.CANDIDATE: (other.url,)}


async def test_another_candidate_is_the_users_to_bring_up() -> None:
    async with servers(2) as (stable, candidate), fleet([stable], [candidate]) as made:
        router = Router()
        await made.start(MODELS, 1, router.point)
        await made.apply({Role.CANDIDATE: 1})
        await ready(made, Role.CANDIDATE, 1)
        another = {**MODELS, Role.CANDIDATE: replace(MODELS[Role.CANDIDATE], artifact_digest="sha256:other")}
        with pytest.raises(ServingError, match=rf"would have to run at {candidate.url}, .*bring it up there"):
            await made.replace(another, adopt=False)
        with pytest.raises(ServingError, match=f"would have to run at {stable.url}"):
            await made.replace(MODELS, adopt=True)
        told = len(router.behind)
        await until(lambda: len(router.behind) > told)  # a router that has adopted is told who is who
        assert router.now == {Role.STABLE: (stable.url,), Role.CANDIDATE: (candidate.url,)}
        await made.replace(MODELS, adopt=False)
        assert (await made.observe())[Role.CANDIDATE] == Readiness(0, 0)


async def test_endpoints_that_are_not_there_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "READY_WITHIN_S", 0.2)
    async with fleet([], []) as made:
        with pytest.raises(ServingError, match="no endpoint of stable is known: real"):
            await made.start(MODELS, 1, Router().point)
    gone = Server(url="http://127.0.0.1:1")
    async with fleet([gone], []) as made:
        with pytest.raises(ServingError, match=r"not ready within 0\.2 s: http://127\.0\.0\.1:1"):
            await made.start(MODELS, 1, Router().point)
        with pytest.raises(ServingError, match="no endpoint of baseline is known"):
            await made.apply({Role.BASELINE: 1})


def test_they_are_not_asked_on_virtual_time() -> None:
    async def start() -> None:
        async with fleet([Server(url="http://127.0.0.1:1")], []) as made:
            await made.start(MODELS, 1, Router().point)

    with pytest.raises(ServingError, match="--clock real"):
        run_virtual(start)


async def test_a_router_is_told_to_adopt_nothing_that_endpoints_cannot_follow() -> None:
    class Gateway(Router):
        adopted = 0

        async def adopt(self) -> None:
            self.adopted += 1

    async with servers(2) as (stable, candidate), fleet([stable], [candidate]) as made:
        gateway: Any = Gateway()
        await made.start(MODELS, 1, gateway.point)
        with pytest.raises(ServingError, match=f"would have to run at {stable.url}"):
            await RealPlatform(scenario(), made, gateway, gateway).replace(MODELS, None, adopt=True)
        assert gateway.adopted == 0

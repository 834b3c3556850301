"""An arm is well only if users get its answers: at the router's address, and at each of its replicas."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from harness.backends.endpoints import EndpointFleet
from harness.backends.local_probes import Probes
from harness.backends.outside import WebhookRouter
from harness.backends.real import RealPlatform
from harness.contracts import sample_model
from harness.domain.model import ARMS, Revision, Role
from harness.domain.real import EndpointsPlan, RealPlan, RouterPlan
from harness.domain.rollout import Routing
from harness.domain.units import WHOLE
from harness.errors import ServingError
from harness.realtime import ARM_HEADER, COPY_HEADER, Place
from harness.users import Users
from tests.build import scenario
from tests.sites import site

MODELS = {role: replace(sample_model(number), features=("a",)) for number, role in enumerate(ARMS, start=1)}
ALL_STABLE = Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0})


@dataclass
class Front:
    """A router of somebody's own, that does what it is told, or what it likes."""

    status: int = 200
    arm: str = ""
    """Empty: it says nothing of arms."""
    version: int | None = None
    asked: list[Any] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/predict", self.predict)
        app.router.add_post("/routing", self.routing)
        return app

    async def predict(self, request: web.Request) -> web.Response:
        self.asked.append((await request.json(), request.headers.get(COPY_HEADER)))
        said = {"prediction": "no"} | ({"version": self.version} if self.version else {})
        return web.json_response(said, status=self.status, headers={ARM_HEADER: self.arm} if self.arm else {})

    async def routing(self, request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({})


def replica() -> web.Application:
    """A model server that is always well."""

    async def well(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", well)
    return app


@asynccontextmanager
async def platform(front: Front, folder: Path) -> AsyncIterator[RealPlatform]:
    """Endpoints that are well, behind a router that is told by a webhook."""
    async with site(front.app()) as url, site(replica()) as stable, site(replica()) as candidate:
        plan = RealPlan(
            http=EndpointsPlan({Role.STABLE: (stable,), Role.CANDIDATE: (candidate,)}, front=url),
            router=RouterPlan(webhook=f"{url}/routing"),
        )
        of = scenario(real=plan)
        fleet, users = EndpointFleet(of), Users(of)
        made = RealPlatform(of, fleet, WebhookRouter(of), users)
        made.inform({role: Revision("m", number, "") for number, role in enumerate(ARMS, start=1)})
        made.place(Place(folder / "run", folder / "state", "asked", 1))
        await made.gateway.start()
        await fleet.start(MODELS, 1, made.gateway.point)
        await fleet.apply({Role.CANDIDATE: 1})
        made._asked.models = MODELS
        try:
            yield made
        finally:
            await fleet.stop()
            await made.gateway.stop()


async def test_an_arm_with_all_traffic_is_asked_where_users_ask(tmp_path: Path) -> None:
    front = Front(arm="stable")
    async with platform(front, tmp_path) as made:
        await made.router.apply(Routing({Role.STABLE: 5000, Role.CANDIDATE: 5000}))
        assert await made.serving.probe(Role.STABLE)
        assert front.asked == []  # with half of the traffic nothing is said by who answers
        await made.router.apply(ALL_STABLE)
        assert await made.serving.probe(Role.STABLE)
        assert set(map(str, front.asked)) == {str(({"a": None}, "probe"))}
        assert await made.serving.probe(Role.CANDIDATE)  # it has no traffic, and its endpoint answers


@pytest.mark.parametrize(
    ("front", "well"),
    [
        pytest.param(Front(version=1), True, id="by the version it is stable"),
        pytest.param(Front(), True, id="nothing is said"),
        pytest.param(Front(status=422), True, id="the row is refused"),
        pytest.param(Front(status=503), False, id="no replica"),
        pytest.param(Front(status=404), False, id="no such path"),
    ],
)
async def test_endpoints_that_are_well_are_not_enough(front: Front, well: bool, tmp_path: Path) -> None:
    async with platform(front, tmp_path) as made:
        await made.router.apply(ALL_STABLE)
        assert await made.fleet.probe(Role.STABLE)
        assert await made.serving.probe(Role.STABLE) is well


@pytest.mark.parametrize("front", [Front(arm="candidate"), Front(version=2)], ids=["header", "version"])
async def test_a_router_that_does_not_follow_is_told(front: Front, tmp_path: Path) -> None:
    async with platform(front, tmp_path) as made:
        await made.router.apply(ALL_STABLE)
        with pytest.raises(ServingError, match=r"^stable has all traffic by the router, and .* answered by candidate$"):
            await made.serving.probe(Role.STABLE)


async def test_each_replica_has_its_turn() -> None:
    asked: Counter[str] = Counter()

    def answering(name: str, status: int) -> web.Application:
        async def predict(request: web.Request) -> web.Response:
            asked[name] += await request.json() == {"a": 1}
            return web.Response(status=status)

        async def openapi(_: web.Request) -> web.Response:
            row = {"content": {"application/json": {"example": {"a": 1}}}}
            return web.json_response({"paths": {"/predict": {"post": {"requestBody": row}}}})

        app = web.Application()
        app.router.add_post("/predict", predict)
        app.router.add_get("/openapi.json", openapi)
        return app

    async with (
        site(answering("well", 200)) as well, site(answering("ill", 500)) as ill, aiohttp.ClientSession() as session
    ):  # fmt: skip
        there: Any = [SimpleNamespace(url=url, loaded=SimpleNamespace(digest="same")) for url in (well, ill)]
        probes = Probes()
        said = [await probes.probe(session, there, 10.0) for _ in range(6)]
        assert await probes.example(session, there) == {"a": 1}
    assert (sum(said), asked) == (3, {"well": 3, "ill": 3})

"""Users, a router and replicas of the tests together keep what any platform must, as far as users have a part in it."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from aiohttp import web

from harness.contracts import PLATFORM_CHECKS, Patience
from harness.domain.model import ARMS, Role, TrainedModel
from harness.domain.rollout import Routing, Weights
from harness.domain.scenario import Scenario
from harness.domain.traffic import Knots, RequestClass
from harness.domain.units import WHOLE
from harness.errors import RoutingError
from harness.protocols import Readiness
from harness.realtime import ARM_HEADER
from harness.seeds import stream
from harness.users import Users, Watched
from tests.sites import site
from tests.users.asked import asks, models, population

HEADER = ("X-Beta", "yes")


class Platform:
    """Both arms behind one address, in this process."""

    realtime = True

    def __init__(self, scenario: Scenario) -> None:
        self.users = self.metrics = Users(scenario)
        self.router, self.serving = Watched(self, self.users), Replicas()
        self.want = Routing({Role.STABLE: WHOLE})
        self.draws = stream(1, "split").generator()
        self.users_arms = stream(2, "split").generator().random(1000)

    async def predict(self, request: web.Request) -> web.Response:
        await request.read()
        weight = self.want.weights.get(Role.CANDIDATE, 0) / WHOLE
        draw = self.users_arms[int(request.headers["x-user-id"])] if self.want.sticky else self.draws.random()
        led = any(request.headers.get(route.header) == route.value for route in self.want.routes)
        role = Role.CANDIDATE if led or draw < weight else Role.STABLE
        return web.json_response({"prediction": "no", "confidence": 0.9}, headers={ARM_HEADER: role.value})

    async def apply(self, want: Routing) -> Weights:
        if want.mirror:
            raise RoutingError("nothing is mirrored here")
        self.want = want
        return want.weights

    async def replace(self, made: Mapping[Role, TrainedModel], _: object, *, adopt: bool) -> None:
        self.want, self.serving.wanted = Routing({Role.STABLE: WHOLE}), {Role.STABLE: 2}
        await self.users.replace(models(), population(), adopt=adopt)


class Replicas:
    """Ready at once."""

    def __init__(self) -> None:
        self.wanted: dict[Role, int] = {Role.STABLE: 2}

    async def apply(self, replicas: Mapping[Role, int]) -> None:
        self.wanted = dict(replicas)

    async def observe(self) -> Mapping[Role, Readiness]:
        return {role: Readiness(self.wanted.get(role, 0), self.wanted.get(role, 0)) for role in ARMS}


@pytest.mark.parametrize(
    "name",
    [
        "weights_are_kept", "nothing_is_lost_while_weights_change", "windows_add_up", "the_future_is_not_measured",
        "features_are_told_in_shares", "users_keep_to_their_arm", "headers_lead_to_the_candidate",
        "another_candidate_finds_users_served",
    ],
)  # fmt: skip
async def test_the_platform_keeps_its_promise(name: str) -> None:
    kinds = (RequestClass("plain", 0.8), RequestClass("beta", 0.2, headers=(HEADER,)))
    scenario = asks()
    traffic = replace(scenario.traffic, curve=Knots((0,), (400.0,)), users=10, classes=kinds)
    platform = Platform(replace(scenario, traffic=traffic))
    app = web.Application()
    app.router.add_post("/predict", platform.predict)
    async with site(app) as url:
        await platform.users.start(url, models(), population())
        try:
            await PLATFORM_CHECKS[name](platform, Patience(serve_s=0.3, header=HEADER))
        finally:
            await platform.users.stop()

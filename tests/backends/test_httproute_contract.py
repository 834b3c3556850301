"""The contract of gateways, as far as it can be held of an HTTPRoute.

Not run, and why: an HTTPRoute ends nothing (`stopping_twice…`); it has no replicas of its own to be without, to share
requests between or to let go of (`it_answers_itself…`, `replicas_of_an_arm…`, `…is_let_go…`, `…dies`), which is the
fleet's affair and its proxies'; its Gateway names no arm in answers (`what_is_adopted…`, `a_request_arrives…`): each
pod names its own, which is what users go by. That changes and adoption lose nothing is held in test_httproute.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from lightkube import AsyncClient

from fakes.kube_api import AppKubelet, KubeApi
from fakes.kube_kinds import ROUTE, SLICE
from harness.backends.httproute import HttpRouteRouter
from harness.backends.kubernetes_api import POD, SERVICE, resource
from harness.backends.kubernetes_api import ROUTE as HTTP_ROUTE
from harness.contracts.routers import check_gateway, passed_of
from harness.domain.model import Revision, Role
from harness.domain.real import KubernetesPlan, RealPlan
from harness.domain.scenario import Scenario
from harness.manifests import workloads
from harness.manifests.common import deployment_name, selector
from harness.realtime import ARM_HEADER, REPLICA_HEADER, Behind
from tests.build import scenario
from tests.kube import client_of, eventually, front

REVISIONS = {Role.STABLE: Revision("m", 1, "sha256:1"), Role.CANDIDATE: Revision("m", 2, "sha256:2")}
CHECKS = (
    "traffic_is_split_as_asked",
    "wrong_weights_are_refused",
    "copies_are_invisible",
    "users_keep_to_their_arm",
    "headers_lead_all_and_only_those",
    "another_harness_finds_what_is_in_force",
)
REFUSED = {"copies_are_invisible", "users_keep_to_their_arm"}
BEHIND, ARM = "tests/replica", "tests/arm"


def pod(of: Any) -> web.Application:
    """Passes on to a replica of the contract's, and says whose it is."""
    app, notes = web.Application(), of["metadata"]["annotations"]
    told = {ARM_HEADER: notes[ARM], REPLICA_HEADER: notes[BEHIND]}

    sessions: list[aiohttp.ClientSession] = []

    async def asking(_: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as session:
            sessions.append(session)
            yield

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/ready":
            return web.Response()
        async with sessions[0].post(f"{notes[BEHIND]}{request.raw_path}", data=await request.read()) as found:
            return web.Response(body=await found.read(), status=found.status, headers=told)

    app.cleanup_ctx.append(asking)
    app.router.add_route("*", "/{path:.*}", answer)
    return app


class Checked(HttpRouteRouter):
    """With a fleet of its own, whose pods pass on to the replicas that it is pointed at."""

    api: KubeApi
    admin: AsyncClient

    async def start(self) -> None:
        for held in self.api.store.all(ROUTE):
            await self.admin.delete(resource(HTTP_ROUTE), held["metadata"]["name"])
        for name in self.api.pods("ml"):
            await self.admin.delete(resource(POD), name, grace_period=0)
        await eventually(lambda: not self.api.pods("ml"))
        for role, revision in REVISIONS.items():
            await self.admin.apply(resource(SERVICE)(workloads.service(self._scenario, role, revision)), force=True)
        await super().start()

    async def point(self, behind: Behind) -> None:
        for role, urls in behind.items():
            for number, url in enumerate(urls):
                await self.admin.create(resource(POD)(self._pod(role, number, url)))
        count = sum(map(len, behind.values()))
        await eventually(lambda: self._ready() == count)
        await super().point(behind)

    def _ready(self) -> int:
        ends = [each for held in self.api.store.all(SLICE, "ml") for each in held["endpoints"]]
        return sum(each["conditions"]["ready"] for each in ends)

    def _pod(self, role: Role, number: int, url: str) -> dict[str, Any]:
        name = deployment_name(self._scenario, role, REVISIONS[role])
        container = {
            "name": "serve", "image": "m", "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
        }  # fmt: skip
        notes = {BEHIND: url, ARM: role.value}
        head = {"name": f"{name}-{number}", "labels": selector(name), "annotations": notes}
        return {"metadata": head, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}


@asynccontextmanager
async def there(tmp_path: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[tuple[KubeApi, AsyncClient, Scenario]]:
    async with KubeApi(namespaces=["ml"], kubelet=AppKubelet(pod)) as api, client_of(api) as admin:
        patch.setenv("KUBECONFIG", str(api.write_kubeconfig(tmp_path / "kubeconfig", "ml")))
        await admin.create(front())
        plan = KubernetesPlan(namespace="ml", registry="postgresql://db/m", gateway="front", front=api.gateway_url)
        yield api, admin, replace(scenario(), real=RealPlan(kubernetes=plan))


async def test_it_keeps_what_an_httproute_can_keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with there(tmp_path, monkeypatch) as (api, admin, of):

        def make() -> Checked:
            made = Checked(of, settle_s=0.0)
            made.api, made.admin = api, admin
            made.inform(REVISIONS)
            return made

        ran = await check_gateway(make, requests=60, only=CHECKS)
    assert passed_of(ran) == "6 of 6 passed, 2 of them as refused"
    assert {each.name for each in ran if each.refused} == REFUSED

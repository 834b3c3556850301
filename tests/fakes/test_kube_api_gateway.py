"""The data plane: requests split by weight and header, to the pods that are ready; and a whole canary over it."""

import asyncio
import json
from collections import Counter
from typing import Any

import aiohttp
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from lightkube import AsyncClient
from lightkube.resources.apps_v1 import Deployment
from lightkube.types import PatchType
from yarl import URL

from fakes.kube_api import AppKubelet, KubeApi
from fakes.kube_gateway import Wheel
from fakes.kube_kinds import ROUTE
from tests.kube import Gateway, Route, cluster, deployment, eventually, front, rolled_out, route, service, watched


def _pod(pod: Any) -> web.Application:
    """Says which deployment it is of and what it was asked; slow, or with an error, where its image says so."""
    app, image = web.Application(), pod["spec"]["containers"][0]["image"]

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/ready":
            return web.Response()
        if image == "model:slow":
            await asyncio.sleep(0.05)
        said = {"app": pod["metadata"]["labels"]["app"], "pod": pod["metadata"]["name"], "path": request.path_qs}
        text = json.dumps({**said, "body": await request.text()})
        return web.Response(status=500 if image == "model:wrong" else 200, text=text, headers={"x-image": image})

    app.router.add_route("*", "/{path:.*}", answer)
    return app


async def _serving(client: AsyncClient, **images: str) -> None:
    await client.create(front())
    for name, image in images.items():
        await client.create(service(name))
        await client.create(deployment(name, image, replicas=1))
    for name in images:
        await watched(client, Deployment, name, rolled_out)


async def _in_force(client: AsyncClient, wanted: Any) -> Any:
    done = await client.apply(wanted, force=True)

    def so(found: Any) -> bool:
        parents = (found.get("status") or {}).get("parents") or []
        told = [each for parent in parents for each in parent["conditions"]]
        return bool(told) and all(each["observedGeneration"] == done["metadata"]["generation"] for each in told)

    return await watched(client, Route, "models", so)


async def _ask(api: KubeApi, count: int, **headers: str) -> Counter[Any]:
    seen: Counter[Any] = Counter()
    async with aiohttp.ClientSession() as session:
        for _ in range(count):
            async with session.post(f"{api.gateway_url}/predict?x=1", data=b"row", headers=headers) as answer:
                text = await answer.text()
                seen[json.loads(text)["app"] if text.startswith("{") else answer.status] += 1
    return seen


def _conditions(found: Any) -> dict[str, str]:
    (parent,) = found["status"]["parents"]
    return {each["type"]: each["reason"] for each in parent["conditions"]}


async def test_shares_are_exact_and_headers_go_before_them():
    async with cluster(kubelet=AppKubelet(_pod)) as (api, client):
        await _serving(client, stable="model:1", candidate="model:2")
        found = await _in_force(client, route({"stable": 9000, "candidate": 1000}, {"canary": "candidate"}))
        assert _conditions(found) == {"Accepted": "Accepted", "ResolvedRefs": "ResolvedRefs"}
        assert await _ask(api, 100) == {"stable": 90, "candidate": 10}
        assert await _ask(api, 5, **{"x-arm": "canary"}) == {"candidate": 5}
        assert await _ask(api, 2, **{"x-arm": "other"}) == {"stable": 2}
        await _in_force(client, route({"stable": 1, "candidate": 3}))
        assert await _ask(api, 40) == {"stable": 10, "candidate": 30}
        await _in_force(client, route({"stable": 1, "candidate": 0}))
        assert await _ask(api, 10) == {"stable": 10}
        assert api.gateway.sent == {"ml/stable": 90 + 2 + 10 + 10, "ml/candidate": 10 + 5 + 30}
        asked = await client.get(Gateway, "front")
        assert asked["status"]["addresses"] == [{"type": "IPAddress", "value": "127.0.0.1"}]


async def test_answers_where_nobody_can():
    """404 where no route is; 500 for the share of a backend that is none; 503 where no pod is ready."""
    async with cluster(kubelet=AppKubelet(_pod)) as (api, client):
        assert await _ask(api, 1) == {404: 1}
        await _serving(client, stable="model:1")
        await client.create(service("empty"))
        found = await _in_force(client, route({"stable": 1, "nobody": 1}))
        assert _conditions(found)["ResolvedRefs"] == "BackendNotFound"
        assert await _ask(api, 10) == {"stable": 5, 500: 5}
        await _in_force(client, route({"stable": 1, "empty": 1}))
        assert await _ask(api, 10) == {"stable": 5, 503: 5}
        await client.delete(Gateway, "front")
        await eventually(lambda: not _accepted(api))
        assert await _ask(api, 1) == {404: 1}


def _accepted(api: KubeApi) -> bool:
    return _conditions(api.store.all(ROUTE)[0])["Accepted"] == "Accepted"


async def test_paths_methods_and_hosts_choose_the_most_specific_rule():
    async with cluster(kubelet=AppKubelet(_pod)) as (api, client):
        await _serving(client, a="model:1", b="model:1", c="model:1")
        body = route({"a": 1})
        b, c = ([{"name": name, "port": 80}] for name in "bc")
        body["spec"]["rules"] += [
            {"matches": [{"path": {"type": "PathPrefix", "value": "/v2"}}], "backendRefs": b},
            {"matches": [{"path": {"type": "Exact", "value": "/v2/models"}, "method": "GET"}], "backendRefs": c},
        ]
        body["spec"]["hostnames"] = ["*.example.org"]
        await _in_force(client, body)
        found = {}
        async with aiohttp.ClientSession(headers={"Host": "models.example.org"}) as session:
            for path in ("/", "/v1/x", "/v2", "/v2/", "/v22", "/v2/models"):
                async with session.get(api.gateway_url + path) as answer:
                    found[path] = json.loads(await answer.text())["app"]
            async with session.post(f"{api.gateway_url}/v2/models") as answer:
                assert json.loads(await answer.text())["app"] == "b"
            async with session.get(api.gateway_url, headers={"Host": "example.com"}) as answer:
                assert answer.status == 404
        assert found == {"/": "a", "/v1/x": "a", "/v2": "b", "/v2/": "b", "/v22": "a", "/v2/models": "c"}


async def test_a_request_is_passed_on_as_it_is():
    async with cluster(kubelet=AppKubelet(_pod)) as (api, client):
        await _serving(client, stable="model:wrong")
        await _in_force(client, route({"stable": 1}))
        url = f"{api.gateway_url}/a%2Fb?q=%20x"
        async with aiohttp.ClientSession() as session, session.put(URL(url, encoded=True), data=b"body") as answer:
            said = json.loads(await answer.text())
            assert (answer.status, answer.headers["x-image"]) == (500, "model:wrong")
        assert (said["path"], said["body"]) == ("/a%2Fb?q=%20x", "body")


async def test_no_request_is_lost_while_a_canary_is_rolled_out_and_its_pods_are_replaced():
    async with cluster(kubelet=AppKubelet(_pod)) as (api, client):
        await _serving(client, stable="model:1", candidate="model:slow")
        await _in_force(client, route({"stable": 1, "candidate": 1}))
        seen: Counter[str] = Counter()
        rolled = asyncio.Event()

        async def user() -> None:
            async with aiohttp.ClientSession() as session:
                while not rolled.is_set():
                    async with session.post(f"{api.gateway_url}/predict") as answer:
                        seen[f"{answer.status} {answer.headers.get('x-image')}"] += 1

        asking = [asyncio.create_task(user()) for _ in range(4)]
        container = {"name": "serve", "image": "model:3"}
        patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
        for name in ("candidate", "stable"):
            await client.patch(Deployment, name, patch, patch_type=PatchType.STRATEGIC)
            await watched(client, Deployment, name, rolled_out)
        await eventually(lambda: len(api.pods("ml")) == 2)
        rolled.set()
        await asyncio.gather(*asking)
        assert set(seen) == {"200 model:1", "200 model:slow", "200 model:3"}


@given(st.lists(st.integers(0, 20), min_size=1, max_size=5).filter(any), st.integers(1, 200))
def test_each_backend_is_within_one_request_of_its_share(weights: list[int], count: int):
    """Of smooth weighted round robin: exact over a whole round, and below one request per backend off at any time."""
    wheel, seen = Wheel(tuple(weights)), Counter[int]()
    for asked in range(1, count + 1):
        turn = wheel.turn()
        assert turn is not None
        seen[turn] += 1
        for i, weight in enumerate(weights):
            assert abs(seen[i] - asked * weight / sum(weights)) < len(weights)
        if asked % sum(weights) == 0:
            assert [seen[i] * sum(weights) for i in range(len(weights))] == [asked * weight for weight in weights]


def test_nobody_has_a_turn_where_nobody_has_a_weight():
    assert Wheel((0, 0)).turn() is None

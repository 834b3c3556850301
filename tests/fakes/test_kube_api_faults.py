"""Faults on order: each meets the request it was ordered for, as the real client sees it, and is counted."""

import asyncio
from typing import Any

import httpx2
import pytest
from lightkube import ApiError
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap
from lightkube.types import PatchType

from fakes.kube_api import Fault, Faults, Wrong
from harness.clock import now_ns
from harness.domain.units import SECOND
from tests.kube import client_of, cluster, code_of, deployment, eventually, rolled_out, settings, watched

CHANGE = {"data": {"x": "2"}}


@pytest.mark.parametrize(
    ("wrong", "code", "reason", "said"),
    [
        (Wrong.CONFLICT, 409, "Conflict", 'Operation cannot be fulfilled on configmaps "one": the object has been'),
        (Wrong.GONE, 410, "Expired", "too old"),
        (Wrong.ERROR, 500, "InternalError", "etcdserver: request timed out"),
        (Wrong.UNAVAILABLE, 503, "ServiceUnavailable", "currently unable to handle the request"),
    ],
)
async def test_the_nth_request_of_a_kind_is_refused_and_does_nothing(wrong: Wrong, code: int, reason: str, said: str):
    fault = Fault(wrong, verb="patch", resource="configmaps", nth=2)
    async with cluster() as (api, client):
        await client.create(settings("one", x="1"))
        api.faults.order(fault)
        await client.patch(ConfigMap, "one", {"data": {"y": "1"}}, patch_type=PatchType.MERGE)
        with pytest.raises(ApiError, match=said) as refused:
            await client.patch(ConfigMap, "one", CHANGE, patch_type=PatchType.MERGE)
        assert code_of(refused.value) == (code, reason)
        assert (await client.get(ConfigMap, "one")).data == {"x": "1", "y": "1"}
        await client.patch(ConfigMap, "one", CHANGE, patch_type=PatchType.MERGE)
        assert (api.faults.met(fault), api.audit.count("patch", "configmaps", code)) == (1, 1)
        if wrong is Wrong.UNAVAILABLE:
            assert refused.value.response.headers["Retry-After"] == "1"
            assert refused.value.status.details.retryAfterSeconds == 1


async def test_a_busy_server_answers_a_line_of_text_that_is_no_status():
    """As the filter of requests in flight does (k8s.io/apiserver, maxinflight.go): the client raises HTTP's error."""
    async with cluster() as (api, client):
        api.faults.order(Fault(Wrong.BUSY, verb="list", retry_after_s=7))
        with pytest.raises(httpx2.HTTPStatusError) as busy:
            [each async for each in client.list(ConfigMap)]
        assert not isinstance(busy.value, ApiError)
        assert (busy.value.response.status_code, busy.value.response.headers["Retry-After"]) == (429, "7")
        assert [each async for each in client.list(ConfigMap)] == []


async def test_a_connection_is_reset_before_a_request_or_after_it():
    async with cluster() as (api, client):
        await client.create(settings("one", x="1"))
        for wrong, left in ((Wrong.RESET, "1"), (Wrong.LOST, "2")):
            api.faults.order(Fault(wrong, verb="patch", name="one"))
            with pytest.raises(httpx2.TransportError):
                await client.patch(ConfigMap, "one", CHANGE, patch_type=PatchType.MERGE)
            assert (await client.get(ConfigMap, "one")).data == {"x": left}
        assert [entry.code for entry in api.audit.entries if entry.asked.verb == "patch"] == [0, 0]


async def test_an_answer_comes_late_and_its_effect_does_not():
    async with cluster() as (api, client):
        api.faults.order(Fault(Wrong.SLOW, verb="create", delay_s=30))
        creating = asyncio.create_task(client.create(settings("one")))
        await eventually(lambda: api.faults.met() == 1)
        assert (await client.get(ConfigMap, "one")).metadata.name == "one"
        assert not creating.done()
        creating.cancel()
        await asyncio.wait([creating])
        api.faults.order(Fault(Wrong.SLOW, verb="get", delay_s=0.2))
        began_ns = now_ns()
        await client.get(ConfigMap, "one")
        assert now_ns() - began_ns >= 0.2 * SECOND


async def test_a_server_that_is_down_resets_everybody_and_cuts_open_watches():
    async with cluster() as (api, client):
        told = aiter(client.watch(ConfigMap, server_timeout=60))
        watching = asyncio.create_task(anext(told))
        await eventually(lambda: api.audit.count("watch") == 1)
        api.faults.down(600)
        with pytest.raises(httpx2.TransportError):
            await watching
        with pytest.raises(httpx2.TransportError):
            await client.get(ConfigMap, "one")
        with pytest.raises(httpx2.TransportError):
            await client._client._client.get("version")
        api.faults.clear()
        await client.create(settings("one"))
        api.faults.down(0.05)
        await eventually(lambda: not api.faults.is_down)
        assert (await client.get(ConfigMap, "one")).metadata.name == "one"


async def test_a_fault_is_one_users_or_one_subresources():
    async with cluster() as (api, client), client_of(api, user="someone") as other:
        await client.create(deployment("d"))
        api.faults.order(
            Fault(Wrong.ERROR, user="someone", times=2), Fault(Wrong.CONFLICT, resource="deployments/scale")
        )
        await client.get(Deployment, "d")
        for _ in range(2):
            with pytest.raises(ApiError, match="Internal error"):
                await other.get(Deployment, "d")
        assert (await other.get(Deployment, "d")).metadata.name == "d"
        with pytest.raises(ApiError, match="the object has been modified"):
            await client.patch(Deployment.Scale, "d", {"spec": {"replicas": 1}}, patch_type=PatchType.MERGE)


def test_a_share_is_drawn_from_the_seed():
    def met(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.order(Fault(Wrong.ERROR, times=2000, share=0.25))
        return [faults.meets("get", "pods", "p", "u") is not None for _ in range(2000)]

    first = met(1)
    assert first == met(1)
    assert first != met(2)
    assert abs(sum(first) / 2000 - 0.25) < 4 * (0.25 * 0.75 / 2000) ** 0.5


async def test_a_rollout_by_a_stubborn_client_gets_through_all_of_it():
    """Conflicts, limits, errors, resets, cut watches and forgotten history: what is wanted comes to be, once."""
    async with cluster(history=50, seed=7) as (api, client):
        await client.create(deployment("d", replicas=1))
        storm = [Fault(wrong, times=40, share=0.2) for wrong in (Wrong.ERROR, Wrong.BUSY, Wrong.RESET, Wrong.LOST)]
        api.faults.order(*storm, Fault(Wrong.CUT, verb="watch", after=1, times=40, share=0.5))
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "serve", "image": "model:2"}]}}}}
        await _until_done(lambda: client.patch(Deployment, "d", patch))
        await _until_done(lambda: watched(client, Deployment, "d", _is_second))
        api.faults.clear()
        assert (await client.get(Deployment, "d")).metadata.generation == 2


def _is_second(found: Deployment) -> bool:
    return rolled_out(found) and found.metadata.generation == 2


async def _until_done(ask: Any) -> None:
    for _ in range(100):
        try:
            await ask()
        except (httpx2.HTTPError, ApiError):
            await asyncio.sleep(0.005)
        else:
            return
    raise AssertionError("not within a hundred tries")

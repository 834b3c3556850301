"""Controllers and nodes: rollouts within their margins, pods that never get ready, and what is told of both."""

import asyncio
from collections import Counter
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment, ReplicaSet
from lightkube.resources.core_v1 import PersistentVolumeClaim, Pod, Service, ServiceAccount
from lightkube.resources.discovery_v1 import EndpointSlice
from lightkube.types import PatchType

from fakes.kube_api import AppKubelet, Ill, KubeApi, PodScript
from fakes.kube_kinds import POD, REPLICA_SET, SLICE
from fakes.kube_pods import URL
from fakes.kube_podstatus import ready
from tests.kube import cluster, condition, deployment, eventually, rolled_out, service, watched

IMAGE_2 = {"spec": {"template": {"spec": {"containers": [{"name": "serve", "image": "model:2"}]}}}}


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "most", "least"),
    [(4, "25%", 0, 5, 4), (3, 0, 1, 3, 2), (4, "50%", "25%", 6, 3), (2, 0, 0, 0, 0)],
)
async def test_a_rollout_stays_within_its_margins(replicas: int, surge: Any, unavailable: Any, most: int, least: int):
    """At every resource version: never more pods than replicas and surge, never fewer ready ones than it may spare."""
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    if not most:  # neither more nor fewer: that is refused
        async with cluster() as (_, client):
            with pytest.raises(Exception, match="may not be 0 when `maxSurge` is 0"):
                await client.create(deployment("d", replicas=replicas, strategy=rolling))
        return
    async with cluster(lag_s=0.005) as (api, client):
        api.scripts.say(PodScript(ready_after_s=0.005, stops_after_s=0.005))
        await client.create(deployment("d", replicas=replicas, strategy=rolling))
        await watched(client, Deployment, "d", rolled_out)
        began = api.store.version
        await client.patch(Deployment, "d", IMAGE_2)
        await watched(client, Deployment, "d", rolled_out)
        counts = [_counts(api.store.at(POD, version)) for version in range(began, api.store.version + 1)]
        assert max(there for there, _ in counts) == most
        assert min(up for _, up in counts) == least
        left = [pod for pod in api.store.all(POD) if "deletionTimestamp" not in pod["metadata"]]
        assert {pod["spec"]["containers"][0]["image"] for pod in left} == {"model:2"}


def _counts(pods: list[Any]) -> tuple[int, int]:
    """Pods that are there, and those of them that are ready; one that is going is neither."""
    staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    return len(staying), sum(map(ready, staying))


async def _never_ready() -> None:
    """A rollout that never gets ready keeps the old pods, and its deadline is told."""
    async with cluster() as (api, client):
        made = deployment("d", progressDeadlineSeconds=1, strategy=_surging(1))
        await client.create(made)
        assert condition(await watched(client, Deployment, "d", rolled_out), "Available") == (
            "True", "MinimumReplicasAvailable",
        )  # fmt: skip
        api.scripts.say(PodScript(ready_after_s=None), labels={"app": "d"})
        await client.patch(Deployment, "d", IMAGE_2)
        late = ("False", "ProgressDeadlineExceeded")
        stuck = await watched(client, Deployment, "d", lambda d: condition(d, "Progressing") == late)
        assert condition(stuck, "Available")[0] == "True"
        assert (stuck.status.readyReplicas, stuck.status.updatedReplicas, stuck.status.replicas) == (2, 1, 3)
        api.scripts.say(PodScript())
        await client.patch(Deployment, "d", {"spec": {"template": made.spec.template}})
        back = await watched(client, Deployment, "d", rolled_out)
        assert condition(back, "Progressing") == ("True", "NewReplicaSetAvailable")
        assert back.metadata.annotations["deployment.kubernetes.io/revision"] == "3"
        sets = [each async for each in client.list(ReplicaSet)]
        assert sorted(each.spec.replicas for each in sets) == [0, 2]


async def test_deadlines_and_availability_take_their_seconds():
    """Two clusters at once, for neither has a unit below a second."""
    async with asyncio.TaskGroup() as both:
        both.create_task(_never_ready())
        both.create_task(_ready_for_a_while())


def _surging(most: int) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": most, "maxUnavailable": 0}}


@pytest.mark.parametrize(
    ("script", "phase", "reason"),
    [
        (PodScript(ill=Ill.CRASH), "Running", "CrashLoopBackOff"),
        (PodScript(ill=Ill.IMAGE), "Pending", "ImagePullBackOff"),
        (PodScript(ill=Ill.UNSCHEDULABLE), "Pending", "Unschedulable"),
    ],
)
async def test_what_keeps_a_pod_from_getting_ready_is_told(script: PodScript, phase: str, reason: str):
    async with cluster() as (api, client):
        api.scripts.say(script, prefix="d-")
        await client.create(deployment("d", replicas=1))
        await eventually(lambda: len(api.pods("ml")) == 1)
        (name,) = api.pods("ml")
        ill = await watched(client, Pod, name, lambda pod: _told(pod) == reason and pod.status.phase == phase)
        assert condition(ill, "Ready")[0] in {"False", ""}
        assert condition(await client.get(Deployment, "d"), "Available") == ("False", "MinimumReplicasUnavailable")


def _told(pod: Pod) -> str:
    waiting = [each.state.waiting.reason for each in pod.status.containerStatuses or [] if each.state.waiting]
    return waiting[0] if waiting else condition(pod, "PodScheduled")[1]


async def test_a_pod_that_crashes_or_is_deleted_comes_back():
    async with cluster() as (api, client):
        await client.create(deployment("d", replicas=1))
        await watched(client, Deployment, "d", rolled_out)
        (name,) = api.pods("ml")
        api.crash("ml", name)
        again = await watched(client, Pod, name, lambda pod: pod.status.containerStatuses[0].restartCount == 1)
        again = await watched(client, Pod, name, lambda pod: condition(pod, "Ready")[0] == "True")
        assert again.status.podIP.startswith("10.244.")
        await client.delete(Pod, name)
        await eventually(lambda: name not in api.pods("ml") and len(api.pods("ml")) == 1)


async def _ready_for_a_while() -> None:
    """Pods are available after they were ready for so long."""
    async with cluster() as (api, client):
        await client.create(deployment("d", replicas=1, minReadySeconds=1))
        fresh = await watched(client, Deployment, "d", lambda d: d.status and d.status.readyReplicas == 1)
        assert not fresh.status.availableReplicas
        assert rolled_out(await watched(client, Deployment, "d", rolled_out))
        assert api.pods("ml")


async def test_all_go_before_any_comes_where_a_deployment_recreates():
    async with cluster(lag_s=0.005) as (api, client):
        await client.create(deployment("d", strategy={"type": "Recreate"}))
        await watched(client, Deployment, "d", rolled_out)
        began = api.store.version
        await client.patch(Deployment, "d", IMAGE_2)
        await watched(client, Deployment, "d", rolled_out)
        seen = [{pod["spec"]["containers"][0]["image"] for pod in api.store.at(POD, version)}
                for version in range(began, api.store.version + 1)]  # fmt: skip
        assert {"model:1", "model:2"} not in seen
        assert seen[-1] == {"model:2"}


async def test_a_paused_deployment_scales_and_does_not_roll():
    async with cluster() as (api, client):
        await client.create(deployment("d", replicas=1))
        await watched(client, Deployment, "d", rolled_out)
        await client.patch(Deployment, "d", {"spec": {"paused": True, "replicas": 2}})
        await eventually(lambda: len(api.pods("ml")) == 2)
        await client.patch(Deployment, "d", IMAGE_2)
        seen = await watched(client, Deployment, "d", lambda d: d.status.observedGeneration == d.metadata.generation)
        assert not seen.status.updatedReplicas
        await client.patch(Deployment, "d", {"spec": {"paused": None}})
        await watched(client, Deployment, "d", rolled_out)
        await client.patch(Deployment.Scale, "d", {"spec": {"replicas": 0}})
        await eventually(lambda: not api.pods("ml"))


async def test_going_back_to_a_template_goes_back_to_its_replica_set():
    """Nothing, null and what is empty are one, as they are to the types of a real server."""
    async with cluster() as (api, client):
        made = await client.create(deployment("d", replicas=1))
        await watched(client, Deployment, "d", rolled_out)
        await client.patch(Deployment, "d", IMAGE_2)
        await eventually(lambda: len(api.store.all(REPLICA_SET)) == 2)
        template = made.to_dict()["spec"]["template"]
        template["metadata"]["creationTimestamp"] = None
        template["spec"]["containers"][0]["env"] = []
        back = [{"op": "replace", "path": "/spec/template", "value": template}]
        await client.patch(Deployment, "d", back, patch_type=PatchType.JSON)
        await watched(client, Deployment, "d", rolled_out)
        sizes = {_image(each["spec"]["template"]): each["spec"]["replicas"] for each in api.store.all(REPLICA_SET)}
        assert sizes == {"model:1": 1, "model:2": 0}


def _image(template: Any) -> str:
    return str(template["spec"]["containers"][0]["image"])


async def test_endpoints_are_the_ready_pods_of_a_service():
    async with cluster() as (api, client):
        await client.create(service("d"))
        await client.create(deployment("d"))
        await watched(client, Deployment, "d", rolled_out)
        await eventually(lambda: sum(map(_up, _endpoints(api))) == 2)
        (found,) = [each async for each in client.list(EndpointSlice, labels={"kubernetes.io/service-name": "d"})]
        assert (found.ports[0].port, found.addressType) == (8080, "IPv4")
        addresses = {each.addresses[0] for each in found.endpoints}
        assert addresses == {pod["status"]["podIP"] for pod in api.store.all(POD)}
        api.scripts.say(PodScript(ready_after_s=None))
        await client.patch(Deployment.Scale, "d", {"spec": {"replicas": 3}})
        await eventually(lambda: sorted(map(_up, _endpoints(api))) == [False, True, True])
        await client.delete(Service, "d")
        await eventually(lambda: not _endpoints(api))


def _endpoints(api: KubeApi) -> list[Any]:
    return [endpoint for each in api.store.all(SLICE) for endpoint in each["endpoints"]]


def _up(endpoint: Any) -> bool:
    return bool(endpoint["conditions"]["ready"])


async def test_a_pod_waits_for_its_volume_claim():
    async with cluster() as (api, client):
        made = deployment("d", replicas=1)
        volume = {"name": "models", "persistentVolumeClaim": {"claimName": "models"}}
        body = made.to_dict()
        body["spec"]["template"]["spec"]["volumes"] = [volume]
        await client.create(Deployment.from_dict(body))
        await eventually(lambda: len(api.pods("ml")) == 1)
        (name,) = api.pods("ml")
        await watched(client, Pod, name, lambda pod: condition(pod, "PodScheduled") == ("False", "Unschedulable"))
        spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
        claim = await client.create(PersistentVolumeClaim.from_dict({"metadata": {"name": "models"}, "spec": spec}))
        bound = await watched(client, PersistentVolumeClaim, "models", lambda each: each.status is not None)
        assert (claim.status, bound.status.phase) == (None, "Bound")
        await watched(client, Deployment, "d", rolled_out)


async def test_a_pod_needs_its_service_account_where_that_is_asked_for():
    async with cluster(accounts=True) as (_, client):
        body = deployment("d", replicas=1).to_dict()
        body["spec"]["template"]["spec"]["serviceAccountName"] = "model-server"
        await client.create(Deployment.from_dict(body))
        failed = await watched(client, Deployment, "d", lambda d: condition(d, "ReplicaFailure")[0] == "True")
        assert any(
            'serviceaccount "model-server" not found' in (each.message or "") for each in failed.status.conditions
        )
        await client.create(ServiceAccount(metadata=ObjectMeta(name="model-server")))
        await watched(client, Deployment, "d", rolled_out)


def _served(pod: Any) -> web.Application:
    """A pod that says which image it runs, and is ready from the second time on that it is asked."""
    app, asked = web.Application(), Counter[str]()

    async def answer(request: web.Request) -> web.Response:
        asked[request.path] += 1
        if request.path == "/ready" and asked["/ready"] < 2:
            return web.Response(status=503)
        return web.Response(text=pod["spec"]["containers"][0]["image"])

    app.router.add_route("*", "/{path:.*}", answer)
    return app


async def test_a_pod_may_be_a_real_server_that_is_asked_for_its_readiness():
    async with cluster(kubelet=AppKubelet(_served)) as (api, client):
        await client.create(deployment("d", replicas=1))
        await watched(client, Deployment, "d", rolled_out)
        (pod,) = api.store.all(POD)
        url = pod["metadata"]["annotations"][URL]
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert await answer.text() == "model:1"
        await client.delete(Deployment, "d")
        await eventually(lambda: not api.pods("ml"))
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get(url)


async def test_a_server_that_does_not_start_crashes_its_pod():
    def broken(pod: Any) -> web.Application:
        raise ValueError(f"no such model in {pod['metadata']['name']}")

    async with cluster(kubelet=AppKubelet(broken)) as (api, client):
        await client.create(deployment("d", replicas=1))
        await eventually(lambda: len(api.pods("ml")) == 1)
        (name,) = api.pods("ml")
        ill = await watched(client, Pod, name, lambda pod: _told(pod) == "CrashLoopBackOff")
        assert "no such model" in ill.status.containerStatuses[0].state.waiting.message


async def test_nothing_is_left_when_the_server_ends():
    before = len(asyncio.all_tasks())
    async with cluster(kubelet=AppKubelet(_served)) as (_, client):
        await client.create(deployment("d"))
        await watched(client, Deployment, "d", rolled_out)
    assert len(asyncio.all_tasks()) == before

"""What `harness export kubernetes` writes, applied to the stand-in: all of it stands, and its Role is all it says."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from lightkube import ApiError, AsyncClient, codecs
from lightkube.core.sort_objects import sort_objects
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Pod, Service

from fakes.kube_api import KubeApi
from fakes.kube_kinds import DEPLOYMENT, ROUTE
from harness import app
from harness.exporters import kubernetes
from tests.kube import Route, client_of, condition, eventually, front, rolled_out, watched
from tests.shipped import SCENARIOS

CHANGES = ("real.kubernetes.claim=models", "real.kubernetes.autoscale_max=4", "real.kubernetes.namespace=ml")
HARNESS = "system:serviceaccount:ml:rollout-harness"


def _exported() -> list[Any]:
    scenario = app.load_scenario(SCENARIOS / "local_canary.yaml", CHANGES, quick=True)
    files = kubernetes.manifests(scenario, Path()).files.values()
    found = [each for text in files for each in yaml.safe_load_all(text) if each and each["kind"] != "Kustomization"]
    assert Route is not None  # known to the reader below
    return sort_objects([codecs.from_dict(each) for each in found])


async def _applied(client: AsyncClient, objects: list[Any]) -> None:
    for each in objects:
        await client.apply(each, field_manager="rollout-harness")


async def test_all_of_it_stands_and_is_the_same_when_it_is_applied_again():
    objects = _exported()
    async with KubeApi(accounts=True, rbac=True) as api, client_of(api) as client:
        await _applied(client, objects)
        for each in api.store.all(DEPLOYMENT):
            name, namespace = each["metadata"]["name"], each["metadata"]["namespace"]
            async with client_of(api, namespace) as there:
                done = await watched(there, Deployment, name, rolled_out)
            assert condition(done, "Available")[0] == "True"
        front_there = front()
        front_there["metadata"]["name"] = "models"
        await client.create(front_there)
        await eventually(lambda: _accepted(api))
        version = {each["metadata"]["uid"]: each["metadata"]["generation"] for each in api.store.all(DEPLOYMENT)}
        writes = len(api.store.changes)
        await _applied(client, objects)
        assert {
            each["metadata"]["uid"]: each["metadata"]["generation"] for each in api.store.all(DEPLOYMENT)
        } == version
        assert len(api.store.changes) == writes


def _accepted(api: KubeApi) -> bool:
    (parent,) = api.store.all(ROUTE)[0]["status"]["parents"]
    return all(each["status"] == "True" for each in parent["conditions"])


async def test_the_harness_may_do_what_its_role_says_and_no_more():
    objects = _exported()
    async with KubeApi(rbac=True) as api, client_of(api) as admin, client_of(api, user=HARNESS) as client:
        await _applied(admin, objects)
        (deployment,) = [each for each in objects if each.kind == "Deployment" and each.metadata.namespace == "ml"][:1]
        name = deployment.metadata.name
        assert (await client.get(Deployment, name)).metadata.name == name
        await client.apply(deployment, field_manager="rollout-harness")
        await client.apply(next(each for each in objects if each.kind == "HTTPRoute"), field_manager="rollout-harness")
        assert {each.metadata.namespace async for each in client.list(Pod, namespace="staging")} <= {"staging"}
        await watched(client, Deployment, name, rolled_out)
        for forbidden in (
            client.delete(Deployment, name),
            client.delete(Service, "churn-prediction-stable"),
            client.replace(await client.get(Deployment, name)),
            client.patch(Deployment.Scale, name, {"spec": {"replicas": 9}}),
            client.apply(next(each for each in objects if each.kind == "Role"), field_manager="rollout-harness"),
            client.get(Deployment, name, namespace="default"),
        ):
            with pytest.raises(ApiError, match=f'User "{HARNESS}" cannot'):
                await forbidden
        assert api.audit.asked(HARNESS) >= {("patch", "apps", "deployments"), ("watch", "apps", "deployments")}

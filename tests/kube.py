"""What tests of Kubernetes share: the real client over HTTP, and small objects to work on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from lightkube import ApiError, AsyncClient, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Service

from fakes.kube_api import KubeApi

GROUP = "gateway.networking.k8s.io"
Route = create_namespaced_resource(GROUP, "v1", "HTTPRoute", "httproutes")
Gateway = create_namespaced_resource(GROUP, "v1", "Gateway", "gateways")
WITHIN_S = 30
"""How long a test waits for what takes a fraction of a second, on a machine that may be held up."""


@asynccontextmanager
async def client_of(api: KubeApi, namespace: str = "ml", **config: Any) -> AsyncIterator[AsyncClient]:
    """The real client, as a user of this server."""
    kubeconfig = KubeConfig.from_dict(api.kubeconfig(namespace, **config))
    async with AsyncClient(kubeconfig, field_manager="tests", trust_env=False) as client:
        yield client


@asynccontextmanager
async def cluster(**settings: Any) -> AsyncIterator[tuple[KubeApi, AsyncClient]]:
    """A server with the namespace ``ml``, and a client of it that may do anything."""
    async with KubeApi(namespaces=["ml"], **settings) as api, client_of(api) as client:
        yield api, client


def settings(name: str, labels: dict[str, str] | None = None, **data: str) -> ConfigMap:
    """A ConfigMap: an object that no controller touches."""
    return ConfigMap(metadata=ObjectMeta(name=name, labels=labels), data=data)


def deployment(name: str, image: str = "model:1", replicas: int = 2, **spec: Any) -> Deployment:
    """Pods of one container with a readiness probe."""
    container = {
        "name": "serve",
        "image": image,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
    }
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    selector = {"matchLabels": {"app": name}}
    body = {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": selector, "template": template, **spec},
    }
    return Deployment.from_dict(body)


def service(name: str) -> Service:
    """The pods of the deployment of that name."""
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return Service.from_dict({"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": ports}})


def route(weights: dict[str, int], headers: dict[str, str] | None = None) -> Any:
    """Shares of services, and services that a header's value asks for."""
    rules: list[dict[str, Any]] = [
        {
            "matches": [{"headers": [{"name": "x-arm", "value": value}]}],
            "backendRefs": [{"name": to, "port": 80}],
        }
        for value, to in (headers or {}).items()
    ]
    shares = [{"name": name, "port": 80, "weight": weight} for name, weight in weights.items()]
    spec = {"parentRefs": [{"name": "front"}], "rules": [*rules, {"backendRefs": shares}]}
    return Route({"metadata": {"name": "models"}, "spec": spec})


def front() -> Any:
    """A Gateway for routes to hang on."""
    listeners = [{"name": "http", "port": 80, "protocol": "HTTP"}]
    return Gateway({"metadata": {"name": "front"}, "spec": {"gatewayClassName": "stand-in", "listeners": listeners}})


async def watched(client: AsyncClient, res: Any, name: str, enough: Callable[[Any], bool]) -> Any:
    """The object, once it is so."""
    async with asyncio.timeout(WITHIN_S):
        async for _, obj in client.watch(res, fields={"metadata.name": name}):
            if enough(obj):
                return obj
    raise AssertionError("the watch ended")


def rolled_out(obj: Deployment) -> bool:
    """As ``kubectl rollout status`` has it."""
    status, wanted = obj.status, obj.spec.replicas
    if status is None or status.observedGeneration != obj.metadata.generation:
        return False
    counts = (status.replicas, status.updatedReplicas or 0, status.availableReplicas or 0)
    return counts == (wanted, wanted, wanted)


def condition(obj: Any, name: str) -> tuple[str, str]:
    """Status and reason of a condition; empty where it is not there."""
    conditions = (obj.status.conditions if obj.status else None) or []
    return next(((each.status, each.reason or "") for each in conditions if each.type == name), ("", ""))


def code_of(error: ApiError) -> tuple[int, str]:
    """What a refusal says it is."""
    assert error.status.kind == "Status"
    assert error.status.status == "Failure"
    assert error.response is None or error.response.status_code == error.status.code
    return error.status.code, error.status.reason


async def eventually(holds: Callable[[], bool]) -> None:
    """Until it does."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


async def vanished(client: AsyncClient, res: Any, name: str) -> None:
    """Until there is no such object."""
    async with asyncio.timeout(WITHIN_S):
        while [each async for each in client.list(res, fields={"metadata.name": name})]:  # noqa: ASYNC110 - as a user
            await asyncio.sleep(0.01)

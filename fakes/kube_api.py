"""A REST stand-in of a Kubernetes API server on loopback, with controllers, nodes and a Gateway API data plane.

    async with KubeApi(namespaces=["ml"]) as api:
        client = AsyncClient(KubeConfig.from_dict(api.kubeconfig("ml")), field_manager="me", trust_env=False)
        …
        api.gateway_url                        # where an HTTPRoute is in force (`real.kubernetes.front`)

What a caller has beside the REST interface (all of it in the running event loop's time):

    api.url, api.gateway_url                   the API server; the data plane of all Gateways
    api.kubeconfig(namespace, user=…)          a kubeconfig as a dict; `write_kubeconfig(path, …)` writes it to a file
    api.scripts.say(PodScript(...), labels=…)  what becomes of pods made from now on: ready after a while, never, crash-
                                               looping, no image, unschedulable (`fakes.kube_script`)
    api.crash(namespace, pod)                  a pod's container ends, and is started anew
    api.faults.order(Fault(Wrong.CONFLICT, verb="patch", resource="deployments", nth=2))     (`fakes.kube_faults`)
    api.faults.down(1.5)                       nobody is answered for so long
    api.compact()                              all watch history is forgotten: 410 for every older resource version
    api.audit                                  every request: user, verb, group, resource, subresource, namespace, name,
                                               code; `api.audit.asked()` is the set of (verb, group, resource)
    api.store                                  the objects themselves, for a test: `store.get(kind, namespace, name)`
    KubeApi(kubelet=AppKubelet(build))         a pod is a real server: `build(pod)` makes its aiohttp Application
    KubeApi(rbac=True)                         Roles and bindings are enforced; a user "system:serviceaccount:NS:NAME"
                                               is a service account, "admin" may do anything

Kinds: those of `fakes.kube_kinds.KINDS`. A HorizontalPodAutoscaler is stored and does nothing. There are no admission
webhooks, no quotas, no scheduler beyond `PodScript`, and no CRD beside those of the Gateway API that are in the table.
It speaks the protocol (https://kubernetes.io/docs/reference/using-api/api-concepts/); it is not Kubernetes.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from fakes.kube_admission import Write
from fakes.kube_controllers import Controllers
from fakes.kube_faults import Fault, Faults, Wrong
from fakes.kube_gateway import DataPlane
from fakes.kube_http import Rest
from fakes.kube_kinds import NAMESPACE, POD
from fakes.kube_pods import AppKubelet, Nodes
from fakes.kube_rbac import ADMIN, Audit, token_of
from fakes.kube_script import Ill, Kubelet, Object, PodScript, Scripts
from fakes.kube_store import Store
from fakes.kube_writes import Writer
from harness.serving.accepting import stop_accepting
from harness.serving.process import Place, bound, url_of

__all__ = [
    "AppKubelet",
    "Audit",
    "Fault",
    "Faults",
    "Ill",
    "KubeApi",
    "Kubelet",
    "Object",
    "PodScript",
    "Scripts",
    "Store",
    "Wrong",
]


class KubeApi:
    """An API server on loopback, for as long as its block lasts.

    Args:
        namespaces: that are there from the start, beside ``default``.
        rbac: whether tokens are asked for, and Roles enforced.
        history: how many changes watches can be told of.
        bookmark_s: how often watches that want bookmarks get one.
        gone_by_http: a watch from a forgotten resource version is answered with 410, not told so in its stream (a real
            server does either, by where it finds out).
        kubelet: makes pods real servers, as `AppKubelet`; None: they are states, and a gateway cannot reach them.
        accounts: a pod that names a ServiceAccount is only made where there is one, as in Kubernetes (ReplicaFailure).
        lag_s: from a change to the controllers' acting on it.
        seed: of generated names, and of faults that meet a share.
    """

    def __init__(
        self,
        *,
        namespaces: Sequence[str] = (),
        rbac: bool = False,
        history: int = 1000,
        bookmark_s: float = 60.0,
        gone_by_http: bool = False,
        kubelet: Kubelet | None = None,
        accounts: bool = False,
        lag_s: float = 0.02,
        seed: int = 0,
    ) -> None:
        self.store = Store(history)
        self.writer = Writer(self.store, seed, accounts)
        self.faults = Faults(seed, self.store.wake)
        self.audit = Audit()
        self.scripts = Scripts()
        self.url = ""
        self.gateway_url = ""
        self.gateway = DataPlane(self.writer)
        self._rest = Rest(self.writer, self.faults, self.audit, rbac, bookmark_s, gone_by_http)
        self._nodes = Nodes(self.writer, self.scripts, kubelet)
        self._controllers = Controllers(self.writer, self._nodes, (self.gateway.sync,), lag_s)
        self._namespaces = ("default", *namespaces)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for name in self._namespaces:
            self.writer.create(NAMESPACE, "", {"metadata": {"name": name}}, Write())
        try:
            self.gateway_url = await self._listen(self.gateway.application())
            acting = asyncio.create_task(self._controllers.run(), name="controllers")
            acting.add_done_callback(self._ended)
            self._stack.push_async_callback(self._rest_of, acting)
            self.url = await self._listen(self._rest.application())
            self._stack.callback(self._end)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def kubeconfig(self, namespace: str = "default", *, user: str = ADMIN) -> Object:
        """A kubeconfig with this server, a user's token and a namespace.

        There is no TLS to verify: saying so spares clients the reading of all certificates.
        """
        return {
            "apiVersion": "v1", "kind": "Config", "current-context": "stand-in",
            "clusters": [{"name": "stand-in", "cluster": {"server": self.url, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "user", "user": {"token": token_of(user)}}],
            "contexts": [
                {"name": "stand-in", "context": {"cluster": "stand-in", "user": "user", "namespace": namespace}}
            ],
        }  # fmt: skip

    def write_kubeconfig(self, path: Path, namespace: str = "default", *, user: str = ADMIN) -> Path:
        """Write it to a file (JSON, which is YAML); for ``KUBECONFIG``."""
        path.write_text(json.dumps(self.kubeconfig(namespace, user=user)), encoding="utf-8")
        return path

    def compact(self) -> None:
        """Forget all history: whoever watches from an older resource version is told 410."""
        self.store.compact()

    def pods(self, namespace: str) -> list[str]:
        """The names of the pods that are there, going or not."""
        return [pod["metadata"]["name"] for pod in self.store.all(POD, namespace)]

    def crash(self, namespace: str, pod: str) -> None:
        """End a pod's container; it is started anew, after a while that doubles each time."""
        self._nodes.crash(namespace, pod)

    def _ended(self, acting: "asyncio.Task[None]") -> None:
        if not acting.cancelled() and acting.exception() is not None:
            self.faults.down(1e9)  # nobody shall wait for controllers that are no more

    async def _rest_of(self, acting: "asyncio.Task[None]") -> None:
        """End the controllers and the pods; an error of the controllers is raised here."""
        acting.cancel()
        await asyncio.wait([acting])
        await self._nodes.stop()
        if not acting.cancelled():
            acting.result()

    async def _listen(self, app: web.Application) -> str:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        listening = bound(Place())
        await web.SockSite(runner, listening).start()
        self._stack.push_async_callback(stop_accepting, [listening])
        return url_of(listening)

    def _end(self) -> None:
        self._rest.over = True
        self.store.wake()

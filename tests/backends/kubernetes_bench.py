"""A cluster that stands in, whose pods are real servers with addresses of their own, for tests of what drives one."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from fakes.kube_api import Fault, KubeApi, PodScript
from fakes.kube_kinds import DEPLOYMENT, ROUTE, SERVICE
from fakes.kube_servers import AddressKubelet
from harness.backends.httproute import HttpRouteRouter
from harness.backends.kubernetes import KubernetesFleet
from harness.backends.webhook import Patience
from harness.contracts.checks import sample_model
from harness.domain.model import ARMS, Revision, Role, TrainedModel
from harness.domain.real import KubernetesPlan, LocalPlan, RealPlan
from harness.domain.scenario import Scenario
from harness.domain.units import SECOND
from harness.manifests import rbac
from harness.realtime import MODEL_HEADER, Behind, Place
from tests.build import scenario
from tests.kube import client_of, front

QUICK = Patience(attempts=8, attempt_s=5.0, within_s=20.0, base_s=0.01, most_s=0.1)
HARNESS = "system:serviceaccount:ml:rollout-harness"
MODELS: dict[Role, TrainedModel] = {Role.STABLE: sample_model(1), Role.CANDIDATE: sample_model(2)}


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def says_who(pod: Any) -> web.Application:
    """A model server as far as a fleet sees it: ready, and answering by its name."""
    app, version = web.Application(), pod["metadata"]["labels"]["app.kubernetes.io/version"]

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"version": int(version)}, headers={MODEL_HEADER: f"m:{version}"})

    app.router.add_route("*", "/{path:.*}", answer)
    return app


@dataclass
class Cluster:
    """A stand-in, the scenario that is driven on it, and who drives."""

    api: KubeApi
    scenario: Scenario
    folder: Path
    pointed: list[Behind] = field(default_factory=list)

    def fleet(self, token: int = 1, *, stable: int = 1, silent_s: float = 10.0) -> KubernetesFleet:
        """Pods of versions `stable` and the next, driven with a lease of that token."""
        made = KubernetesFleet(self.scenario, QUICK, silent_s)
        made.place(self.place(token))
        made.inform({role: Revision("m", stable + number, f"sha256:{number}") for number, role in enumerate(ARMS)})
        return made

    def router(self, token: int = 1, *, stable: int = 1) -> HttpRouteRouter:
        """The route before them."""
        made = HttpRouteRouter(self.scenario, QUICK, settle_s=0.05)
        made.place(self.place(token))
        made.inform({role: Revision("m", stable + number, f"sha256:{number}") for number, role in enumerate(ARMS)})
        return made

    def place(self, token: int) -> Place:
        """Of a run."""
        return Place(self.folder / "run", self.folder / "state", f"run-{token}", token)

    async def point(self, behind: Behind) -> None:
        """A router that remembers."""
        self.pointed.append(behind)

    def now(self, role: Role) -> tuple[str, ...]:
        """Where it sends an arm's requests."""
        return tuple(self.pointed[-1].get(role, ()))

    def deployment(self, name: str) -> Any:
        """As it stands in the cluster."""
        return self.api.store.find(DEPLOYMENT, "ml", name)

    def replicas(self, name: str) -> int:
        """As many as are wanted of it; 0 where there is none."""
        found = self.deployment(name)
        return found["spec"]["replicas"] if found else 0

    def leads_to(self, role: Role) -> str:
        """The deployment behind an arm's Service."""
        found = self.api.store.find(SERVICE, "ml", f"m-{role}")
        return found["spec"]["selector"]["app.kubernetes.io/instance"] if found else ""

    def weights(self) -> dict[str, int]:
        """By the route."""
        found = self.api.store.find(ROUTE, "ml", "m")
        return {ref["name"]: ref["weight"] for ref in found["spec"]["rules"][-1]["backendRefs"]} if found else {}

    def order(self, *faults: Fault) -> None:
        """Have the API server meet these."""
        self.api.faults.order(*faults)


def made(port: int, front_url: str | None = None, **plan: Any) -> Scenario:
    """A canary on the namespace ml."""
    kubernetes = KubernetesPlan(
        namespace="ml", port=port, registry="postgresql://db/models", front=front_url, **plan
    )  # fmt: skip
    base = scenario(real=RealPlan(local=LocalPlan(drain_ns=SECOND), kubernetes=kubernetes))
    rollout = replace(base.rollout, ready_within_ns=20 * SECOND)
    return replace(base, rollout=rollout, backends=replace(base.backends, serving="kubernetes", router="httproute"))


@asynccontextmanager
async def cluster(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    build: Callable[[Any], web.Application] = says_who,
    plan: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Cluster]:
    """A stand-in with a Gateway, which the harness may use as its exported Role says, if ``rbac`` is on."""
    port = free_port()
    async with KubeApi(namespaces=["ml"], kubelet=AddressKubelet(build), **settings) as api:
        api.scripts.usual = PodScript(ready_after_s=0.0, stops_after_s=0.02)
        config = api.write_kubeconfig(folder / "kubeconfig", "ml", user=HARNESS if settings.get("rbac") else "admin")
        monkeypatch.setenv("KUBECONFIG", str(config))
        made_of = made(port, api.gateway_url, **(plan or {}))
        async with client_of(api) as admin:
            gateway = front()
            gateway["metadata"]["name"] = "models"
            await admin.create(gateway)
            for each in (rbac.harness_account(made_of), rbac.harness_role(made_of), rbac.harness_binding(made_of)):
                from lightkube import codecs

                await admin.create(codecs.from_dict(each))
        yield Cluster(api, made_of, folder)


async def speaks(url: str) -> bool:
    """Whether a pod answers."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/ready") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, OSError):
        return False

"""A cluster that stands in, whose pods are states and no servers: for what a fleet makes of a cluster's troubles.

The harness has the rights that are exported, and no more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fakes.kube_admission import Write
from fakes.kube_api import KubeApi
from fakes.kube_kinds import ACCOUNT, BINDING, DEPLOYMENT, POD, ROLE, SERVICE
from harness.backends.kubernetes import KubernetesFleet
from harness.backends.webhook import Patience
from harness.domain.model import ARMS, Revision, Role
from harness.domain.real import KubernetesPlan, LocalPlan, RealPlan
from harness.domain.scenario import Scenario
from harness.domain.units import SECOND
from harness.manifests import rbac
from harness.protocols import Notice
from harness.realtime import Behind, Place
from tests.backends.kubernetes_bench import HARNESS, MODELS
from tests.build import policy, scenario

QUICK = Patience(attempts=6, attempt_s=10.0, within_s=20.0, base_s=0.01, most_s=0.05)
WITHIN_S = 60.0
"""How long a test waits for what takes a fraction of a second."""


def of(within_s: float = 60.0, **plan: Any) -> Scenario:
    """A scenario in the namespace ``ml``, whose pods must be ready within so long."""
    where = KubernetesPlan(**{"namespace": "ml", "registry": "postgresql://models/models", **plan})
    real = RealPlan(local=LocalPlan(drain_ns=SECOND), kubernetes=where)
    return policy(scenario(real=real), ready_within_ns=round(within_s * SECOND))


@dataclass
class Around:
    """A fleet, what its router was told, and what it said."""

    fleet: KubernetesFleet
    pointed: list[Behind] = field(default_factory=list)
    heard: list[Notice] = field(default_factory=list)

    def inform(self, stable: int, candidate: int) -> None:
        """Which versions the arms run."""
        versions = zip(ARMS, (stable, candidate), strict=True)
        self.fleet.inform({role: Revision("m", number, "") for role, number in versions})

    async def point(self, behind: Behind) -> None:
        """As a gateway."""
        self.pointed.append(behind)

    async def start(self, stable: int = 1) -> None:
        """As a platform."""
        await self.fleet.start(MODELS, stable, self.point)

    async def ready(self, role: Role, count: int) -> None:
        """Wait until so many are."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                state = (await self.fleet.observe())[role]
                if state.ready == state.wanted == count:
                    return
                await asyncio.sleep(0.01)

    async def listen(self) -> None:
        """Take notices."""
        async for notice in self.fleet.notices():
            self.heard.append(notice)


@dataclass
class Cluster:
    """A stand-in of a cluster, and the fleets that were made in it."""

    api: KubeApi
    folder: Path
    fleets: list[Around] = field(default_factory=list)

    def fleet(self, scenario: Scenario, token: int = 1, silent_s: float = 10.0, patience: Patience = QUICK) -> Around:
        """A fleet that has been placed, and not started: stable is version 1, the candidate version 2."""
        made = Around(KubernetesFleet(scenario, patience, silent_s))
        made.fleet.place(Place(self.folder / "run", self.folder / "state", f"run-{token}", token))
        made.inform(1, 2)
        self.fleets.append(made)
        return made

    def pods(self, version: int) -> dict[str, str]:
        """Name and uid of the pods of a version that are not going."""
        found = [each["metadata"] for each in self.api.store.all(POD, "ml")]
        return {
            each["name"]: each["uid"] for each in found
            if "deletionTimestamp" not in each and each["labels"]["app.kubernetes.io/version"] == str(version)
        }  # fmt: skip

    def replicas(self, version: int) -> int | None:
        """Of a version's Deployment; None: there is none."""
        found = self.api.store.find(DEPLOYMENT, "ml", f"m-v{version}")
        return found["spec"]["replicas"] if found else None

    def behind(self, role: Role) -> str:
        """The Deployment behind an arm's Service."""
        found = self.api.store.get(SERVICE, "ml", f"m-{role}")
        return str(found["spec"]["selector"]["app.kubernetes.io/instance"])


@asynccontextmanager
async def states(
    folder: Path, monkeypatch: pytest.MonkeyPatch, lacks: str = "", **settings: Any
) -> AsyncIterator[Cluster]:
    """A cluster whose kubeconfig is in force; the Role may lack a rule. Fleets are let go of in the end."""
    async with KubeApi(namespaces=["ml"], rbac=True, accounts=True, **settings) as api:
        role = rbac.harness_role(of(claim="models", autoscale_max=5))
        rules = [rule for rule in role["rules"] if lacks not in rule["resources"]]
        api.writer.create(ACCOUNT, "ml", rbac.pods_account(of()), Write())
        api.writer.create(ROLE, "ml", {**role, "rules": rules}, Write())
        api.writer.create(BINDING, "ml", rbac.harness_binding(of()), Write())
        monkeypatch.setenv("KUBECONFIG", str(api.write_kubeconfig(folder / "kubeconfig", "ml", user=HARNESS)))
        made = Cluster(api, folder)
        try:
            yield made
        finally:
            for each in made.fleets:
                await each.fleet.leave()

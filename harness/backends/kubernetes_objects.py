"""The objects of one rollout in a cluster, each written as `kubernetes_fence` has it.

A Deployment is a revision's and a Service an arm's: a candidate becomes stable by stable's Service pointing at its
Deployment, and none of its pods is started anew. Nothing is ever deleted: what is not wanted has no replicas.
"""

from dataclasses import dataclass

from harness.backends.kubernetes_api import AUTOSCALER, CLAIM, DEPLOYMENT, ROUTE, SERVICE, Api, Kind
from harness.backends.kubernetes_fence import Make, put
from harness.domain.model import Revision, Role
from harness.domain.rollout import Weights
from harness.domain.scenario import Scenario
from harness.manifests import workloads
from harness.manifests.common import Manifest, deployment_name, model_name, selector, service_name
from harness.manifests.routes import weights_of
from harness.realtime import Place


@dataclass(frozen=True, slots=True)
class Arm:
    """What an arm runs."""

    revision: Revision
    deployment: str
    """Its name."""


def arm_of(scenario: Scenario, role: Role, revision: Revision) -> Arm:
    """The arm of a role that runs this revision."""
    return Arm(revision, deployment_name(scenario, role, revision))


class Objects:
    """Writes them.

    Args:
        scenario: what they are made of.
        api: where they are.
        where: names the run, and has its token.
    """

    def __init__(self, scenario: Scenario, api: Api, where: Place) -> None:
        self._scenario, self._api, self._where = scenario, api, where

    async def claim(self) -> None:
        """The volume claim with the models, where the scenario has one and the cluster has not."""
        made = workloads.claim(self._scenario)
        if made is not None:
            await self._put(CLAIM, made["metadata"]["name"], lambda held: None if held else made)

    async def deployment(self, role: Role, arm: Arm, replicas: int) -> Manifest | None:
        """So many pods of an arm; one that was never wanted is not made for none.

        With an autoscaler the count is the least: pods that it has added stay.
        """
        most = self._scenario.real.kubernetes.autoscale_max
        if most is not None and replicas:
            await self._autoscaler(role, arm, replicas)

        def make(held: Manifest | None) -> Manifest | None:
            if held is None and not replicas:
                return None
            now = held["spec"].get("replicas", 1) if held else 0
            count = max(replicas, min(now, most)) if most and replicas else replicas
            return workloads.deployment(self._scenario, role, arm.revision, count, name=arm.deployment)

        return await self._put(DEPLOYMENT, arm.deployment, make)

    async def none_of(self, deployment: str) -> None:
        """No pods of a Deployment, whatever it runs; one that is not there is left so."""

        def make(held: Manifest | None) -> Manifest | None:
            if held is None:
                return None
            head = {name: held["metadata"][name] for name in ("name", "namespace", "labels")}
            whole = {name: held[name] for name in ("apiVersion", "kind")}
            return {**whole, "metadata": head, "spec": {**held["spec"], "replicas": 0}}

        await self._put(DEPLOYMENT, deployment, make)

    async def _autoscaler(self, role: Role, arm: Arm, replicas: int) -> None:
        made = workloads.autoscaler(self._scenario, role, arm.revision, replicas, deployment=arm.deployment)
        await self._put(AUTOSCALER, arm.deployment, lambda _: made)

    async def service(self, role: Role, arm: Arm, *, only_mark: bool = False) -> None:
        """Have an arm's Service point at its Deployment.

        Args:
            role: of the arm.
            arm: what it runs.
            only_mark: a Service that is there goes on pointing where it does, and is marked as ours.
        """

        def make(held: Manifest | None) -> Manifest:
            behind = (behind_of(held) if only_mark else "") or arm.deployment
            return workloads.service(self._scenario, role, arm.revision, deployment=behind)

        await self._put(SERVICE, service_name(self._scenario, role), make)

    async def behind(self, role: Role) -> str:
        """The Deployment that an arm's Service points at; empty where there is none."""
        return behind_of(await self._api.get(SERVICE, service_name(self._scenario, role)))

    async def shares(self) -> Weights:
        """What share of the traffic each arm has by the route, in its own units; empty where there is no route."""
        route = await self._api.get(ROUTE, model_name(self._scenario))
        return weights_of(self._scenario, route) if route else {}

    async def _put(self, kind: Kind, name: str, make: Make) -> Manifest | None:
        return await put(self._api, self._where, kind, name, make)


def behind_of(service: Manifest | None) -> str:
    """The Deployment whose pods a Service of ours selects; empty where it is no Service of ours.

    >>> behind_of({"spec": {"selector": {"app.kubernetes.io/instance": "churn-v2"}}}), behind_of(None)
    ('churn-v2', '')
    """
    selects = ((service or {}).get("spec") or {}).get("selector") or {}
    (key,) = selector("")
    return str(selects.get(key, ""))

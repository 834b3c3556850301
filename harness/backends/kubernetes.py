"""Replicas as pods of a cluster (``serving: kubernetes``): applied, watched, scaled, found again.

What outlives a killed harness is the cluster's own: Deployments, Services and the route, found again by their names and
labels. Users reach pods through a Gateway alone, so the URLs that a router is told of matter only to one that runs in
the cluster. In a cluster nothing of production ends with a run: what has the traffic keeps running, and the other arm
has no pods any more.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

import anyio

from harness.backends import kubernetes_health as health
from harness.backends.kubernetes_front import Answered, asked
from harness.backends.kubernetes_keeper import LOOK_S, Keeper
from harness.domain.model import ARMS, SERVING, Revision, Role, TrainedModel
from harness.domain.units import SECOND
from harness.errors import ServingError
from harness.protocols import Notice, Readiness
from harness.realtime import Place, Point

FOUND_S: Final = 5.0
"""How long pods that were found may take to be known to the router, before the run goes on without them."""


class KubernetesFleet(Keeper):
    """A `realtime.Fleet` of pods; the arguments are those of `Keeper`."""

    def place(self, where: Place) -> None:
        """Names the run, and has the token that fences its writes."""
        self._place = where

    def inform(self, revisions: Mapping[Role, Revision]) -> None:
        """Which versions the arms run: pods load them from the registry, or from the volume."""
        self._revisions = dict(revisions)

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self, models: Mapping[Role, TrainedModel], stable: int, point: Point) -> None:
        """Bring stable's pods up, and only then have stable's Service point at them.

        Raises:
            ServingError: they were not ready in time, with the pod and the reason; or the cluster refuses something.
        """
        await self._begin(models, point)
        await self._objects.claim()
        self._wanted = {Role.STABLE: stable, Role.CANDIDATE: 0}
        await self._scale(Role.STABLE)
        await self._until_ready(Role.STABLE)
        await self._objects.service(Role.CANDIDATE, self._arms[Role.CANDIDATE])
        await self._scale(Role.CANDIDATE)

    async def attach(self, models: Mapping[Role, TrainedModel], wanted: Mapping[Role, int], point: Point) -> None:
        """Take up the objects that a killed run left; all of them are marked with our token first."""
        await self._begin(models, point)
        self._wanted = {role: wanted.get(role, 0) for role in SERVING if role in wanted or role in ARMS}
        for role in self._wanted:
            await self._objects.service(role, self._arms[role], only_mark=role is Role.STABLE)
            await self._scale(role)
        self._turn.set()
        with anyio.move_on_after(FOUND_S):
            while not self._is_taken_up():  # noqa: ASYNC110 - the keeper takes up what is there
                await anyio.sleep(LOOK_S)

    def _is_taken_up(self) -> bool:
        led = not self._led_elsewhere or not self._wanted[Role.STABLE]
        return led and self._pointed == self._behind()

    async def replace(self, models: Mapping[Role, TrainedModel], *, adopt: bool) -> None:
        """Make room for another candidate; returns when the pods that go are gone.

        Raises:
            ServingError: there is no candidate to adopt, or pods do not go.
        """
        before, candidate = dict(self._arms), Role.CANDIDATE
        if adopt:
            if not self._pods_ready(candidate):
                raise ServingError("the candidate has no pod that is ready, and cannot become stable")
            await self._objects.service(Role.STABLE, before[candidate])
            self._arms[Role.STABLE], self._arms[candidate] = before[candidate], before[Role.STABLE]
            self._wanted[Role.STABLE] = self._wanted[candidate]
        self._wanted |= {role: 0 for role in self._wanted if role is not Role.STABLE}
        await self._follow()
        for role in self._wanted:
            await self._scale(role)
        await self._until_gone([arm.deployment for role, arm in self._arms.items() if role is not Role.STABLE])
        self._models = models
        self._arms |= {role: arm for role, arm in self._informed().items() if role is not Role.STABLE}
        await self._objects.service(candidate, self._arms[candidate])

    async def stop(self) -> None:
        """Take down what has no traffic; what has, and stable, goes on without us."""
        if not self._api.is_open:
            return
        await self._end()
        try:
            await self._take_down()
        finally:
            await self._forget()

    async def leave(self) -> None:
        """Look after the pods no more, and leave them as they are."""
        await self._end()
        await self._forget()

    async def _take_down(self) -> None:
        """Whatever users may be sent to is left: what stable's Service points at, and who has a share by the route."""
        keep = {await self._objects.behind(Role.STABLE)}
        keep |= {await self._objects.behind(role) for role, share in (await self._objects.shares()).items() if share}
        for role, arm in self._arms.items():
            if arm.deployment not in keep:
                await self._objects.deployment(role, arm, 0)

    # --- as Serving ---------------------------------------------------------------------------------------------------

    async def apply(self, replicas: Mapping[Role, int]) -> None:
        """Want so many pods of each arm; the router lets go of an arm that is to have none first.

        Which of several pods go is the cluster's choice: their Service lets go of them before they end.

        Raises:
            ServingError: a count is below 0, or of an arm that has no replicas here; the cluster refuses; or another
                harness drives the rollout.
        """
        self._check()
        if any(count < 0 for count in replicas.values()):
            raise ServingError(f"replicas {dict(replicas)}: a count cannot be below 0")
        if absent := [role for role, count in replicas.items() if count and role not in SERVING]:
            raise ServingError(f"replicas {dict(replicas)}: {absent[0]} has none of its own, copies go to others")
        mine = {role: count for role, count in replicas.items() if role in SERVING}
        if Role.BASELINE in mine and Role.BASELINE not in self._wanted:
            await self._objects.service(Role.BASELINE, self._arms[Role.BASELINE])
        self._wanted |= mine
        if not all(mine.values()):
            await self._follow()
        for role in sorted(mine, key=lambda role: not mine[role]):
            await self._scale(role)

    async def observe(self) -> Mapping[Role, Readiness]:
        """Wanted, and ready: available to users by the Deployment's status, and known to the router.

        Raises:
            ServingError: told once of each candidate whose pods will not get ready by themselves: which, and why.
        """
        self._check()
        for role in self._wanted:
            trouble = self._trouble_of(role)
            raised = (trouble.pod, "raised") if trouble else ("", "")
            if role is not Role.STABLE and trouble and trouble.hopeless and raised not in self._told:
                self._told.add(raised)
                raise ServingError(f"{self._called(role)} does not get ready: {trouble.told(self._plan.namespace)}")
        return {role: Readiness(self._wanted[role], self._ready(role)) for role in SERVING if role in self._wanted}

    async def probe(self, role: Role) -> bool:
        """Whether the arm answers users; where it has no share of the traffic, whether the kubelet finds it ready."""
        self._check()
        if not self._wanted.get(role) or not self._pods_ready(role):
            return False
        if self._plan.front is None:
            return True
        services = self._scenario.service
        within_s = services.get(role, services[role.model]).timeout_ns / SECOND
        revisions = {each: self._arms[each].revision for each in ARMS}
        found = await asked(self._plan.front, within_s, role.model, revisions, self._models.get(role.model))
        return found is not Answered.NOBODY

    async def notices(self) -> AsyncIterator[Notice]:
        """Pods as they come and go."""
        if self._receiver is None:
            raise ServingError("the pods are not looked after; `start` first")
        with contextlib.suppress(anyio.ClosedResourceError):  # stopped while the last one was taken
            async for notice in self._receiver:
                yield notice

    def scraped(self) -> Mapping[str, Mapping[str, str]]:
        """Where a Prometheus in the cluster finds the pods' metrics."""
        return {
            f"{health.url_of(pod, self._plan.port)}/metrics": {
                "arm": role.value, "revision": str(self._arms[role].revision)
            }
            for role in self._wanted for pod in self._pods_ready(role)
        }  # fmt: skip

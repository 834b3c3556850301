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
from harness.backends.front import asked, no_values
from harness.backends.kubernetes_keeper import HOPELESS, LOOK_S, Keeper
from harness.domain.model import ARMS, SERVING, Revision, Role, TrainedModel
from harness.domain.units import SECOND, duration_text
from harness.errors import ServingError, UnreadyError
from harness.manifests.workloads import grace_s
from harness.protocols import Notice, Readiness
from harness.realtime import Place, Point

GONE_S: Final = 30.0
"""Over its grace period: how long a pod that is taken down may be there."""
FOUND_S: Final = 5.0
"""How long pods that were found may take to be known to the router, before the run goes on without them."""


class KubernetesFleet(Keeper):
    """A `realtime.Fleet` of pods; the arguments are those of `Keeper`. Its probe asks the gateway by itself."""

    asks_in_front = True

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
        await self._sweep()

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
        """Whoever has traffic is left, and what has none has no pods any more.

        By the route, where there is one; else stable is left, or, where it has no pods, the candidate. Behind stable's
        Service there are the pods of whoever is left with all of it: the next run begins with all traffic there.
        """
        shares = await self._objects.shares()
        there = [role for role in ARMS if self._wanted.get(role) and not (role is Role.STABLE and self._led_elsewhere)]
        left = [role for role in SERVING if shares.get(role)] or there[:1]
        kept = {await self._objects.behind(role) if shares else self._name(role) for role in left}
        if left == [Role.CANDIDATE]:
            await self._objects.service(Role.STABLE, self._arms[Role.CANDIDATE])
        kept.add(await self._objects.behind(Role.STABLE))
        for role, arm in self._arms.items():
            if arm.deployment not in kept:
                await self._objects.deployment(role, arm, 0)

    async def _sweep(self) -> None:
        """Take down what runs that nobody took up again have left: pods of ours that no Service leads to."""
        ours = {arm.deployment for arm in self._arms.values()}
        for name, held in list(self._deployments.objects.items()):
            if name not in ours and held["spec"].get("replicas"):
                await self._objects.none_of(name)

    async def _until_ready(self, role: Role) -> None:
        """Until all pods of an arm are ready, or one is hopeless, or time is over.

        Raises:
            ServingError: which pod it is, what Kubernetes calls it, and what to do.
        """
        within_ns, trouble = self._scenario.rollout.ready_within_ns, None
        with anyio.move_on_after(within_ns / SECOND):
            while self._ready(role) < self._wanted[role]:
                self._check()
                trouble = self._trouble_of(role)
                if trouble and trouble.hopeless:
                    raise ServingError(f"{self._called(role)} cannot be served: {trouble.told(self._plan.namespace)}")
                await anyio.sleep(LOOK_S)
            return
        trouble = trouble or health.late_of(self._pods_of(role))
        why = self._refused or self._pods.trouble or (trouble.told(self._plan.namespace) if trouble else "")
        why = why or f"see kubectl describe deployment -n {self._plan.namespace} {self._name(role)}"
        raise ServingError(f"{self._called(role)} was not ready within {duration_text(within_ns)}: {why}")

    async def _until_gone(self, deployments: list[str]) -> None:
        """Until there are no pods of these."""
        with anyio.move_on_after(grace_s(self._scenario) + GONE_S):
            while any(health.pods_of(self._pods.objects.values(), each) for each in deployments):
                self._check()
                await anyio.sleep(LOOK_S)
            return
        raise ServingError(f"pods of {', '.join(deployments)} should be gone, and are still there")

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
        mine: dict[Role, int] = {role: count for role, count in replicas.items() if role in SERVING}
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
            UnreadyError: a candidate's pods will not get ready by themselves; which, why, and what to do. It is told
                once, to whoever looks after the notice of it.
        """
        self._check()
        due, self._due = self._due, ""
        if due:
            raise UnreadyError(due)
        return {role: Readiness(self._wanted[role], self._ready(role)) for role in SERVING if role in self._wanted}

    async def probe(self, role: Role) -> bool:
        """Whether the arm answers users; where it has no share of the traffic, whether the kubelet finds it ready.

        Raises:
            ServingError: it has the whole share, and another arm answers: proxies do not follow the route yet, and who
                is asked there still must not lose its pods.
        """
        self._check()
        if not self._wanted.get(role) or not self._pods_ready(role):
            return False
        if self._plan.front is None:
            return True
        services = self._scenario.service
        within_s = services.get(role, services[role.model]).timeout_ns / SECOND
        revisions = {each: self._arms[each].revision for each in ARMS}
        found = await asked(self._plan.front, within_s, role.model, revisions, no_values(self._models.get(role.model)))
        if found - {role.model} and await self._has_all(role):
            others = ", ".join(sorted(found - {role.model}))
            raise ServingError(f"{role} has all traffic by the route, and the gateway's proxies still ask {others}")
        return bool(found)

    async def _has_all(self, role: Role) -> bool:
        shares = await self._objects.shares()
        return {each for each, share in shares.items() if share} == {role}

    async def notices(self) -> AsyncIterator[Notice]:
        """Pods as they come and go."""
        if self._receiver is None:
            raise ServingError("the pods are not looked after; `start` first")
        with contextlib.suppress(anyio.ClosedResourceError):  # stopped while the last one was taken
            async for notice in self._receiver:
                # Whoever looks because of this notice is told that waiting is in vain: once, and nobody else.
                self._due = notice.text if notice.kind == HOPELESS and Role.STABLE not in notice.on else ""
                yield notice

    def scraped(self) -> Mapping[str, Mapping[str, str]]:
        """Where a Prometheus in the cluster finds the pods' metrics."""
        return {
            f"{health.url_of(pod, self._plan.port)}/metrics": {
                "arm": role.value, "revision": str(self._arms[role].revision)
            }
            for role in self._wanted for pod in self._pods_ready(role)
        }  # fmt: skip

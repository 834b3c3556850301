"""What a fleet of pods does while nobody asks: it watches, points the router, and tells what befalls the pods."""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any, Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from harness.backends import kubernetes_health as health
from harness.backends.kubernetes_api import DEPLOYMENT, PATIENCE, POD, Api
from harness.backends.kubernetes_objects import Arm, Objects, arm_of
from harness.backends.kubernetes_watch import SILENT_S, Held
from harness.backends.webhook import Patience
from harness.domain.model import ARMS, SERVING, Revision, Role, TrainedModel
from harness.domain.scenario import Scenario
from harness.domain.units import SECOND
from harness.errors import ServingError
from harness.manifests.common import Manifest, labels
from harness.protocols import Notice
from harness.realtime import Place, Point

NOTICES: Final = 10_000
HOPELESS: Final = "replica_failed"
"""A notice: an arm's pods will not get ready by themselves."""
LOOK_S: Final = 0.02
AGAIN_S: Final = 1.0
"""Until what was refused is tried again."""
LATE: Final = 0.8
"""Of the time to get ready: whoever is not ready then is told of."""
POINT_S: Final = 40.0
"""How long a router may take to be pointed elsewhere."""


class Keeper:
    """Looks after the pods of one model.

    Args:
        scenario: where and how they run (``real.kubernetes``).
        patience: of each call.
        silent_s: a watch that has told nothing for so long is begun again.
    """

    realtime = True

    def __init__(self, scenario: Scenario, patience: Patience = PATIENCE, silent_s: float = SILENT_S) -> None:
        self._scenario, self._plan = scenario, scenario.real.kubernetes
        self._api = Api(self._plan, ServingError, scenario.seed, patience)
        known = labels(scenario)
        self._pods = Held(self._api, POD, known, self._pod_changed, silent_s)
        self._deployments = Held(self._api, DEPLOYMENT, known, self._deployment_changed, silent_s)
        self._place: Place | None = None
        self._objects: Objects
        self._revisions: Mapping[Role, Revision] = {}
        self._models: Mapping[Role, TrainedModel] = {}
        self._arms: dict[Role, Arm] = {}
        self._wanted: dict[Role, int] = {}
        self._pointed: dict[Role, tuple[str, ...]] = {}
        self._point: Point
        self._led_elsewhere = False
        """Stable's Service does not lead to stable's pods yet: they have to be ready before."""
        self._told: set[tuple[str, str]] = set()
        self._due = ""
        """What whoever looks next is told."""
        self._refused = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._broken: Exception | None = None
        self._turn, self._pointing = asyncio.Event(), asyncio.Lock()
        self._sender: MemoryObjectSendStream[Notice] | None = None
        self._receiver: MemoryObjectReceiveStream[Notice] | None = None

    async def _begin(self, models: Mapping[Role, TrainedModel], point: Point) -> None:
        if self._place is None:
            raise ServingError("the pods belong to no run yet; call `place` first")
        if self._api.is_open:
            raise ServingError("the pods are looked after already; `stop` first")
        self._arms = self._informed()
        self._api.open()
        self._objects = Objects(self._scenario, self._api, self._place)
        self._models, self._point = models, point
        self._sender, self._receiver = anyio.create_memory_object_stream[Notice](NOTICES)
        self._led_elsewhere = await self._objects.behind(Role.STABLE) != self._arms[Role.STABLE].deployment
        for held in (self._deployments, self._pods):
            await held.list()
            self._spawn(held.run())
        self._spawn(self._keep())

    def _informed(self) -> dict[Role, Arm]:
        """What each arm runs, by the revisions that we were told of."""
        if lacks := [role for role in ARMS if role not in self._revisions]:
            raise ServingError(f"which version of {lacks[0]} its pods are to load is not known; call `inform` first")
        arms = {role: arm_of(self._scenario, role, self._revisions[role.model]) for role in SERVING}
        if arms[Role.STABLE].deployment == arms[Role.CANDIDATE].deployment:
            raise ServingError(f"stable and the candidate are the same version: {self._revisions[Role.STABLE]}")
        return arms

    async def _end(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _forget(self) -> None:
        await self._api.close()
        self._pointed, self._wanted = {}, {}
        self._pods.objects, self._deployments.objects = {}, {}
        if self._sender and self._receiver:
            self._sender.close()
            self._receiver.close()

    # --- the router ---------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Whenever something has changed: lead stable's Service to stable's pods, and tell the router."""
        while True:
            await self._turn.wait()
            self._turn.clear()
            try:
                await self._lead()
                await self._follow()
                self._refused = ""
            except Exception as error:  # noqa: BLE001 - a task has no caller: told, and tried again
                if not self._refused:
                    self._tell("router_refused", tuple(self._wanted), str(error) or repr(error))
                self._refused = str(error) or repr(error)
                await anyio.sleep(AGAIN_S)
                self._turn.set()

    async def _lead(self) -> None:
        """Where stable's Service leads to what was stable before, or is not there: once stable's pods are, to them."""
        arm, wanted = self._arms[Role.STABLE], self._wanted.get(Role.STABLE, 0)
        there = health.available(self._deployments.objects.get(arm.deployment))
        if self._led_elsewhere and 0 < wanted <= there:
            await self._objects.service(Role.STABLE, arm)
            self._led_elsewhere = False

    async def _follow(self) -> None:
        """Point the router at the pods that are ready; those that it is to let go of are not taken down before."""
        async with self._pointing:
            behind, before = self._behind(), self._pointed
            if behind == before:
                return
            with anyio.fail_after(POINT_S):
                await self._point(behind)
            self._pointed = behind
        for role, urls in behind.items():
            for url in set(urls) - set(before.get(role, ())):
                self._tell("replica_ready", (role,), f"a pod of {role} is ready: {url}")

    def _behind(self) -> dict[Role, tuple[str, ...]]:
        """Pods that users may reach: those of stable once its Service leads there, for a router may wait for that."""
        waits = {Role.STABLE} if self._led_elsewhere else set()
        return {
            role: tuple(health.url_of(pod, self._plan.port) for pod in self._pods_ready(role))
            if count and role not in waits else ()
            for role, count in self._wanted.items()
        }  # fmt: skip

    # --- pods ---------------------------------------------------------------------------------------------------------

    async def _scale(self, role: Role) -> None:
        written = await self._objects.deployment(role, self._arms[role], self._wanted[role])
        if written is not None:
            self._deployments.took(written)
        self._turn.set()
        if role is not Role.STABLE and self._ready(role) < self._wanted[role]:
            self._spawn(self._tell_late(role, self._name(role)))

    def _ready(self, role: Role) -> int:
        if role is Role.STABLE and self._led_elsewhere:
            return 0
        there = health.available(self._deployments.objects.get(self._arms[role].deployment))
        return min(self._wanted[role], there, len(self._pointed.get(role, ())))

    def _pods_of(self, role: Role) -> list[Manifest]:
        return health.pods_of(self._pods.objects.values(), self._arms[role].deployment)

    def _pods_ready(self, role: Role) -> list[Manifest]:
        return [pod for pod in self._pods_of(role) if health.is_ready(pod)]

    def _trouble_of(self, role: Role) -> health.Trouble | None:
        """Why an arm lacks pods; None where it lacks none, or nothing is known to be wrong."""
        deployment = self._deployments.objects.get(self._arms[role].deployment)
        if health.available(deployment) >= self._wanted.get(role, 0):
            return None
        return health.trouble_of(deployment, self._pods_of(role))

    def _pod_changed(self, before: Manifest | None, now: Manifest | None) -> None:
        """Tell of a pod that was ready and is not any more, and why one does not get ready."""
        self._turn.set()
        pod = now or before
        role = next((each for each in self._wanted if pod and pod in health.pods_of([pod], self._name(each))), None)
        if pod is None or role is None:
            return
        name, stays = pod["metadata"]["name"], now is not None and not health.is_going(now)
        if before and health.is_ready(before):
            again = health.restarts(now) > health.restarts(before)
            if stays and now and (again or not health.is_ready(now)):
                self._tell("replica_crashed", (role,), f"pod {name} of {role} is not ready any more")
            left = sum(not health.is_going(each) for each in self._pods_of(role))
            if not stays and left < self._wanted[role]:
                self._tell("replica_crashed", (role,), f"pod {name} of {role} was taken away")
        self._tell_trouble(role)

    def _deployment_changed(self, _: Manifest | None, now: Manifest | None) -> None:
        self._turn.set()
        for role in self._wanted:
            if now and now["metadata"]["name"] == self._name(role):
                self._tell_trouble(role)

    def _tell_trouble(self, role: Role) -> None:
        trouble = self._trouble_of(role)
        if trouble and (trouble.pod, trouble.reason) not in self._told:
            self._told.add((trouble.pod, trouble.reason))
            self._tell("pod_not_ready", (role,), f"{self._called(role)}: {trouble.told(self._plan.namespace)}")
        if trouble and trouble.hopeless and (trouble.pod, "hopeless") not in self._told:
            self._told.add((trouble.pod, "hopeless"))
            told = f"{self._called(role)} does not get ready: {trouble.told(self._plan.namespace)}"
            self._tell(HOPELESS, (role,), told)

    async def _tell_late(self, role: Role, name: str) -> None:
        """Name the pod that is not ready, before whoever waits for it gives up, as Kubernetes does only later."""
        await anyio.sleep(LATE * self._scenario.rollout.ready_within_ns / SECOND)
        waiting = health.late_of(health.pods_of(self._pods.objects.values(), name))
        if self._name(role) == name and self._ready(role) < self._wanted.get(role, 0) and waiting:
            told = replace(waiting, reason="NotReady").told(self._plan.namespace)
            self._tell("pod_not_ready", (role,), f"{self._called(role)}: {told}")

    def _name(self, role: Role) -> str:
        return self._arms[role].deployment

    def _called(self, role: Role) -> str:
        return f"{role} (Deployment {self._name(role)})"

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        """Raise where nobody looks after the pods."""
        if not self._api.is_open:
            raise ServingError("the pods are not looked after; `start` first")
        if self._broken:
            raise ServingError(f"the pods are not looked after any more: {self._broken!r}") from self._broken

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(self._guarded(work)))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - a task has no caller: whoever asks next is told
            self._broken = self._broken or error

    def _tell(self, kind: str, on: tuple[Role, ...], text: str) -> None:
        with contextlib.suppress(anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
            if self._sender:  # nobody reads for a very long while: what is new is dropped
                self._sender.send_nowait(Notice(kind, on, text))

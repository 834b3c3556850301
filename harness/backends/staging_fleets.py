"""Production's fleets as staging has them: faults begin with the load test, and nothing goes on when it is over."""

import asyncio

import anyio

from harness.backends.kubernetes import KubernetesFleet
from harness.backends.kubernetes_health import pods_of
from harness.backends.local import LocalFleet
from harness.clock import now_ns
from harness.domain.scenario import Scenario

LOOK_S = 0.05
GOING_S = 10.0
"""How long pods are waited for that are to be gone; what takes longer ends by itself."""


class StagedProcesses(LocalFleet):
    """Processes whose faults wait for `begin`."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """Times of faults count from here."""
        self._begun.set()

    async def _course(self, before_ns: int) -> None:
        await self._begun.wait()
        self._origin_ns = now_ns()
        await super()._course(before_ns)


class StagedPods(KubernetesFleet):
    """Pods of which none goes on when they are stopped: nobody but this run asks them."""

    async def stop(self) -> None:
        """Take all of them down; where the cluster refuses, stopping again tries again."""
        if not self._api.is_open:
            return
        await self._end()
        await self._take_down()
        await self._forget()

    async def _take_down(self) -> None:
        for role, arm in self._arms.items():
            await self._objects.deployment(role, arm, 0)
        names = [arm.deployment for arm in self._arms.values()]
        with anyio.move_on_after(GOING_S):
            while any(pods_of(self._pods.objects.values(), name) for name in names):
                await anyio.sleep(LOOK_S)
                await self._pods.list()

"""The loop of all controllers: a while after each change they look at everything, until nothing is left to do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import anyio

from fakes.kube_deployments import Deployments
from fakes.kube_garbage import Garbage
from fakes.kube_kinds import CLAIM
from fakes.kube_pods import Nodes
from fakes.kube_replicasets import NEVER, ReplicaSets
from fakes.kube_services import Slices
from fakes.kube_writes import Writer
from harness.clock import now_ns
from harness.domain.units import SECOND

PASSES: Final = 50
"""At most, for one change; a controller that is never content with what it wrote is an error."""


@dataclass(slots=True)
class Controllers:
    """Everything that acts on stored objects.

    Args:
        writer: of the store they share.
        nodes: what pods live on.
        more: other passes, as the gateway's.
        lag_s: from a change to their acting on it: who reads a status at once reads an old one, as in a real cluster.
    """

    writer: Writer
    nodes: Nodes
    more: Sequence[Callable[[], None]] = ()
    lag_s: float = 0.02

    async def run(self) -> None:
        """Act, for as long as the task lives."""
        deployments, sets = Deployments(self.writer), ReplicaSets(self.writer)
        passes = (
            Garbage(self.writer).sync,
            self._bind,
            deployments.sync,
            sets.sync,
            self.nodes.sync,
            Slices(self.writer).sync,
            *self.more,
        )
        with self.writer.store.waker() as waker:
            while True:
                self._settle(passes)
                due_ns = min(deployments.wake_ns, sets.wake_ns)
                await waker.wait(None if due_ns == NEVER else max(0.001, (due_ns - now_ns()) / SECOND))
                await anyio.sleep(self.lag_s)

    def _bind(self) -> None:
        """Give every volume claim its volume."""
        for claim in self.writer.store.all(CLAIM):
            spec = claim["spec"]
            size = (spec.get("resources") or {}).get("requests") or {}
            status = {"phase": "Bound", "accessModes": spec["accessModes"], "capacity": size}
            self.writer.set_status(CLAIM, claim, status)

    def _settle(self, passes: Sequence[Callable[[], None]]) -> None:
        for _ in range(PASSES):
            before = self.writer.store.version
            for each in passes:
                each()
            if self.writer.store.version == before:
                return
        raise RuntimeError(f"controllers still write after {PASSES} passes")

"""Backends that fail or hang at any call, wrapped around those in memory; and what was really done to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import anyio

from fakes.cluster import SimulatedCluster
from fakes.registry import MemoryRegistry
from fakes.tracker import MemoryTracker
from harness.clock import now_ns
from harness.domain.model import Role
from harness.domain.rollout import Routing
from harness.domain.scenario import Scenario
from harness.errors import RegistryError, RoutingError, ServingError

CALLS: Final[Mapping[str, tuple[str, ...]]] = {
    "registry": ("register", "resolve", "set_alias", "remove_alias", "mark"),
    "tracker": ("record",),
    "router": ("apply",),
    "serving": ("apply", "observe", "probe"),
    "metrics": ("sample", "totals", "inputs", "predictions"),
    "platform": ("start", "replace", "stop"),
    "notifier": ("notify",),
    "retrainer": ("challenge",),
}
EFFECTS: Final = {
    ("registry", "set_alias"), ("registry", "remove_alias"), ("registry", "mark"), ("registry", "register"),
    ("tracker", "record"), ("router", "apply"), ("serving", "apply"),
}  # fmt: skip
"""Calls that change something, and that change nothing when they are made twice."""
ERRORS: Final = (
    ServingError("no quota"), RoutingError("conflict"), RegistryError("read-only"), ConnectionError("reset by peer"),
    TimeoutError("slow"), KeyError("weights"), ValueError("not a number"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trouble:
    """What one call of a backend does instead of its work, or after it."""

    side: str
    method: str
    first: int
    """The number of the first call that is troubled, from 0."""
    times: int | None
    """So many calls are; None: all from then on."""
    error: Exception | None = None
    """Raised; None: the call hangs."""
    hang_s: float = 0.0
    """Seconds; infinite: for ever."""
    late: bool = False
    """The effect has happened before it fails."""

    def befalls(self, number: int) -> bool:
        """Whether the call of that number is troubled."""
        return self.first <= number and (self.times is None or number < self.first + self.times)


@dataclass(slots=True)
class Witness:
    """What was really done to the backends."""

    routed: list[tuple[int, Routing]] = field(default_factory=list)
    scaled: list[tuple[int, dict[Role, int], dict[Role, tuple[int, int]], dict[Role, tuple[int, int]]]] = field(
        default_factory=list
    )
    """When, what was wanted, and (wanted, ready) of each arm just before and just after."""
    windows: list[tuple[int, int, int]] = field(default_factory=list)
    """(start, stop, now) of every window that was measured, in the loop's time."""
    stopped_ns: int | None = None
    started_ns: int | None = None
    troubled: int = 0


class Side:
    """One side of a backend with its troubles; everything else goes through."""

    def __init__(
        self, name: str, part: Any, troubles: tuple[Trouble, ...], witness: Witness, *, twice: bool = False
    ) -> None:
        self._name, self._part, self._witness, self._twice = name, part, witness, twice
        self._troubles = [each for each in troubles if each.side == name]
        self._calls: dict[str, int] = {}

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._part, method)
        if method not in CALLS[self._name]:
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            number = self._calls.get(method, 0)
            self._calls[method] = number + 1
            for each in self._troubles:
                if each.method == method and each.befalls(number):
                    self._witness.troubled += 1
                    if each.late:
                        await found(*args, **kwargs)
                    if each.error is not None:
                        raise each.error
                    await anyio.sleep(each.hang_s)  # infinite: for ever
            answer = await found(*args, **kwargs)
            if self._twice and (self._name, method) in EFFECTS:
                answer = await found(*args, **kwargs)
            return answer

        return call


class World:
    """A simulated platform, a registry and a tracker, with troubles; as a `Platform` it is what the engine is given."""

    realtime = False

    def __init__(self, of: Scenario, troubles: tuple[Trouble, ...] = (), *, twice: bool = False) -> None:
        self.witness = Witness()
        self.cluster = SimulatedCluster(of)
        self.store = MemoryRegistry()

        def side(name: str, part: Any) -> Any:
            return Side(name, part, troubles, self.witness, twice=twice)

        self.side = side
        self.serving = side("serving", Seen(self.cluster, self.witness))
        self.router = side("router", SeenRouter(self.cluster, self.witness))
        self.metrics = side("metrics", SeenMetrics(self.cluster, self.witness))
        self.registry = side("registry", self.store)
        self.tracker = side("tracker", MemoryTracker())
        self._lifetime = side("platform", Lifetime(self.cluster, self.witness))

    async def start(self, *args: Any, **kwargs: Any) -> None:
        await self._lifetime.start(*args, **kwargs)

    async def replace(self, *args: Any, **kwargs: Any) -> None:
        await self._lifetime.replace(*args, **kwargs)

    async def stop(self) -> None:
        await self._lifetime.stop()


class Lifetime:
    """The platform as a whole."""

    def __init__(self, cluster: SimulatedCluster, witness: Witness) -> None:
        self._cluster, self._witness = cluster, witness

    async def start(self, *args: Any, **kwargs: Any) -> None:
        await self._cluster.start(*args, **kwargs)
        self._witness.started_ns = now_ns()

    async def replace(self, *args: Any, **kwargs: Any) -> None:
        await self._cluster.replace(*args, **kwargs)

    async def stop(self) -> None:
        self._witness.stopped_ns = now_ns()
        await self._cluster.stop()


class Seen:
    """The serving side, with a note of what each change of replicas did."""

    def __init__(self, cluster: SimulatedCluster, witness: Witness) -> None:
        self._cluster, self._witness = cluster, witness

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    async def apply(self, replicas: Mapping[Role, int]) -> None:
        before = await self._stand()
        await self._cluster.apply(replicas)
        self._witness.scaled.append((now_ns(), dict(replicas), before, await self._stand()))

    async def _stand(self) -> dict[Role, tuple[int, int]]:
        return {role: (state.wanted, state.ready) for role, state in (await self._cluster.observe()).items()}


class SeenRouter:
    """The router, with a note of what it put in force."""

    def __init__(self, cluster: SimulatedCluster, witness: Witness) -> None:
        self._cluster, self._witness = cluster, witness

    async def apply(self, want: Routing) -> Any:
        answer = await self._cluster.router.apply(want)
        self._witness.routed.append((now_ns(), want))
        return answer


class SeenMetrics:
    """The metric source, with a note of every window."""

    def __init__(self, cluster: SimulatedCluster, witness: Witness) -> None:
        self._cluster, self._witness = cluster, witness

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    async def sample(self, start_ns: int, stop_ns: int) -> Any:
        self._witness.windows.append((start_ns, stop_ns, now_ns()))
        return await self._cluster.sample(start_ns, stop_ns)

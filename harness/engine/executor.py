"""The executor: owner of the log and of every effect on a backend."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from harness.clock import now_ns
from harness.domain.event import Event, Intended, ReadyChanged, ReplicasApplied, Routed
from harness.domain.model import Role
from harness.domain.rollout import Seen, Want, Weights
from harness.domain.scenario import Scenario
from harness.domain.units import WHOLE, share_text
from harness.errors import RuleViolation
from harness.log import EventLog
from harness.protocols import MetricSource, Platform, Readiness, Registry, Stage, Tracker
from harness.strategies.steps import State, Transition

P = ParamSpec("P")
E = TypeVar("E", bound=Event)


class Machine(Protocol):
    """What a strategy gives the engine: a pure machine."""

    def start(self, at_ns: int) -> Transition:
        """The first actions."""
        ...

    def next(self, state: State, seen: Seen, at_ns: int) -> Transition:
        """What to do, given what was seen."""
        ...

    def foreseen(self) -> tuple[tuple[int, int], ...]:
        """The weights if all goes well."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a run is made of; `app` puts it together."""

    stages: Sequence[Stage]
    """Validate, train, evaluate: what comes before the gates."""
    registry: Registry
    tracker: Tracker
    platform: Platform
    metrics: MetricSource
    machine: Machine
    run_id: str
    """Differs from run to run; effects carry it, so that a second try finds the first."""


@dataclass(slots=True)
class Executor:
    """Appends to the log and acts on the backends, each intent before its effect and each effect after it."""

    scenario: Scenario
    parts: Parts
    log: EventLog
    origin_ns: int
    """The loop's time when the run began."""
    live: bool = False
    """Users' requests flow."""
    live_ns: int = 0
    """The loop's time when they began."""
    weights: Weights = field(default_factory=dict)
    """In force, as the router last answered."""
    ready: Mapping[Role, Readiness] = field(default_factory=dict)
    """As last seen."""
    replicas: Mapping[Role, int] = field(default_factory=dict)
    """As last asked for."""
    intents: int = 0
    last: int = -1
    """Sequence number of the newest event."""

    def tell(self, event: Callable[Concatenate[int, P], E], *args: P.args, **kwargs: P.kwargs) -> E:
        """Append ``event(now, …)``."""
        told = event(now_ns() - self.origin_ns, *args, **kwargs)
        self.last = self.log.append(told)
        return told

    def intend(self, action: str, detail: str) -> int:
        """Log what is about to be done; answers with the intent's number."""
        self.intents += 1
        self.tell(Intended, self.intents, action, detail)
        return self.intents

    def intent_id(self, intent: int) -> str:
        """The id that the effect carries."""
        return f"{self.parts.run_id}/{intent}"

    async def make_so(self, want: Want) -> list[Seen]:
        """Bring about a desired state; what is asked for again is not done again."""
        check(want, self.ready, self.weights)
        seen: list[Seen] = []
        if dict(want.replicas) != dict(self.replicas):
            await self.scale(want.replicas)
            seen += await self.readiness()
        if dict(want.weights) != dict(self.weights):
            await self.route(want.weights)
        return [*seen, _routed(self.weights)]

    async def scale(self, replicas: Mapping[Role, int]) -> None:
        """Want so many replicas of each arm."""
        intent = self.intend("scale", ", ".join(f"{role} {count}" for role, count in replicas.items()))
        await self.parts.platform.serving.apply(replicas)
        self.replicas = dict(replicas)
        self.tell(ReplicasApplied, intent, self.replicas)

    async def route(self, weights: Weights) -> None:
        """Put weights in force."""
        intent = self.intend("route", ", ".join(f"{role} {share_text(share)}" for role, share in weights.items()))
        self.weights = dict(await self.parts.platform.router.apply(weights))
        self.tell(Routed, intent, self.weights)

    async def readiness(self) -> list[Seen]:
        """Look at both arms; what has changed is logged, and where each stands is answered."""
        from harness.domain.rollout import Ready

        now = await self.parts.platform.serving.observe()
        for role, state in now.items():
            if self.ready.get(role) != state:
                self.tell(ReadyChanged, role, state.ready, state.wanted)
        self.ready = dict(now)
        return [Ready(role, state.ready, state.wanted) for role, state in now.items()]


def check(want: Want, ready: Mapping[Role, Readiness], in_force: Weights) -> None:
    """Refuse what must never be, whatever strategy asked for it.

    Weights are shares that sum to the whole, and no arm gets more than it has unless it was last seen ready.
    """
    total = sum(want.weights.values())
    if total != WHOLE or any(share < 0 for share in want.weights.values()):
        raise RuleViolation(f"weights {dict(want.weights)} must be shares of {WHOLE} that sum to it, not to {total}")
    for role, share in want.weights.items():
        if share > in_force.get(role, 0) and not (role in ready and ready[role].ready):
            raise RuleViolation(f"{role} may not get {share_text(share)} of the traffic: none of its replicas is ready")


def _routed(weights: Weights) -> Seen:
    from harness.domain.rollout import Routed as SeenRouted

    return SeenRouted(weights)

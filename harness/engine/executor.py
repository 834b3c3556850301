"""The executor: owner of the log and of every effect on a backend."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Concatenate, ParamSpec, TypeVar

from harness.analysis.measure import Baselines
from harness.clock import now_ns, sleep_until
from harness.domain.event import Event, Intended, ReadyChanged, ReplicasApplied, Routed
from harness.domain.lifecycle import ScriptedOrder
from harness.domain.model import Role
from harness.domain.rollout import Ready, Routing, Rules, Seen, Want, Weights
from harness.domain.rollout import Routed as SeenRouted
from harness.domain.scenario import Scenario
from harness.domain.units import WHOLE, share_text
from harness.engine.calls import answered
from harness.engine.herald import Herald
from harness.engine.inbox import Inbox
from harness.errors import RuleViolation
from harness.log import EventLog
from harness.protocols import (
    MetricSource,
    MonitoringSystem,
    Notifier,
    Orders,
    Platform,
    Readiness,
    Registry,
    Retrainer,
    Stage,
    Tracker,
)
from harness.strategies import Machine

P = ParamSpec("P")
E = TypeVar("E", bound=Event)


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
    staging: Sequence[Stage] = ()
    """What a registered candidate must stand before any of it reaches production."""
    retrainer: Retrainer | None = None
    """Trains challengers, where the scenario has a way to."""
    notifiers: Mapping[str, Notifier] = field(default_factory=dict)
    """Where people are told, by channel."""
    monitoring: MonitoringSystem | None = None
    """Where what was promoted is watched from."""
    inbox: Orders | None = None
    """What people say from other terminals; None: they cannot (virtual time)."""


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
    routing: Routing | None = None
    """As last asked for; None: nothing was asked for, or it was not answered."""
    ready: Mapping[Role, Readiness] = field(default_factory=dict)
    """As last seen."""
    told: Mapping[Role, Readiness] = field(default_factory=dict)
    """As the machine was last told: what it asks for is held against that. What it does not know yet is on its way."""
    replicas: Mapping[Role, int] = field(default_factory=dict)
    """As last asked for; of each arm the most that there may be, where it was not answered."""
    scaled: bool = True
    """The last change of them was answered."""
    home: Role = Role.STABLE
    """The arm that runs what is stable now: after a promotion, the one that was the candidate's."""
    baselines: Baselines = field(default_factory=Baselines)
    """What stable showed last."""
    said: int = 0
    """How much of what people say in a rehearsal has been said."""
    herald: Herald | None = None
    """Tells people, beside everything else."""
    inbox: Inbox | None = None
    """Hears them."""
    intents: int = 0
    begun: dict[tuple[str, str], int] = field(default_factory=dict)
    """Intents of a run that was cut off: begun, and not known to be done. Who intends the same has the same number."""
    last: int = -1
    """Sequence number of the newest event."""

    def tell(self, event: Callable[Concatenate[int, P], E], *args: P.args, **kwargs: P.kwargs) -> E:
        """Append ``event(now, …)``."""
        told = event(now_ns() - self.origin_ns, *args, **kwargs)
        self.last = self.log.append(told)
        return told

    def notify(self, text: str) -> None:
        """Have people told; it takes its time beside whatever goes on."""
        if self.herald:
            self.herald.say(text)

    async def orders(self) -> AsyncIterator[ScriptedOrder]:
        """What people say in a rehearsal, each when its time comes, and each once."""
        while self.said < len(self.scenario.orders):
            order = self.scenario.orders[self.said]
            await sleep_until(self.live_ns + order.at_ns)
            self.said += 1
            yield order

    def intend(self, action: str, detail: str) -> int:
        """Log what is about to be done; answers with the intent's number."""
        number = self.begun.pop((action, detail), 0)
        if not number:
            number = self.intents = self.intents + 1
        self.tell(Intended, number, action, detail)
        return number

    def mine(self) -> None:
        """To be called before an effect that has no intent.

        Raises:
            LeaseLost: another harness drives the rollout now.
        """
        with self.log.ours():
            pass

    def intent_id(self, intent: int) -> str:
        """The id that the effect carries."""
        return f"{self.parts.run_id}/{intent}"

    async def make_so(self, want: Want) -> list[Seen]:
        """Bring about a desired state; what is asked for again is not done again."""
        check(want, self.told, self.weights, self.parts.machine.rules, self.replicas, self.routing)
        seen: list[Seen] = []
        if not self.scaled or dict(want.replicas) != dict(self.replicas):
            await self.scale(want.replicas)
            seen += await self.readiness()
        if want.routing != self.routing or dict(want.weights) != dict(self.weights):
            await self.route(want.routing)
        return [*seen, SeenRouted(self.weights)]

    async def scale(self, replicas: Mapping[Role, int]) -> None:
        """Want so many replicas of each arm."""
        intent = self.intend("scale", ", ".join(f"{role} {count}" for role, count in replicas.items()))
        # A call that fails may have had its effect all the same: until it is answered there may be either.
        self.replicas = {role: max(self.replicas.get(role, 0), count) for role, count in replicas.items()}
        self.scaled = False
        await answered("the change of replicas", self.parts.platform.serving.apply(replicas))
        self.replicas, self.scaled = dict(replicas), True
        self.tell(ReplicasApplied, intent, self.replicas)

    async def route(self, want: Routing) -> None:
        """Put weights, routes and mirroring in force."""
        intent = self.intend("route", _routing_text(want))
        self.routing = None
        self.weights = dict(await answered("the change of routing", self.parts.platform.router.apply(want)))
        self.routing = want
        routes = tuple(str(route) for route in want.routes)
        self.tell(Routed, intent, self.weights, routes, want.mirror, want.sticky)

    async def readiness(self) -> list[Seen]:
        """Look at both arms; what has changed is logged, and where each stands is answered."""
        now = await answered("the look at the replicas", self.parts.platform.serving.observe())
        for role, state in now.items():
            if self.ready.get(role) != state:
                self.tell(ReadyChanged, role, state.ready, state.wanted)
        self.ready = dict(now)
        return [Ready(role, state.ready, state.wanted) for role, state in now.items()]


NO_RULES = Rules()


def check(
    want: Want,
    ready: Mapping[Role, Readiness],
    in_force: Weights,
    rules: Rules = NO_RULES,
    replicas: Mapping[Role, int] = MappingProxyType({}),
    routing: Routing | None = None,
) -> None:
    """Refuse what must never be, whatever strategy asked for it.

    Weights are shares that sum to the whole, and no arm gets more than it has unless it was last seen ready (or it is
    stable, and nobody who stays is ready: somebody must have the traffic); and the strategy's own rules are kept.

    Args:
        want: what is asked for.
        ready: of each arm, as last seen.
        in_force: the weights.
        rules: the strategy's own.
        replicas: as last asked for.
        routing: in force; None: not known.

    Raises:
        RuleViolation: naming the rule.
    """
    total = sum(want.weights.values())
    if total != WHOLE or any(share < 0 for share in want.weights.values()):
        raise RuleViolation(f"weights {dict(want.weights)} must be shares of {WHOLE} that sum to it, not to {total}")
    up = {role for role, state in ready.items() if state.ready}
    staying = {role for role in up if want.replicas.get(role)}
    for role, share in want.weights.items():
        if share > in_force.get(role, 0) and role not in (up if staying else {*up, Role.STABLE}):
            raise RuleViolation(f"{role} may not get {share_text(share)} of the traffic: none of its replicas is ready")
    if Role.CANDIDATE not in up and _sent_apart(want, routing):
        raise RuleViolation("the candidate may get no requests by header and no copies: none of its replicas is ready")
    candidate = want.weights.get(Role.CANDIDATE, 0)
    if rules.exclusive and candidate not in {0, WHOLE}:
        raise RuleViolation(f"one arm has all the traffic in this strategy; {share_text(candidate)} is a part of it")
    if rules.unexposed and (candidate not in {0, WHOLE} or want.routes):
        raise RuleViolation("no user is answered by the candidate of a shadow before it is decided on")
    _check_capacity(want, ready, rules, replicas)


def _check_capacity(want: Want, ready: Mapping[Role, Readiness], rules: Rules, replicas: Mapping[Role, int]) -> None:
    kept = sum(min(state.ready, want.replicas.get(role, 0)) for role, state in ready.items())
    if kept < rules.least_ready and kept < sum(state.ready for state in ready.values()):
        raise RuleViolation(f"only {kept} ready replicas would be left, and {rules.least_ready} are never given up")
    wanted, before = sum(want.replicas.values()), sum(replicas.values())
    if rules.most_replicas is not None and rules.most_replicas < wanted > before:
        raise RuleViolation(f"{wanted} replicas are more than there may be at a time, which is {rules.most_replicas}")


def _routing_text(want: Routing) -> str:
    parts = [f"{role} {share_text(share)}" for role, share in want.weights.items()]
    parts += [f"requests with {route} to the candidate" for route in want.routes]
    if want.mirror:
        parts.append(f"{share_text(want.mirror)} copied to the candidate")
    return ", ".join(parts)


def _sent_apart(want: Want, routing: Routing | None) -> bool:
    """Whether the candidate would get more requests by header, or more copies, than it does."""
    return bool(set(want.routes) - set(routing.routes if routing else ())) or want.mirror > (
        routing.mirror if routing else 0
    )

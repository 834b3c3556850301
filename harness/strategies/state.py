"""What a machine remembers, and what follows from something it has seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from harness.domain.model import Role
from harness.domain.rollout import Action, End, HeaderRoute, Weights
from harness.domain.units import WHOLE


class Phase(Enum):
    """What a machine waits for."""

    STARTING = auto()
    """Replicas: the candidate's at first, and later those of an arm that has lost all and is to get traffic."""
    SCALING = auto()
    """Replicas, because a step asked for another number of them."""
    ROUTING = auto()
    """Weights (or counts of replicas that stand for them) to come into force."""
    PAUSING = auto()
    """Time to pass."""
    ANALYSING = auto()
    """The step's own analysis."""
    DECIDING = auto()
    """An A/B test."""
    TESTING = auto()
    """The answer of a check."""
    AWAITING = auto()
    """A person."""
    HOLDING = auto()
    """Rules to be judged."""
    RETURNING = auto()
    """Weights to fall, step by step, before the rollout ends."""
    ENDED = auto()


UNJUDGED: Final = "nothing has been judged yet"


@dataclass(frozen=True, slots=True)
class Count:
    """How many replicas of an arm are ready, of those wanted."""

    ready: int
    wanted: int


@dataclass(frozen=True, slots=True)
class State:
    """Where a rollout by steps stands."""

    phase: Phase
    index: int = -1
    weight: int = 0
    scale: int | None = None
    """The candidate's replicas, where a step has set them apart from its full size."""
    routes: tuple[HeaderRoute, ...] = ()
    mirror: int = 0
    routed_ns: int = 0
    """When the step's weight came into force."""
    wake_ns: int | None = None
    analysing: bool = False
    """The background analysis is under way."""
    inline: bool = False
    """A step's own analysis is under way."""
    passed_ns: int | None = None
    waits: str = UNJUDGED
    """Which rule has not passed on this step, and why."""
    because: tuple[int, ...] = ()
    """The look that a test's last finding rests on."""
    counts: Mapping[Role, Count] = field(default_factory=dict)
    """As last seen; stable stands ready before anything was seen."""
    spec: Mapping[Role, int] = field(default_factory=dict)
    """As last asked for, where counts of replicas stand for weights."""
    ending: End | None = None
    """What the rollout ends as, once the way back is done."""
    broken: Phase | None = None
    """What it was about when an analysis that found nothing broke it off; a person is waited for."""
    promotion: End | None = None
    """What it was promoted for, by a person or a test; None: for its steps, if it comes to that."""

    def ready(self, role: Role) -> int:
        """How many replicas of the arm are ready, as last seen."""
        count = self.counts.get(role)
        return count.ready if count else int(role is Role.STABLE)


@dataclass(frozen=True, slots=True)
class Transition:
    """What follows from something seen."""

    state: Any
    """Of the machine's own kind."""
    actions: tuple[Action, ...] = ()
    wake_at_ns: int | None = None


def go(state: State, *actions: Action) -> Transition:
    """To a state, by these actions; it says when it wants to be woken."""
    return Transition(state, actions, state.wake_ns)


def split(candidate: int, *, baseline: bool = False) -> Weights:
    """The weights of the arms; a baseline gets as much as the candidate, as far as there is so much.

    >>> split(1000)
    {<Role.STABLE: 'stable'>: 9000, <Role.CANDIDATE: 'candidate'>: 1000}
    >>> split(1000, baseline=True)[Role.BASELINE], split(8000, baseline=True)[Role.BASELINE]
    (1000, 2000)
    """
    if not baseline:
        return {Role.STABLE: WHOLE - candidate, Role.CANDIDATE: candidate}
    beside = min(candidate, WHOLE - candidate)
    return {Role.STABLE: WHOLE - candidate - beside, Role.CANDIDATE: candidate, Role.BASELINE: beside}

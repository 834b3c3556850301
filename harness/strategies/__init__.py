"""Rollout strategies: pure machines that say what should be, given what was seen.

steps.py     the machine of what goes by steps: canary, blue-green, shadow and A/B over steps of their own
replicas.py  the machine of rolling updates; counts.py: the arithmetic of replica counts, moves.py: it as moves
sizes.py     sizes of the revisions behind a router, as Argo Rollouts reckons them
state.py     what a machine remembers; foresight.py, plan.py: a policy in time, if all goes well
again.py     a rollout taken up after a crash of the harness; codec.py: what it remembers as JSON

Adding a strategy is adding a file with a function from a policy to a machine, and a line to this table; or, from
another package, an entry point in the group ``harness.strategies`` (docs/architecture.md has an example that runs).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from harness.domain.model import Role
from harness.domain.rollout import Ready, RolloutPolicy, Rules, Seen
from harness.strategies.ab_test import ab_test
from harness.strategies.blue_green import blue_green
from harness.strategies.canary import canary
from harness.strategies.rolling import rolling
from harness.strategies.shadow import shadow
from harness.strategies.state import Transition
from harness.strategies.steps import Steps


class Machine(Protocol):
    """What a strategy gives the engine: a pure machine."""

    @property
    def rules(self) -> Rules:
        """What must hold of everything that it wants."""
        ...

    def start(self, at_ns: int) -> Transition:
        """The first actions."""
        ...

    def next(self, state: Any, seen: Seen, at_ns: int) -> Transition:
        """What to do, given what was seen."""
        ...

    def foreseen(self) -> tuple[tuple[int, int], ...]:
        """The weights if all goes well: (nanoseconds after the first step, candidate's weight), and the end."""
        ...


@runtime_checkable
class Restorable(Protocol):
    """What a machine may promise besides: that a rollout goes on in another process, after a crash of the harness.

    Optional: a rollout whose machine lacks it is rolled back then.
    """

    def dump(self, state: Any) -> Any:
        """The state as plain values of JSON: what stays the same here writes no checkpoint."""
        ...

    def restore(self, value: Any) -> Any:
        """The state of what `dump` gave; any exception means that it cannot be used."""
        ...

    def taken_up(self, state: Any, ready: Sequence[Ready], at_ns: int) -> Transition:
        """What is asked for when the rollout is taken up again: all that is wanted, and all that is waited for.

        Args:
            state: as `restore` gave it.
            ready: the replicas of both arms, as they were found.
            at_ns: now, in the run's time; the time in which no process ran it is none of it.
        """
        ...


Strategy = Callable[[RolloutPolicy, Mapping[Role, int]], Machine]
"""From a policy and the size of each arm to a machine."""

STRATEGIES: Final[Mapping[str, Strategy]] = {
    "ab_test": ab_test,
    "blue_green": blue_green,
    "canary": canary,
    "rolling": rolling,
    "shadow": shadow,
}

__all__ = [
    "STRATEGIES",
    "Machine",
    "Restorable",
    "Steps",
    "Strategy",
    "ab_test",
    "blue_green",
    "canary",
    "rolling",
    "shadow",
]

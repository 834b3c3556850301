"""Canary: raise the candidate's weight step by step, watching all the while."""

from collections.abc import Mapping, Sequence

from harness.domain.model import Role
from harness.domain.rollout import Pause, RolloutPolicy, SetWeight, Step
from harness.strategies.moves import Moves
from harness.strategies.steps import Steps


def canary(policy: RolloutPolicy, replicas: Mapping[Role, int]) -> Steps:
    """The machine of a canary: the policy's steps as they stand."""
    if policy.by_replicas:
        return Steps(policy, replicas, Moves.of(policy, replicas[Role.STABLE]).rules)
    return Steps(policy, replicas)


def canary_steps(weights: Sequence[int], pause_ns: int) -> tuple[Step, ...]:
    """Each weight in its turn (in 1/10,000), with a pause after it.

    >>> [str(step) for step in canary_steps([1000, 5000], 60_000_000_000)]
    ['weight 10%', 'pause 1m', 'weight 50%', 'pause 1m']
    """
    return tuple(step for weight in weights for step in (SetWeight(weight), Pause(pause_ns)))

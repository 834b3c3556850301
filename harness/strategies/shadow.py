"""Shadow: the candidate answers copies of live requests, and no user sees its answers."""

from collections.abc import Mapping

from harness.domain.model import Role
from harness.domain.rollout import Approve, Pause, RolloutPolicy, Rules, SetMirror, Step
from harness.strategies.steps import Steps


def shadow(policy: RolloutPolicy, replicas: Mapping[Role, int]) -> Steps:
    """The machine of a shadow rollout: what it has shown in the end says whether the candidate is promoted."""
    return Steps(policy, replicas, Rules(unexposed=True))


def shadow_steps(share: int, for_ns: int, approve: Approve | None = None) -> tuple[Step, ...]:
    """Copy a share of requests (in 1/10,000) for a while; copying goes on until the rollout ends.

    >>> [str(step) for step in shadow_steps(2000, 3600_000_000_000)]
    ['mirror 20%', 'pause 1h']
    """
    return (SetMirror(share), Pause(for_ns), *([approve] if approve else []))

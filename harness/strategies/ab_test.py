"""A/B test: users are split for good, and what they do decides which revision is kept."""

from collections.abc import Mapping

from harness.domain.analysis import Experiment
from harness.domain.model import Role
from harness.domain.rollout import Decide, RolloutPolicy, SetWeight, Step
from harness.strategies.steps import Steps


def ab_test(policy: RolloutPolicy, replicas: Mapping[Role, int]) -> Steps:
    """The machine of an A/B test; a user keeps to its arm."""
    if not policy.sticky:
        raise ValueError("an A/B test needs sticky users: what one user does in two arms belongs to neither")
    return Steps(policy, replicas)


def ab_test_steps(share: int, experiment: Experiment, every_ns: int, at_most_ns: int) -> tuple[Step, ...]:
    """Give the candidate a share of the users (in 1/10,000), and test until there is a decision.

    >>> [str(step) for step in ab_test_steps(5000, Experiment("success_rate", 0.01), 60, 3600_000_000_000)]
    ['weight 50%', 'A/B test on success_rate, at most 1h']
    """
    return (SetWeight(share), Decide(experiment, every_ns, at_most_ns))

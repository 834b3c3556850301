"""Canary: raise the candidate's weight step by step, watching all the while."""

from collections.abc import Mapping

from harness.domain.model import Role
from harness.domain.rollout import RolloutPolicy
from harness.strategies.steps import Steps


def canary(policy: RolloutPolicy, replicas: Mapping[Role, int]) -> Steps:
    """The machine of a canary: the policy's steps as they stand, both arms at their full size from the start."""
    return Steps(policy, replicas)

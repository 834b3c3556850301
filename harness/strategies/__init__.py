"""Rollout strategies: pure machines that say what should be, given what was seen.

Adding a strategy is adding a file with a function from a policy to a machine, and a line to this table.
"""

from collections.abc import Callable, Mapping
from typing import Final

from harness.domain.model import Role
from harness.domain.rollout import RolloutPolicy
from harness.strategies.canary import canary
from harness.strategies.steps import Steps

STRATEGIES: Final[Mapping[str, Callable[[RolloutPolicy, Mapping[Role, int]], Steps]]] = {"canary": canary}

__all__ = ["STRATEGIES", "Steps", "canary"]

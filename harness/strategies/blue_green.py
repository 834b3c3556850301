"""Blue-green: the new revision stands beside the old one, is tried, and takes all traffic at once.

What was active stays up for a while after the switch, so that the way back is as quick as the way there.
"""

from collections.abc import Mapping

from harness.domain.analysis import AnalysisPolicy
from harness.domain.model import Role
from harness.domain.rollout import (
    Analyze,
    Approve,
    Pause,
    RolloutPolicy,
    Rules,
    SetScale,
    SetWeight,
    Smoke,
    Step,
)
from harness.domain.units import WHOLE
from harness.strategies.steps import Steps


def blue_green(policy: RolloutPolicy, replicas: Mapping[Role, int]) -> Steps:
    """The machine of a blue-green rollout; one arm has all the traffic at any time."""
    return Steps(policy, replicas, Rules(exclusive=True))


def blue_green_steps(
    *,
    preview: int | None = None,
    smoke: int = 0,
    before: tuple[AnalysisPolicy, int] | None = None,
    wait_ns: int = 0,
    approve: Approve | None = None,
    after: tuple[AnalysisPolicy, int] | None = None,
) -> tuple[Step, ...]:
    """The steps of a blue-green rollout, in the order of Argo Rollouts.

    Args:
        preview: replicas of the candidate while it gets no traffic; None: its full size.
        smoke: requests of our own that it must answer.
        before: an analysis before the switch, and how often it looks.
        wait_ns: wait so long before the switch (Argo's autoPromotionSeconds).
        approve: a person's word before the switch (Argo's autoPromotionEnabled: false).
        after: an analysis after the switch, and how often it looks; what fails it switches back.

    >>> [str(step) for step in blue_green_steps(preview=1, smoke=5)]
    ['scale 1', '5 smoke tests', 'full size', 'weight 100%']
    """
    steps: list[Step] = []
    if preview is not None:
        steps.append(SetScale(preview))
    if smoke:
        steps.append(Smoke(smoke))
    if before:
        steps.append(Analyze(*before))
    if approve:
        steps.append(approve)
    elif wait_ns:
        steps.append(Pause(wait_ns))
    if preview is not None:
        steps.append(SetScale(None))
    steps.append(SetWeight(WHOLE))
    if after:
        steps.append(Analyze(*after))
    return tuple(steps)

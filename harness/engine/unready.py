"""What a platform said of replicas that never got ready, as the reason of the end that it came to."""

from dataclasses import replace
from typing import Final

from harness.domain.event import Noticed
from harness.domain.model import Role
from harness.domain.rollout import End, Outcome
from harness.domain.units import duration_text
from harness.engine.executor import Executor

NOT_READY: Final = "pod_not_ready"
"""A notice: a replica of an arm does not get ready; its text names it, and says why."""


def named(executor: Executor, end: End) -> End:
    """The end of a candidate that was given up because time was over, with what is known of the replica that lacks.

    A strategy knows counts alone, and its reason ends with the time that replicas may take.
    """
    limit = duration_text(executor.scenario.rollout.ready_within_ns)
    if end.outcome is not Outcome.ROLLED_BACK or not end.reason.endswith(f" {limit}"):
        return end
    told = (event for event in reversed(executor.log.events) if isinstance(event, Noticed) and event.kind == NOT_READY)
    last = next((event.text for event in told if Role.CANDIDATE in event.on), "")
    return replace(end, reason=f"{end.reason}: {last}") if last else end

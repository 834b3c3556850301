"""What became of a candidate is told to the registry, where it keeps lineage; it changes nothing of the run."""

from pathlib import PurePath
from typing import Final

import anyio

from harness.clock import utc_now
from harness.domain.event import Noticed
from harness.domain.lineage import Deployment
from harness.domain.model import Role
from harness.domain.rollout import End
from harness.engine.calls import answered
from harness.engine.executor import Executor
from harness.engine.settle import attempts
from harness.protocols import Case, LineageKeeper

WITHIN_S: Final = 60.0
"""All attempts together; the run waits no longer for what changes nothing of it."""


async def record(executor: Executor, case: Case, number: int, end: End) -> None:
    """Have the registry keep how a rollout has ended; what fails is told by a note.

    Args:
        executor: of the run.
        case: with the candidate's version; without one there is nothing to tell.
        number: of the rollout in this run.
        end: what it ended as.
    """
    registry, candidate = executor.parts.registry, case.revisions.get(Role.CANDIDATE)
    if candidate is None or not isinstance(registry, LineageKeeper):
        return
    executor.mine()
    deployment = _deployment(executor, case, number, end)

    async def keep() -> None:
        await answered("the registry", registry.record_deployment(candidate, deployment))

    said = f"the registry did not answer within {WITHIN_S:g} s"
    with anyio.move_on_after(WITHIN_S):
        said = await attempts(keep)
    if said:
        executor.tell(Noticed, "left_undone", (), f"the lineage of {candidate} was left untold: {said}")


def _deployment(executor: Executor, case: Case, number: int, end: End) -> Deployment:
    scenario, stable = executor.scenario, case.revisions.get(Role.STABLE)
    return Deployment(
        run=executor.parts.run_id,
        number=number,
        outcome=end.outcome.value,
        scenario=scenario.name,
        reason=end.reason,
        strategy=scenario.rollout.strategy,
        at=utc_now().isoformat(timespec="seconds"),
        stable=str(stable) if stable else "",
        stable_digest=stable.digest if stable else "",
        data=PurePath(scenario.model.data.source).name if scenario.model.data else "",
    )

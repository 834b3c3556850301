"""A generator that was held up makes figures worse, never better: what passes in spite of it has passed."""

from dataclasses import replace

import pytest

from fakes.staging import SimulatedStaging
from harness.domain.event import RunEnded
from harness.domain.fault import LatencyAdd
from harness.domain.rollout import Outcome
from harness.protocols import LoadResult
from tests.build import fault, rehearse
from tests.staging.build import PLAN, staged, staged_parts


class HeldUp(SimulatedStaging):
    async def load(self, rate_per_s: float, duration_ns: int) -> LoadResult:
        return replace(await super().load(rate_per_s, duration_ns), spoiled="its machine was 99% busy")


@pytest.mark.parametrize(("late_s", "outcome"), [(0.0, Outcome.PROMOTED), (3.0, Outcome.ERROR)])
def test_only_a_grade_that_was_missed_is_put_down_to_it(late_s: float, outcome: Outcome) -> None:
    of = staged(replace(PLAN, faults=(fault(LatencyAdd(late_s)),) if late_s else ()))
    assert of.staging
    found, events = rehearse(of, staged_parts(of, HeldUp(of, of.staging)))
    assert found is outcome
    blamed = "cannot be trusted: its machine was 99% busy" in events.last(RunEnded).reason
    assert blamed == (outcome is Outcome.ERROR)

"""The simulated staging environment keeps what any must, and the check notices one that does not."""

from typing import Any

import pytest

from fakes.staging import SimulatedStaging
from harness.clock import run_virtual
from harness.contracts import check_staging
from harness.domain.model import Revision, Role
from harness.protocols import LoadResult, Population, StagingPlatform
from harness.stats.histogram import Histogram
from tests.staging.build import PLAN, Saying, Trained, body_with, staged


def check(platform: StagingPlatform) -> None:
    stage = Trained()
    population = Population(stage.rows.rows, stage.rows.target)
    run_virtual(check_staging, lambda: platform, stage.model(Role.CANDIDATE), Revision("m", 3, "d"), population)


def test_the_simulated_environment_keeps_every_promise() -> None:
    platform = SimulatedStaging(staged(), PLAN)
    check(platform)
    assert platform.running == 0
    assert isinstance(platform, StagingPlatform)


class Leaving(SimulatedStaging):
    async def stop(self) -> None:
        """Leave it as it is."""


class Idle(SimulatedStaging):
    async def load(self, rate_per_s: float, duration_ns: int) -> LoadResult:
        return LoadResult(0, 0, {}, Histogram())


class Never(SimulatedStaging):
    def up(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("made", "promise"),
    [
        (Leaving, "what was stopped answers nothing"),
        (Idle, "ten requests a second for 2 seconds are 20, not 0"),
        (Never, "an endpoint becomes ready in time"),
    ],
)
def test_an_environment_that_breaks_a_promise_is_noticed(made: Any, promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check(made(staged(), PLAN))


def test_an_endpoint_that_breaks_its_contract_is_noticed() -> None:
    with pytest.raises(AssertionError, match="the form of answers: 0 of 3"):
        check(Saying(staged(), body_with(model="another")))

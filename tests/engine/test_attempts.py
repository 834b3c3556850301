"""Stages of a run that are tried again, and those that take too long: whole runs, from their events."""

import anyio
import pytest

from harness.domain.attempts import Attempts, StageRetried
from harness.domain.event import RunEnded, StageFinished, StageStarted
from harness.domain.rollout import Outcome
from harness.domain.units import MINUTE, SECOND
from harness.errors import BackendError, Rejected
from tests.build import Models, parts, rehearse, scenario


class Flaky:
    """A stage that fails so many times, each after a minute."""

    def __init__(self, times, error=BackendError, name="audit"):
        self.name, self.left, self.error = name, times, error

    async def run(self, case, tell):
        await anyio.sleep(60)
        self.left -= 1
        if self.left >= 0:
            raise self.error("the tracker is away")
        return case


def run(stage, **attempts):
    of = scenario(attempts={stage.name: Attempts(**attempts)} if attempts else {})
    return rehearse(of, parts(of, stages=[Models(), stage]))


def test_what_a_backend_failed_is_tried_again_after_a_pause():
    outcome, events = run(Flaky(2), retries=2, backoff_ns=20 * SECOND)
    assert outcome is Outcome.PROMOTED
    first, second = events.of(StageRetried)
    assert (first.stage, first.attempt, first.of, first.reason) == ("audit", 1, 3, "the tracker is away")
    assert 10 * SECOND <= first.waits_ns <= 20 * SECOND <= second.waits_ns <= 40 * SECOND
    assert first.at_ns == MINUTE
    assert second.at_ns == 2 * MINUTE + first.waits_ns
    finished = next(event for event in events.of(StageFinished) if event.stage == "audit")
    assert finished.at_ns == 3 * MINUTE + first.waits_ns + second.waits_ns
    assert sum(event.stage == "audit" for event in events.of(StageStarted)) == 1


@pytest.mark.parametrize(
    ("stage", "attempts", "retried", "outcome", "reason"),
    [
        (Flaky(3), {"retries": 2}, 2, Outcome.ERROR, "the tracker is away"),
        (Flaky(1), {}, 0, Outcome.ERROR, "the tracker is away"),
        (Flaky(1, Rejected), {"retries": 2}, 0, Outcome.REJECTED, "the tracker is away"),
        (
            Flaky(0),
            {"retries": 2, "timeout_ns": 30 * SECOND},
            0,
            Outcome.ERROR,
            "stage audit was given up after 30s, its time limit",
        ),
    ],
)
def test_a_run_ends_where_a_stage_has_failed_for_good(stage, attempts, retried, outcome, reason):
    found, events = run(stage, **attempts)
    assert found is outcome
    assert len(events.of(StageRetried)) == retried
    assert events.last(RunEnded).reason == reason
    assert events.last(StageFinished).stage == "audit"


def test_a_stage_within_its_limit_is_left_as_it_was():
    outcome, events = run(Flaky(0), timeout_ns=61 * SECOND, retries=1)
    assert (outcome, events.of(StageRetried)) == (Outcome.PROMOTED, [])

"""A candidate that fails in real staging meets no user; one that stands it is in `test_real_rollouts`."""

from pathlib import Path

from harness import log
from harness.domain.event import Checked, LoadTested, RolloutStarted, StagingEnded, TrafficStarted
from tests.e2e.test_real_rollouts import ONE_REPLICA, run

STAGED = (*ONE_REPLICA, "inject=[]", "rollout.analysis.every=500ms", "rollout.analysis.window=1s")
SLOW = "{golden_rows: 3, duration: 1s, inject: [{on: candidate, latency: +3s}]}"


def test_a_candidate_that_is_too_slow_in_real_staging_meets_no_user(tmp_path: Path) -> None:
    changes = (f"staging={SLOW}", "service.timeout=10s", "expect=[outcome == rejected]")
    found, left = run("local_canary", (*STAGED, *changes), tmp_path)
    events = log.read(Path(found["event_log"]))
    # Where the machine had no time for the generator, nothing is known of the candidate, and it goes no further either.
    assert found["outcome"] == "rejected" or "cannot be trusted" in found["reason"], found["reason"]
    tested = events.last(LoadTested)
    assert (tested.figures["p95"] or 0) > 2.9, "every answer was 3 s late"
    assert {check.name for check in events.of(Checked) if not check.passed} >= {"mean", "p95", "p99"}
    assert events.last(StagingEnded).gone
    assert not list(events.of(TrafficStarted))
    assert not list(events.of(RolloutStarted))
    assert not left

"""An A/B test judged: what is added up is what was seen, the plan is the textbook's, and each finding has its cause."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.ab import Trial
from harness.domain.analysis import Experiment
from harness.domain.model import Role
from harness.domain.rollout import Finding
from harness.domain.units import SECOND
from harness.protocols import ArmSample
from harness.stats.histogram import Histogram
from harness.stats.power import proportions_sizes

SUCCESS = Experiment("success_rate", 0.02)


def arm(ok: int = 0, failed: int = 0, users: int | None = None, latencies_ns: Any = (), **quality: Any) -> ArmSample:
    return ArmSample(
        requests=ok + failed,
        failed=failed,
        errors={"error": failed},
        latency=Histogram.of(latencies_ns),
        arrivals=ok + failed,
        labelled=quality.pop("labelled", 0),
        quality=quality,
        span_ns=SECOND,
        gauges={},
        users=users,
    )


def both(stable: ArmSample, candidate: ArmSample) -> Mapping[Role, ArmSample]:
    return {Role.STABLE: stable, Role.CANDIDATE: candidate}


def trial(experiment: Experiment = SUCCESS, before: ArmSample | None = None, **given: Any) -> Trial:
    return Trial(experiment, **{"share": 0.5, "before": before or arm(), "rate_per_s": 10.0, **given})


def test_the_plan_is_that_of_the_textbook() -> None:
    plan = trial(before=arm(ok=900, failed=100)).plan()
    sizes = proportions_sizes(0.9, 0.92, 0.05, 0.8)
    assert (plan.baseline, plan.needed) == (0.9, sizes.total)
    assert plan.needed_ns == round(sizes.total / 10.0 * SECOND)


def test_before_any_label_the_held_out_rows_stand_in() -> None:
    quality = Experiment("accuracy", 0.02)
    assert trial(quality).plan().needed is None
    plan = trial(quality, held=0.9).plan()
    assert (plan.baseline, plan.needed) == (0.9, proportions_sizes(0.9, 0.92, 0.05, 0.8).total)
    known = trial(quality, before=arm(accuracy=0.8, labelled=500), held=0.9).plan()
    assert known.baseline == 0.8


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=8))
def test_windows_add_up(windows: list[tuple[int, int]]) -> None:
    judged = trial()
    for ok, failed in windows:
        look = judged.look(both(arm(ok, failed), arm(ok, failed)), 1000)
    assert look.stable.n == look.candidate.n == sum(ok + failed for ok, failed in windows)
    assert look.stable.successes == sum(ok for ok, _ in windows)
    assert look.finding is not Finding.BETTER


def test_latencies_have_the_mean_and_the_spread_of_what_was_seen() -> None:
    draws = np.random.default_rng(1).lognormal(17, 0.5, 5000).astype(np.int64)
    judged = trial(Experiment("mean", 0.005))
    look = judged.look(both(arm(5000, latencies_ns=draws), arm(5000, latencies_ns=draws // 2)), 10_000)
    assert look.stable.mean == pytest.approx(draws.mean() / SECOND, rel=1e-6)
    assert look.stable.variance == pytest.approx(draws.var(ddof=1) / SECOND**2, rel=0.02)
    assert look.finding is Finding.BETTER, "half the latency is better, for less is"


@pytest.mark.parametrize(
    ("stable", "candidate", "finding", "told"),
    [
        (arm(9000, 1000), arm(9500, 500), Finding.BETTER, "the candidate is better"),
        (arm(9500, 500), arm(9000, 1000), Finding.WORSE, "not better by +2 points"),
        (arm(90_000, 10_000), arm(90_050, 9_950), Finding.WORSE, "not better by +2 points"),
        (arm(900, 100), arm(905, 95), Finding.UNDECIDED, "differs by +0.5 points"),
        (arm(10_000, 0), arm(10_000, 0), Finding.UNDECIDED, "too little to say anything"),
        (arm(9000, 1000, users=5200), arm(9500, 500, users=4200), Finding.MISMATCH, "sample ratio mismatch"),
    ],
)
def test_each_finding_has_its_cause(stable: ArmSample, candidate: ArmSample, finding: Finding, told: str) -> None:
    look = trial().look(both(stable, candidate), 20_000)
    assert look.finding is finding
    assert told in look.reason

"""One look judged, and looks counted, against the table of Argo Rollouts (spec 1.3, 1.4) and worked examples."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.conditions import parse
from harness.analysis.limits import Tallies
from harness.analysis.measure import Baselines, judge, judge_gate
from harness.domain.analysis import AnalysisPolicy, Measurement, NoData, Verdict
from harness.domain.model import Role
from harness.domain.units import MILLISECOND, MINUTE
from harness.protocols import ArmSample
from harness.stats.histogram import Histogram


def arm(
    requests: int = 1000, failed: int = 0, latency_ms: float = 50, labelled: int = 0, arrivals: int | None = None,
    quality: Mapping[str, float] | None = None, gauges: Mapping[str, float] | None = None,
) -> ArmSample:  # fmt: skip
    return ArmSample(
        requests=requests, failed=failed, errors={"error": failed} if failed else {},
        latency=Histogram.of(np.full(requests, latency_ms * MILLISECOND, np.int64)),
        arrivals=requests if arrivals is None else arrivals, labelled=labelled, quality=quality or {},
        span_ns=MINUTE, gauges=gauges or {},
    )  # fmt: skip


def policy(*rules: str, min_requests: int = 100, **settings: object) -> AnalysisPolicy:
    return AnalysisPolicy(tuple(map(parse, rules)), min_requests=min_requests, **settings)  # type: ignore[arg-type]


def look(rule: str, stable: ArmSample, candidate: ArmSample, baselines: Baselines | None = None) -> Measurement:
    sample = {Role.STABLE: stable, Role.CANDIDATE: candidate}
    return judge(parse(rule), sample, policy(rule), baselines or Baselines())


@pytest.mark.parametrize(
    ("rule", "stable", "candidate", "verdict"),
    [
        # The seed's three thresholds, at their edges: adding a share adds percentage points.
        ("error_rate <= stable + 2%", arm(failed=10), arm(failed=30), Verdict.PASS),
        ("error_rate <= stable + 2%", arm(failed=10), arm(failed=31), Verdict.FAIL),
        ("p95 <= stable * 1.5", arm(latency_ms=50), arm(latency_ms=70), Verdict.PASS),
        ("p95 <= stable * 1.5", arm(latency_ms=50), arm(latency_ms=80), Verdict.FAIL),
        (
            "accuracy >= stable - 5%",
            arm(labelled=200, quality={"accuracy": 0.8}),
            arm(labelled=200, quality={"accuracy": 0.75}),
            Verdict.PASS,
        ),
        (
            "accuracy >= stable - 5%",
            arm(labelled=200, quality={"accuracy": 0.8}),
            arm(labelled=200, quality={"accuracy": 0.74}),
            Verdict.FAIL,
        ),
        # Too little to judge by, in either arm, is never a pass and never a failure.
        ("error_rate <= stable + 2%", arm(), arm(requests=99, failed=99), Verdict.INCONCLUSIVE),
        ("error_rate <= stable + 2%", arm(requests=99), arm(), Verdict.INCONCLUSIVE),
        ("error_rate <= 2%", arm(requests=0), arm(), Verdict.PASS),
        ("accuracy >= 70%", arm(), arm(labelled=99, quality={"accuracy": 0.1}), Verdict.INCONCLUSIVE),
        # A gauge rests on no number of answers.
        ("replicas_ready >= 2", arm(), arm(requests=0, gauges={"replicas_ready": 1.0}), Verdict.FAIL),
        ("p95 <= 60ms and error_rate <= 1%", arm(), arm(failed=20), Verdict.FAIL),
        ("p95 <= 10ms or error_rate <= 1%", arm(), arm(), Verdict.PASS),
        ("not p95 > 60ms", arm(), arm(), Verdict.PASS),
    ],
)
def test_a_look_is_judged(rule: str, stable: ArmSample, candidate: ArmSample, verdict: Verdict) -> None:
    found = look(rule, stable, candidate)
    assert found.verdict is verdict, found.reason


def test_what_it_rests_on_is_told() -> None:
    found = look("p95 <= stable * 1.5", arm(latency_ms=50), arm(latency_ms=80, requests=500))
    assert found.candidate == pytest.approx(0.08, rel=0.01)
    assert found.stable == pytest.approx(0.05, rel=0.01)
    assert found.bound == pytest.approx(0.075, rel=0.01)
    assert found.requests == {"stable": 1000, "candidate": 500}
    assert look("error_rate <= 1%", arm(), arm(requests=12)).reason == "too few answers: candidate 12 of 100"


def test_without_traffic_on_stable_its_last_figures_stand_in() -> None:
    rule, baselines = "error_rate <= stable + 2%", Baselines()
    baselines.keep({Role.STABLE: arm(failed=10), Role.CANDIDATE: arm()}, policy(rule).min_requests, 7 * MINUTE)
    found = look(rule, arm(requests=0), arm(failed=40), baselines)
    assert (found.verdict, found.stable) == (Verdict.FAIL, 0.01)
    assert "of 7m" in found.reason
    # A stable that has traffic, but too little, is not replaced.
    assert look(rule, arm(requests=5), arm(failed=40), baselines).verdict is Verdict.INCONCLUSIVE


def test_a_gate_on_a_figure_that_was_not_measured_fails() -> None:
    found = judge_gate(parse("f1 >= 0.55"), {Role.CANDIDATE: {}, Role.STABLE: {}})
    assert not found.passed
    assert "not measured" in found.reason
    assert judge_gate(parse("f1 >= 0.55"), {Role.CANDIDATE: {"f1": 0.61}}).bound == ">= 0.55"


def measurement(verdict: Verdict, rule: str = "error_rate <= 1%") -> Measurement:
    return Measurement(rule, "error_rate", verdict, "so it was", None, None, None, {})


def story(verdicts: list[Verdict], **settings: object) -> list[Verdict]:
    """The phase after each look of a single rule."""
    tallies = Tallies(policy("error_rate <= 1%", **settings))
    phases = []
    for number, verdict in enumerate(verdicts):
        found = measurement(verdict)
        tallies.count(found, number)
        phases.append(tallies.phase([found], [number]).verdict)
    return phases


P, F, I, E = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.ERROR  # noqa: E741


@pytest.mark.parametrize(
    ("verdicts", "settings", "last"),
    [
        # failureLimit 0: the first failure fails; failureLimit 2: the third, and passes in between take none back.
        ([P, F], {"failure_limit": 0}, F),
        ([F, F], {"failure_limit": 2}, P),
        ([F, P, F, P, F], {"failure_limit": 2}, F),
        # consecutiveErrorLimit 4: the fifth in a row; anything else in between starts the count anew.
        ([E, E, E, E], {}, P),
        ([E, E, E, E, E], {}, E),
        ([E, E, E, E, P, E], {}, P),
        ([E, E, E, E, I, E], {}, P),
        ([I] * 20, {"no_data": NoData.HOLD}, P),
        ([I] * 20, {"no_data": NoData.IGNORE}, P),
        ([I, I], {"no_data": NoData.FAIL, "failure_limit": 1}, F),
    ],
)
def test_looks_are_counted_as_argo_counts(verdicts: list[Verdict], settings: dict[str, object], last: Verdict) -> None:
    assert story(verdicts, **settings)[-1] is last


@given(st.lists(st.sampled_from(Verdict), min_size=1, max_size=40), st.integers(0, 5))
def test_a_rollout_fails_at_the_first_look_on_which_failures_exceed_the_limit(
    verdicts: list[Verdict], limit: int
) -> None:
    phases = story(verdicts, failure_limit=limit, error_limit=1000)
    failures = 0
    for verdict, phase in zip(verdicts, phases, strict=True):
        failures += verdict is F
        assert (phase is F) == (failures > limit)


def test_every_rule_must_have_passed_where_it_was_last_judged_and_the_oldest_pass_counts() -> None:
    rules = ("error_rate <= 1%", "p95 <= 1s")
    tallies = Tallies(policy(*rules, failure_limit=9))
    looks = [(1, (P, I), None), (2, (I, P), 1), (3, (P, I), 2), (4, (F, P), None), (5, (I, P), None), (6, (P, I), 5)]
    for at_ns, verdicts, passed in looks:
        found = [measurement(verdict, rule) for verdict, rule in zip(verdicts, rules, strict=True)]
        for each in found:
            tallies.count(each, at_ns)
        assert tallies.phase(found, [0, 1]).passed_ns == passed


def test_the_reason_names_the_rule_that_failed_and_on_how_many_looks() -> None:
    tallies = Tallies(policy("error_rate <= 1%", "p95 <= 1s"))
    found = [measurement(F), measurement(P, "p95 <= 1s")]
    for each in found:
        tallies.count(each, 1)
    phase = tallies.phase(found, [11, 12])
    assert (phase.verdict, phase.because) == (F, (11,))
    assert phase.reason == "so it was, on 1 of 1 looks"

"""The load test as a stage, told from the events of whole runs: what it asks, leaves out and refuses."""

from dataclasses import replace
from typing import Any

import anyio
import numpy as np
import pytest

from fakes.staging import SimulatedStaging
from harness import arrivals, engine
from harness.analysis.grammar import parse
from harness.analysis.vocabulary import Scope, Standing
from harness.clock import run_virtual
from harness.domain.event import Checked, LoadTested, RunEnded, StagingAsked, StagingEnded, TrafficStarted
from harness.domain.fault import LatencyFactor
from harness.domain.lifecycle import LoadStagePlan, StagingPlan
from harness.domain.load import Counts, LoadPlan, OpenLoop, Payload, Target
from harness.domain.model import ARMS
from harness.domain.rollout import Outcome
from harness.domain.scenario import Scenario
from harness.domain.service import Fixed, Service
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import MILLISECOND, SECOND
from harness.errors import ServingError
from harness.load.record import Durations, Record, Tally
from harness.log import EventLog, Events, digest
from harness.protocols import LoadResult
from harness.report import fold, html, json, markdown
from harness.seeds import stream
from harness.staging.load import Finished, LoadStage, SimulatedTest
from tests.build import fault, parts, rehearse, scenario
from tests.staging.build import Trained

ONE = Service(replicas=1, slots=1, service_time=Fixed(0.01), timeout_ns=SECOND, queue=1000)
"""One server that takes 10 ms for each request: its queue has a closed form."""


def open_loop(
    rate: float, process: Process = Process.CONSTANT, word: str = "constant", variation: float = 1.0
) -> OpenLoop:
    return OpenLoop(Traffic(word, process, Knots((0,), (rate,)), users=0, variation=variation), word, rate)


def plan_of(pace: OpenLoop, *slos: str, **changes: Any) -> LoadStagePlan:
    rules = tuple(parse(text, Scope(Standing.LOAD)) for text in slos)
    return LoadStagePlan(**{"pace": pace, "duration_ns": 20 * SECOND, "slos": rules, **changes})


def loaded(plan: LoadStagePlan, service: Service = ONE, **changes: Any) -> Scenario:
    return scenario(load=plan, service=dict.fromkeys(ARMS, service), **changes)


def loaded_parts(of: Scenario, platform: Any = None) -> Any:
    assert of.load
    replicas = of.load.replicas or 1
    where = platform or SimulatedStaging(of, StagingPlan(replicas=replicas))
    tester = SimulatedTest(where, of.load, replicas, of.seed)
    return parts(of, stages=[Trained()], staging=[LoadStage(of.load, tester)])


def run(plan: LoadStagePlan, service: Service = ONE, **changes: Any) -> tuple[Outcome, Events]:
    of = loaded(plan, service, **changes)
    return rehearse(of, loaded_parts(of))


def test_a_candidate_that_keeps_its_objectives_goes_on() -> None:
    outcome, events = run(plan_of(open_loop(50.0), "p99 < 12ms", "error_rate < 0.1%", min_grade="A+"))
    assert outcome is Outcome.PROMOTED
    met = events.only(LoadTested)
    assert (met.stage, met.sent, met.failed, met.grade) == ("load", 1000, 0, "A+")
    assert met.figures["p99"] == pytest.approx(0.01, rel=0.008)
    assert [(slo.text, slo.passed) for slo in met.slos] == [("p99 < 12ms", True), ("error_rate < 0.1%", True)]
    assert all(check.passed for check in events.of(Checked))
    assert [check.name for check in events.of(Checked)] == ["p99", "error_rate", "success_rate", "mean", "p95", "p99"]
    kinds = [type(event) for event in events if isinstance(event, StagingAsked | StagingEnded | TrafficStarted)]
    assert kinds == [StagingAsked, StagingEnded, TrafficStarted]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_only_the_rate_asked_for_makes_it_miss_its_objective(seed: int) -> None:
    """One server of 10 ms: at 50/s nobody waits; at 95/s of a Poisson process many wait for tens of milliseconds."""
    slow, fast = (
        run(plan_of(open_loop(rate, Process.POISSON, "poisson"), "p99 < 50ms"), seed=seed) for rate in (30.0, 95.0)
    )
    assert slow[0] is Outcome.PROMOTED
    assert fast[0] is Outcome.REJECTED
    reason = fast[1].only(RunEnded).reason
    assert reason.startswith("in the load test: p99 is ")
    assert reason.endswith("and p99 < 50ms was promised")
    assert not fast[1].of(TrafficStarted)
    assert fast[1].only(StagingEnded).gone


def test_a_grade_below_the_least_rejects_and_is_the_grade_of_the_run() -> None:
    expect = (parse("grade == B", Scope(Standing.EXPECT, staged=True)),)
    service = replace(ONE, service_time=Fixed(0.3), slots=8)
    outcome, events = run(plan_of(open_loop(5.0), min_grade="A"), service, expect=expect)
    assert outcome is Outcome.REJECTED
    assert events.only(RunEnded).reason == "in the load test: grade B, and at least A is wanted"
    (only,) = fold(list(events)).expectations
    assert (only.passed, only.actual) == (True, "B")
    assert [check.name for check in events.of(Checked) if not check.passed] == ["mean"]


def sojourns_ns(times: np.ndarray, served_ns: int) -> np.ndarray:
    """Lindley's recursion of one server that takes the same time for everyone."""
    free, found = 0, []
    for at in times.tolist():
        free = max(free, at) + served_ns
        found.append(free - at)
    return np.array(found)


@pytest.mark.parametrize(
    ("process", "word", "variation"),
    [(Process.CONSTANT, "constant", 1.0), (Process.POISSON, "poisson", 1.0), (Process.GAMMA, "gamma:2", 2.0)],
)
def test_latencies_are_lindley_s_over_the_very_arrivals_from_the_due_time_and_without_the_warm_up(
    process: Process, word: str, variation: float
) -> None:
    pace = open_loop(80.0, process, word, variation)
    service = replace(ONE, timeout_ns=60 * SECOND, queue=10**6)
    of = loaded(plan_of(pace, warmup_ns=5 * SECOND), service)
    _, events = rehearse(of, loaded_parts(of))
    seed = stream(of.seed, "staging").integer()
    times = arrivals.of(pace.traffic).times(0, 25 * SECOND, stream(seed, "arrivals"))
    expected = sojourns_ns(times, 10 * MILLISECOND)[times >= 5 * SECOND]
    met = events.only(LoadTested)
    assert (met.sent, met.failed, met.warmup_ns) == (len(expected), 0, 5 * SECOND)
    assert met.figures["mean"] == pytest.approx(expected.mean() / SECOND, rel=1e-6)
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
        assert met.figures[name] == pytest.approx(np.quantile(expected, q, method="inverted_cdf") / SECOND, rel=0.01)


@pytest.mark.parametrize("warmup_s", [1, 7, 13])
def test_the_warm_up_and_the_rest_are_the_whole_request_for_request(warmup_s: int) -> None:
    """With failures of several kinds, a crash within and a queue that runs over."""
    traffic = Traffic("poisson", Process.POISSON, Knots((0, 20 * SECOND), (20.0, 200.0)), users=0)
    service = replace(ONE, slots=2, queue=20, timeout_ns=150 * MILLISECOND)
    of = loaded(plan_of(OpenLoop(traffic, "poisson", None)), service)
    faults = (fault(LatencyFactor(3.0), at_ns=6 * SECOND),)

    async def met(duration_s: int, warmup_s: int) -> LoadResult:
        platform = SimulatedStaging(of, StagingPlan(faults=faults))
        await platform.start(None, None, None, 1)  # type: ignore[arg-type]
        await anyio.sleep(60)
        return await platform.load_paced(traffic, duration_s * SECOND, warmup_s * SECOND)

    warm, rest, whole = (run_virtual(met, *each) for each in ((warmup_s, 0), (20 - warmup_s, warmup_s), (20, 0)))
    assert len(whole.errors) >= 2
    assert warm.sent + rest.sent == whole.sent
    assert warm.failed + rest.failed == whole.failed
    assert {kind: warm.errors.get(kind, 0) + rest.errors.get(kind, 0) for kind in whole.errors} == whole.errors
    assert warm.latency + rest.latency == whole.latency


def test_a_rate_that_rises_is_asked_as_it_rises() -> None:
    curve = Knots((0, 20 * SECOND), (10.0, 50.0))
    pace = OpenLoop(Traffic("constant", Process.CONSTANT, curve, users=0), "constant", None)
    _, events = run(plan_of(pace))
    assert events.only(LoadTested).sent == pytest.approx(20 * (10 + 50) / 2, abs=1)
    assert events.only(LoadTested).rate_per_s == pytest.approx(30.0)


def test_the_same_seed_gives_the_same_digest_and_another_one_another() -> None:
    digests = []
    for seed in (5, 5, 6):
        of = loaded(plan_of(open_loop(70.0, Process.POISSON, "poisson"), "p99 < 1s"), seed=seed)
        digests.append(digest(list(rehearse(of, loaded_parts(of))[1])))
    assert digests[0] == digests[1] != digests[2]


def test_what_has_no_objective_is_told_and_goes_on_unless_nothing_succeeds() -> None:
    slow = replace(ONE, service_time=Fixed(2.0))
    outcome, events = run(plan_of(open_loop(1.0)), slow)
    assert outcome is Outcome.REJECTED
    assert events.only(LoadTested).errors == {"timeout": 20}
    assert events.only(RunEnded).reason == "in the load test: no request succeeded"
    outcome, events = run(plan_of(open_loop(150.0)))
    assert outcome is not Outcome.REJECTED
    assert events.only(LoadTested).failed


def test_servers_that_never_become_ready_are_a_rejection() -> None:
    outcome, events = run(plan_of(open_loop(10.0), ready_within_ns=29 * SECOND))
    assert outcome is Outcome.REJECTED
    assert events.only(RunEnded).reason == "for the load test: staging_ready: the endpoint is not ready within 29s"
    assert events.only(StagingEnded).gone


class Broken(SimulatedStaging):
    """An environment whose load test fails, or never ends."""

    error: Exception | None = None

    async def load_paced(self, traffic: Traffic, duration_ns: int, warmup_ns: int) -> LoadResult:
        if self.error:
            raise self.error
        await anyio.sleep(3 * 3600)
        return await super().load_paced(traffic, duration_ns, warmup_ns)


@pytest.mark.parametrize(
    ("error", "told"),
    [(ServingError("no room"), "no room"), (None, "the load test did not end 300 s after it should have")],
)
def test_an_environment_that_fails_says_nothing_of_the_candidate(error: Exception | None, told: str) -> None:
    of = loaded(plan_of(open_loop(10.0)))
    platform = Broken(of, StagingPlan())
    platform.error = error
    outcome, events = rehearse(of, loaded_parts(of, platform))
    assert outcome is Outcome.ERROR
    assert told in events.only(RunEnded).reason
    assert events.only(StagingEnded).gone
    assert not platform.running


def test_a_run_that_is_cancelled_within_the_test_leaves_nothing() -> None:
    of = loaded(plan_of(open_loop(10.0)))
    platform = SimulatedStaging(of, StagingPlan())
    log = EventLog()

    async def main() -> None:
        with anyio.move_on_after(35):  # ready after 30 s, and asked for 20 s from then on
            await engine.run(of, loaded_parts(of, platform), log)

    run_virtual(main)
    events = Events(log.events)
    assert events.only(RunEnded).outcome is Outcome.ABORTED
    assert events.only(StagingEnded).gone
    assert not platform.running
    assert not events.of(LoadTested)


class Told:
    """A tester that says what was measured."""

    realtime = False

    def __init__(self, tested: Finished) -> None:
        self.tested = tested

    async def test(self, case: Any, tell: Any) -> Finished:
        del case, tell
        return self.tested


def late(of: Scenario, *, slos: bool) -> Any:
    """A test whose generator was half a second late with everything."""
    assert of.load
    latency = Durations.of(np.full(1000, 510 * MILLISECOND))
    tally = Tally(Counts(1000, 0, 1000, 1000), latency=latency, prompt=Durations.of(np.full(1000, 10 * MILLISECOND)))
    plan = LoadPlan(
        (Target("http://localhost:1/predict", ""),), of.load.pace, Payload((b"",)), 20 * SECOND,
        slos=of.load.slos if slos else (),
    )  # fmt: skip
    record = Record({(0, 0): tally}, (tally,), 20 * SECOND, 20 * SECOND)
    return parts(
        of, stages=[Trained()], staging=[LoadStage(of.load, Told(Finished(plan, record, plan.targets[0].name)))]
    )


def test_figures_that_the_generator_spoiled_judge_nobody() -> None:
    of = loaded(plan_of(open_loop(50.0), "p99 < 100ms"))
    outcome, events = rehearse(of, late(of, slos=True))
    assert outcome is Outcome.ERROR
    assert "the load test's figures cannot be trusted: the generator's own lag makes up" in events.only(RunEnded).reason
    assert events.only(LoadTested).grade is None
    outcome, events = rehearse(of, late(of, slos=False))
    assert outcome is Outcome.PROMOTED
    assert events.only(LoadTested).spoiled


def test_every_form_of_a_report_tells_it() -> None:
    _, events = run(plan_of(open_loop(95.0, Process.POISSON, "poisson"), "p99 < 50ms", min_grade="B", warmup_ns=SECOND))
    result = fold(list(events))
    (test,) = result.load_tests
    assert (test.stage, test.asked, test.duration_s, test.warmup_s) == ("load", "95/s poisson", 20.0, 1.0)
    (told,) = json.plain(result)["load_tests"]
    assert told["scheduled"] == told["sent"] == told["succeeded"] + told["failed"] + told["in_flight_at_stop"]
    assert told["slo"][0]["passed"] is False
    assert told["latency_s"]["p99"] == told["slo"][0]["actual"] > 0.05
    assert (told["grade"], told["min_grade"], told["url"]) == ("A+", "B", None)
    page, short = html.render(result), markdown.render([result])
    for form in (page, short):
        assert "Load tests" in form
        assert "95/s poisson" in form
        assert "0 of 1 met" in form
    (diary,) = [moment.text for moment in result.moments if moment.text.startswith("load test at")]
    assert diary.startswith("load test at 95/s for 20s: grade A+")
    assert diary.endswith("not met: p99 < 50ms")

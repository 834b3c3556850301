"""The stage: a load test that the candidate must stand, judged as `harness load` judges one.

Who asks is a `Tester`'s affair: the simulated one here, over an environment of the candidate's own; of a live endpoint
`harness.app.loadstage`.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import anyio

from harness.domain.event import LoadTested, StagingAsked
from harness.domain.lifecycle import LoadStagePlan
from harness.domain.load import ClosedLoop, Counts, LoadPlan, OpenLoop, Payload, Target
from harness.domain.model import Role
from harness.domain.units import SECOND
from harness.errors import Rejected, ServingError
from harness.load import summary
from harness.load.judge import figures_of, judge
from harness.load.record import Durations, Record, Tally
from harness.protocols import Case, LoadResult, PacedPlatform, Tell
from harness.staging.environment import bring_up, tear_down, tell_all
from harness.staging.graded import graded, objectives
from harness.staging.stage import GRACE_S
from harness.stats.histogram import Histogram

SHOWN: Final = ("p50", "p99", "max")
"""Of service times and of the generator's lag."""


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A load test that came to its end: what was asked for, and what was measured."""

    plan: LoadPlan
    record: Record
    url: str = ""
    """The endpoint, as reports call it; empty: simulated servers."""


class Tester(Protocol):
    """Runs the load test."""

    realtime: bool
    """Waits for the outside world, and so cannot run on virtual time."""

    async def test(self, case: Case, tell: Tell) -> Finished:
        """Run it to its end; cancelled, it leaves nothing behind.

        Raises:
            Rejected: what is to be asked never took requests.
            InputError: it cannot be asked as is wanted.
            BackendError: the test itself failed, and nothing is known of the candidate.
        """
        ...


class LoadStage:
    """A `Stage`: the candidate under load.

    Args:
        plan: what it must stand.
        tester: who asks.
    """

    name = "load"

    def __init__(self, plan: LoadStagePlan, tester: Tester) -> None:
        self.plan = plan
        self.tester = tester

    @property
    def realtime(self) -> bool:
        """A live endpoint is asked."""
        return self.tester.realtime

    async def run(self, case: Case, tell: Tell) -> Case:
        """Ask, and judge.

        Raises:
            Rejected: naming each objective, and each condition of the grade, that was missed.
            BackendError: the test failed, or its figures cannot be trusted: nothing is known of the candidate.
        """
        tested = await self.tester.test(case, tell)
        plan, record = tested.plan, tested.record
        measured = summary.measured(0, plan, record)
        judged = judge(plan, measured, record)
        figures, counts, pace = figures_of(measured), measured.counts, plan.pace
        real = bool(tested.url)
        tell(
            LoadTested,
            rate_per_s=summary.target_rate(plan),
            duration_ns=plan.duration_ns,
            sent=counts.sent,
            failed=counts.failed,
            errors=dict(counts.errors) | dict(counts.unsent),
            figures=figures,
            grade=judged.grade,
            stage=self.name,
            arrivals=pace.arrivals if isinstance(pace, OpenLoop) else "",
            users=pace.users if isinstance(pace, ClosedLoop) else None,
            think_ns=pace.think_ns if isinstance(pace, ClosedLoop) else 0,
            warmup_ns=plan.warmup_ns,
            not_sent=counts.not_sent,
            in_flight=counts.in_flight,
            achieved_rate=measured.achieved_rate,
            service={name: measured.service.figures.get(name) for name in SHOWN} if real else {},
            lag={name: measured.lag.figures.get(name) for name in SHOWN} if real else {},
            intervals=dict(measured.intervals) if real else {},
            min_grade=plan.min_grade,
            slos=judged.slos,
            spoiled=judged.spoiled,
            notes=judged.notes,
            url=tested.url,
        )
        if judged.spoiled and (plan.slos or plan.min_grade):
            raise ServingError(f"the load test's figures cannot be trusted: {judged.spoiled}")
        found = objectives(plan.slos, judged.slos, figures)
        missed = [check.detail for check in found if not check.passed]
        if plan.min_grade:
            failed = counts.failed + counts.not_sent
            rungs = graded(figures, judged.grade, plan.min_grade, counts.scheduled, failed, where="load: ")
            if not all(check.passed for check in rungs):
                missed.append(f"grade {judged.grade or 'none'}, and at least {plan.min_grade} is wanted")
            found += rungs
        tell_all(tell, found)
        if not judged.passed:  # without objectives: where nothing succeeded
            raise Rejected(f"in the load test: {'; '.join(missed) or judged.reason}")
        return case


class SimulatedTest:
    """Asks the candidate's own servers, simulated or real, in an environment apart from production.

    Args:
        platform: where the environment is.
        plan: of the stage; its pace is an open loop.
        replicas: of the candidate's servers.
        seed: of the scenario.
    """

    def __init__(self, platform: PacedPlatform, plan: LoadStagePlan, replicas: int, seed: int) -> None:
        if not isinstance(plan.pace, OpenLoop):
            raise TypeError("a closed loop is not simulated")
        self.platform, self.plan, self.pace = platform, plan, plan.pace
        self.replicas, self.seed = replicas, seed

    @property
    def realtime(self) -> bool:
        """The environment waits for the outside world."""
        return self.platform.realtime

    async def test(self, case: Case, tell: Tell) -> Finished:
        """Bring the candidate up, ask it, and take it down again."""
        revision = case.revisions[Role.CANDIDATE]
        tell(StagingAsked, revision.name, revision.version, self.replicas)
        try:
            met = await self._met(case, tell)
        finally:
            await tear_down(self.platform, tell)
        plan = LoadPlan(
            targets=(Target(str(revision), ""),),
            pace=self.pace,
            payload=Payload((b"",)),
            duration_ns=self.plan.duration_ns,
            warmup_ns=self.plan.warmup_ns,
            seed=self.seed,
            slos=self.plan.slos,
            min_grade=self.plan.min_grade,
        )
        return Finished(plan, record_of(plan, met))

    async def _met(self, case: Case, tell: Tell) -> LoadResult:
        plan, met = self.plan, None
        endpoint, ready = await bring_up(self.platform, case, self.replicas, plan.ready_within_ns)
        if endpoint is None:
            tell_all(tell, [ready])
            raise Rejected(f"for the load test: {ready.name}: {ready.detail}")
        with anyio.move_on_after((plan.warmup_ns + plan.duration_ns) / SECOND + GRACE_S):
            met = await self.platform.load_paced(self.pace.traffic, plan.duration_ns, plan.warmup_ns)
        if met is None:
            raise ServingError(f"the load test did not end {GRACE_S:g} s after it should have")
        if met.spoiled and (plan.slos or plan.min_grade):
            raise ServingError(f"the load test's figures cannot be trusted: {met.spoiled}")
        return met


def record_of(plan: LoadPlan, met: LoadResult) -> Record:
    """What a simulated load test met, as what a generator without any lag would have measured.

    Its latency counts every failure that a client waited for, as the simulator's figures everywhere do.
    """
    counts = Counts(
        scheduled=met.sent,
        sent=met.sent,
        succeeded=met.sent - met.failed,
        failed=met.failed,
        errors=dict(met.errors),
    )
    latency = _durations(met.latency)
    tally = Tally(counts, latency=latency, prompt=latency)
    number = summary.warm_intervals(plan)
    return Record({(number, 0): tally}, (tally,), reached_ns=plan.ends_ns, last_ns=plan.ends_ns)


def _durations(histogram: Histogram) -> Durations:
    """Its least and greatest, which the simulator does not keep, within the width of a bucket."""
    if not histogram.count:
        return Durations()
    return Durations(histogram, round(histogram.quantile(0.0)), round(histogram.quantile(1.0)))

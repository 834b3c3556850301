"""An A/B test under way: look by look, until it is cancelled; the machine decides what a finding leads to."""

from collections.abc import Callable

from harness.analysis.ab import Trial, share_of
from harness.analysis.measure import answers_behind
from harness.clock import now_ns
from harness.domain.analysis import Experiment
from harness.domain.event import ExperimentLooked, ExperimentPlanned
from harness.domain.model import Role
from harness.domain.rollout import ExperimentPhase
from harness.domain.units import SECOND
from harness.engine.executor import Executor
from harness.engine.looks import look_due, next_due, observed
from harness.errors import BackendError


async def experiment(
    executor: Executor,
    what: Experiment,
    every_ns: int,
    report: Callable[[ExperimentPhase], None],
    held: float | None = None,
) -> None:
    """Say what the test will take, then look again and again; a look that cannot be taken is made up for by the next.

    Args:
        executor: of the run.
        what: the test asks.
        every_ns: from look to look.
        report: told of each look.
        held: stable's figure on the held-out rows, if the metric has one.
    """
    begun = now_ns()
    trial, needed = await _planned(executor, what, every_ns, held)
    since = due_ns = begun
    while True:
        due_ns = next_due(begun, every_ns, due_ns)
        await look_due(due_ns)
        try:
            sample = await observed(executor, now_ns() - since)
        except BackendError:
            continue
        since = now_ns()
        found = trial.look(sample, needed)
        difference = found.difference
        executor.tell(
            ExperimentLooked,
            metric=what.primary,
            stable=found.stable.mean if found.stable.n else None,
            candidate=found.candidate.mean if found.candidate.n else None,
            answers={Role.STABLE: found.stable.n, Role.CANDIDATE: found.candidate.n},
            effect=difference.estimate if difference else None,
            lower=difference.lower if difference else None,
            upper=difference.upper if difference else None,
            p_value=found.p_value,
            users=dict(found.users),
            mismatch_p=found.mismatch_p,
            finding=found.finding.value,
            reason=found.reason,
        )
        report(ExperimentPhase(found.finding, found.reason, (executor.last,)))


async def _planned(executor: Executor, what: Experiment, every_ns: int, held: float | None) -> tuple[Trial, int | None]:
    """The test, by what stable showed in the last while before it began."""
    span_ns = min(every_ns, max(now_ns() - executor.live_ns, 1))
    before = (await observed(executor, span_ns))[Role.STABLE]
    answers, labels = answers_behind(before, what.primary), executor.scenario.labels
    if not answers and labels:  # they will come
        answers = round(before.requests * labels.share)
    rate = answers * SECOND / span_ns
    trial = Trial(what, share_of(executor.weights.get(Role.CANDIDATE, 0)), before, rate, held)
    plan = trial.plan()
    executor.tell(
        ExperimentPlanned,
        what.primary, what.least_effect, what.level, what.power, plan.baseline, plan.needed, plan.needed_ns,
    )  # fmt: skip
    return trial, plan.needed

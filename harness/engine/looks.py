"""Looks: measure both arms at fixed intervals, judge them by the rules, and say where the analysis stands.

A look at ``t`` is taken after everything else of that instant, and sees only what clients saw in ``[t - window, t)``.
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace

from harness.analysis.limits import Tallies
from harness.analysis.measure import judge, unmeasured
from harness.clock import Phase, instant, now_ns, sleep_until
from harness.domain.analysis import AnalysisPolicy
from harness.domain.event import ArmObserved, Measured, Observed
from harness.domain.model import Role
from harness.domain.rollout import AnalysisPhase
from harness.domain.units import MINUTE
from harness.engine.calls import answered
from harness.engine.executor import Executor
from harness.errors import BackendError
from harness.protocols import Sample

DEFAULT_EVERY_NS = MINUTE
"""How often a rollout without analysis is looked at, for its report."""


async def observe(executor: Executor) -> None:
    """Look on without judging, until cancelled: before the candidate has traffic, or where nothing is to be judged."""
    policy = executor.scenario.rollout.analysis
    every, window = (policy.every_ns, policy.window_ns) if policy else (DEFAULT_EVERY_NS, DEFAULT_EVERY_NS)
    due_ns = begun = now_ns()
    while True:
        due_ns = next_due(begun, every, due_ns)
        await look_due(due_ns)
        try:
            sample = await observed(executor, window)
            executor.baselines.keep(sample, policy.min_requests if policy else 1, now_ns() - executor.live_ns)
        except BackendError:
            # Nobody judges here: a figure that is missing from the picture is no reason to stop users' traffic.
            continue


async def analyse(
    executor: Executor,
    policy: AnalysisPolicy,
    report: Callable[[AnalysisPhase], None],
    step: int | None = None,
    looks: int | None = None,
) -> None:
    """Look and judge, until cancelled or done; each look ends with a report of where the analysis stands.

    Args:
        executor: of the run.
        policy: what is judged, and how.
        report: told of each look.
        step: of a step's own analysis, the step's index.
        looks: after so many it is done; None: never.
    """
    begun = now_ns()
    tallies, baselines = Tallies(policy), executor.baselines
    with contextlib.suppress(BackendError):  # where stable is about to lose all its traffic, this is the last of it
        baselines.keep(await observed(executor, policy.window_ns), policy.min_requests, begun - executor.live_ns)
    look, at_ns = 0, begun
    while looks is None or look < looks:
        look += 1
        at_ns = next_due(begun, policy.every_ns, at_ns)
        await look_due(at_ns)
        try:
            sample = await observed(executor, policy.window_ns)
            found = [judge(rule, sample, policy, baselines) for rule in policy.rules]
            baselines.keep(sample, policy.min_requests, at_ns - executor.live_ns)
        except BackendError as error:
            found = [unmeasured(rule, str(error)) for rule in policy.rules]
        judged = []
        for measurement in found:
            failures = tallies.count(measurement, at_ns - executor.origin_ns)
            executor.tell(
                Measured,
                measurement.rule,
                measurement.metric,
                measurement.verdict,
                measurement.reason,
                measurement.candidate,
                measurement.stable,
                measurement.bound,
                {Role(role): count for role, count in measurement.requests.items()},
                failures,
                step,
            )
            judged.append(executor.last)
        report(replace(tallies.phase(found, judged), inline=step is not None, done=look == looks))


def next_due(begun_ns: int, every_ns: int, last_ns: int) -> int:
    """When the look after the last one is due; those whose time went by while one was waited for are not made up for.

    Else one bad window, seen again and again at the same instant, would count as many.
    """
    late = -(-(now_ns() - begun_ns) // every_ns) * every_ns
    return max(last_ns + every_ns, begun_ns + late)


async def look_due(at_ns: int) -> None:
    """Wait for a look's time, and for everything else of that instant."""
    await sleep_until(at_ns)
    await instant(Phase.MEASURE)


async def observed(executor: Executor, window_ns: int) -> Sample:
    """Measure all arms over a window that ends now, and log it."""
    stop = now_ns()
    since = max(executor.live_ns, stop - window_ns)
    sample = await answered("the look at the metrics", executor.parts.metrics.sample(since, stop))
    arms = {
        role: ArmObserved(
            weight=executor.weights.get(role, 0),
            requests=arm.requests,
            failed=arm.failed,
            labelled=arm.labelled,
            figures=arm.figures(),
        )
        for role, arm in sample.items()
    }
    executor.tell(Observed, window_ns, arms)
    return sample

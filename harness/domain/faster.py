"""A real rollout in less time: what its policy waits for is shortened, and what the servers take is left as it is.

Pauses, looks and their windows, limits of approvals, and everything that the scenario says happens at a time, are
divided by one factor. Rates, latencies, time-outs, how long replicas, staging and training may take, and the horizon
stay: they are the machine's time, not the policy's. `min_requests` stays too, so that no verdict rests on less than was
asked for; `thin` tells where a shorter window can hardly hold so many.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from harness.domain.analysis import AnalysisPolicy
from harness.domain.event import Event
from harness.domain.fault import Fault
from harness.domain.lifecycle import Aftercare
from harness.domain.model import ModelPlan
from harness.domain.rollout import Analyze, Approve, Decide, Pause, RolloutPolicy, SetWeight, Step
from harness.domain.scenario import Scenario
from harness.domain.traffic import Knots, Traffic, Wave
from harness.domain.units import MILLISECOND, SECOND, WHOLE, duration_text, share_text

LEAST_NS: Final = 100 * MILLISECOND
"""Nothing that lasted longer becomes shorter than this: looks take a while to be taken, on real time."""


@dataclass(frozen=True, slots=True)
class TimeScaled(Event):
    """What the policy waits for was shortened; the scenario's file says how long it is otherwise."""

    factor: float


def faster(scenario: Scenario, factor: float) -> Scenario:
    """The scenario with everything that its policy waits for shortened.

    Args:
        scenario: as it was read.
        factor: how many times as fast; 1 leaves it as it is.
    """
    if factor == 1:
        return scenario
    short = _Shorter(factor)
    labels, care = scenario.labels, scenario.aftercare
    return replace(
        scenario,
        model=short.model(scenario.model),
        traffic=short.traffic(scenario.traffic),
        labels=replace(labels, delay_ns=short(labels.delay_ns)) if labels else None,
        rollout=short.rollout(scenario.rollout),
        faults=short.faults(scenario.faults),
        orders=tuple(replace(order, at_ns=short.at(order.at_ns)) for order in scenario.orders),
        successors=tuple(
            replace(newer, at_ns=short.at(newer.at_ns), faults=short.faults(newer.faults))
            for newer in scenario.successors
        ),
        aftercare=short.aftercare(care) if care else None,
        time_scale=scenario.time_scale * factor,
    )


def thin(scenario: Scenario) -> Iterator[str]:
    """Analyses whose window can hardly hold the requests that they ask for, in words; of a scenario that was shortened.

    Reckoned with the highest rate of the traffic and the candidate's lowest weight; of a recording nothing is known.
    """
    rate = _highest_per_s(scenario.traffic)
    weights = [step.weight for step in scenario.rollout.steps if isinstance(step, SetWeight) and step.weight]
    weight = min(weights, default=0)
    background = [("rollout.analysis", scenario.rollout.analysis, weight)]
    steps = [
        (f"rollout.steps[{number}].analyze", step.policy, _weight_at(scenario.rollout.steps, number))
        for number, step in enumerate(scenario.rollout.steps)
        if isinstance(step, Analyze)
    ]
    care = scenario.aftercare.monitors if scenario.aftercare else ()
    monitors = [(f"monitoring.{each.name}", each.policy, WHOLE) for each in care]
    for name, policy, share in chain(background, steps, monitors):
        if policy is None or rate is None or not share:
            continue
        holds = rate * policy.window_ns / SECOND * share / WHOLE
        if holds < policy.min_requests:
            yield (
                f"{name}: a window of {duration_text(policy.window_ns)} holds about {holds:.3g} requests of the "
                f"candidate ({rate:g}/s, {share_text(share)}), and min_requests is {policy.min_requests}: looks will "
                "be inconclusive; use a lower --time-scale, more traffic, or --set a longer window"
            )


@dataclass(frozen=True, slots=True)
class _Shorter:
    """Divides durations by a factor."""

    factor: float

    def __call__(self, duration_ns: int) -> int:
        """A duration, no shorter than looks can be; what was shorter is left."""
        return max(self.at(duration_ns), min(duration_ns, LEAST_NS))

    def at(self, at_ns: int) -> int:
        """A point in time; they keep their order, and their ratio."""
        return round(at_ns / self.factor)

    def maybe(self, duration_ns: int | None) -> int | None:
        return None if duration_ns is None else self(duration_ns)

    def analysis(self, policy: AnalysisPolicy) -> AnalysisPolicy:
        return replace(policy, every_ns=self(policy.every_ns), window_ns=self(policy.window_ns))

    def step(self, step: Step) -> Step:
        match step:
            case Pause(duration_ns):
                return Pause(self.maybe(duration_ns))
            case Analyze(policy):
                return replace(step, policy=self.analysis(policy))
            case Approve(within_ns):
                return replace(step, within_ns=self.maybe(within_ns))
            case Decide(_, every_ns, at_most_ns):
                return replace(step, every_ns=self(every_ns), at_most_ns=self(at_most_ns))
        return step

    def rollout(self, policy: RolloutPolicy) -> RolloutPolicy:
        return replace(
            policy,
            steps=tuple(self.step(step) for step in policy.steps),
            analysis=self.analysis(policy.analysis) if policy.analysis else None,
            batch_pause_ns=self(policy.batch_pause_ns),
            stepwise_ns=self.maybe(policy.stepwise_ns),
            retire_after_ns=self(policy.retire_after_ns),
        )

    def faults(self, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
        return tuple(
            replace(
                fault,
                at_ns=self.at(fault.at_ns),
                ramp_ns=self.at(fault.ramp_ns),
                until_ns=None if fault.until_ns is None else self.at(fault.until_ns),
            )
            for fault in faults
        )

    def aftercare(self, care: Aftercare) -> Aftercare:
        retrain = care.retrain
        return replace(
            care,
            monitors=tuple(replace(each, policy=self.analysis(each.policy)) for each in care.monitors),
            for_ns=self(care.for_ns),
            cool_down_ns=self(care.cool_down_ns),
            keep_previous_ns=self.maybe(care.keep_previous_ns),
            retrain=replace(retrain, apart_ns=self(retrain.apart_ns)) if retrain else None,
        )

    def model(self, plan: ModelPlan) -> ModelPlan:
        """Users walk through the rows of the data as much faster as everything that happens meanwhile."""
        if plan.data is None or plan.data.walk_ns is None:
            return plan
        return replace(plan, data=replace(plan.data, walk_ns=self(plan.data.walk_ns)))

    def traffic(self, traffic: Traffic) -> Traffic:
        """Rates stay; when they change comes sooner. A recording is replayed as it is."""
        curve = traffic.curve
        if isinstance(curve, Knots):
            at_ns = tuple(self.at(each) for each in curve.at_ns)
            curve = replace(curve, at_ns=at_ns, repeat_ns=self.maybe(curve.repeat_ns))
        elif isinstance(curve, Wave):
            curve = replace(curve, period_ns=self(curve.period_ns), phase_ns=self.at(curve.phase_ns))
        schedule = tuple(replace(each, at_ns=self.at(each.at_ns)) for each in traffic.schedule)
        return replace(traffic, curve=curve, schedule=schedule)


def _highest_per_s(traffic: Traffic) -> float | None:
    match traffic.curve:
        case Knots(_, rates):
            return max(rates)
        case Wave(_, high_per_s):
            return high_per_s
    return None


def _weight_at(steps: tuple[Step, ...], number: int) -> int:
    return next((step.weight for step in reversed(steps[:number]) if isinstance(step, SetWeight)), 0)
